// Which classes are told apart: the confusion matrix of an evaluation, and a table by class.
import { html } from "../dom.js";
import { capital, count, num, percent, words } from "../format.js";

export function Confusion({ evaluation, onPoint }) {
  const { confusion, step, split } = evaluation;
  const classes = evaluation.classes ?? Object.keys(evaluation.recalls ?? {});
  return html`<div>
    <h2>Classes</h2>
    <p class="muted">${capital(words(split))} rows at <a href="#" onClick=${(event) => { event.preventDefault(); onPoint(step); }}>step ${count(step)}</a></p>
    ${confusion && classes.length <= 20 && html`<${Matrix} matrix=${confusion} classes=${classes} />`}
    <${ClassTable} evaluation=${evaluation} classes=${classes} />
  </div>`;
}

function Matrix({ matrix, classes }) {
  const totals = matrix.map((row) => row.reduce((sum, number) => sum + number, 0) || 1);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix"><table class="confusion">
    <caption>True class by row, predicted class by column</caption>
    <thead><tr><td></td>${classes.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${matrix.map((row, index) => html`<tr key=${index}><th scope="row">${classes[index]}</th>
      ${row.map((number, other) => html`<td key=${other} class=${index === other ? "right" : number ? "wrong-cell" : ""} style=${{ "--share": `${Math.round((number / totals[index]) * 100)}%` }}><b>${count(number)}</b><small>${percent(number / totals[index], 0)}</small></td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function ClassTable({ evaluation, classes }) {
  const { recalls = {}, class_rows: rows = {}, confusion } = evaluation;
  const precision = (index) => {
    if (!confusion) return null;
    const told = confusion.reduce((sum, row) => sum + row[index], 0);
    return told ? confusion[index][index] / told : null;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Scores by class"><table class="plain-table">
    <thead><tr><th scope="col">Class</th><th scope="col">Rows</th><th scope="col">Recall</th>${confusion && html`<th scope="col">Precision</th>`}</tr></thead>
    <tbody>${classes.map((name, index) => html`<tr key=${name}><th scope="row">${name}</th><td>${count(rows[name])}</td><td>${percent(recalls[name])}</td>${confusion && html`<td>${percent(precision(index))}</td>`}</tr>`)}</tbody>
  </table></div>
  <dl class="scores">${Object.entries(evaluation.metrics ?? {}).map(([name, value]) => html`<div key=${name}><dt>${capital(words(name))}</dt><dd>${num(value)}</dd></div>`)}</dl>`;
}
