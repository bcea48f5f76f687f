// What a chart shows, in a sentence and as a table: for readers who can't or would rather not look.
import { html } from "../dom.js";
import { count, duration, inUnit, num } from "../format.js";

/** A place on the x axis in words. */
export function placeOf(kind, value) {
  if (kind === "epoch") return `epoch ${num(value, 4)}`;
  if (kind === "tokens") return `${count(Math.round(value))} tokens`;
  if (kind === "time") return `after ${duration(value)}`;
  return `step ${count(Math.round(value))}`;
}

/** One sentence about one line. */
export function sentence(line, kind, unit) {
  let [first, last, low, high] = [-1, -1, -1, -1];
  line.y.forEach((value, index) => {
    if (value === null || value === undefined) return;
    if (first < 0) first = index;
    last = index;
    if (low < 0 || value < line.y[low]) low = index;
    if (high < 0 || value > line.y[high]) high = index;
  });
  if (first < 0) return `${line.label}: nothing measured yet.`;
  const at = (index) => `${inUnit(line.y[index], unit)} at ${placeOf(kind, line.x[index])}`;
  if (first === last) return `${line.label}: ${at(first)}.`;
  if (line.y[low] === line.y[high]) return `${line.label}: ${inUnit(line.y[low], unit)} throughout.`;
  return `${line.label}: from ${at(first)} to ${at(last)}; lowest ${at(low)}, highest ${at(high)}.`;
}

const MOST_ROWS = 40;

/** The same numbers as a table; a long chart is sampled evenly, its single points are all there. */
export function ChartTable({ data, lines, kind, unit, title }) {
  const [x, ...columns] = data;
  const sparse = lines.map((line) => line.style === "points" || line.style === "marks");
  const every = Math.max(1, Math.ceil(x.length / MOST_ROWS));
  const rows = [];
  x.forEach((value, index) => {
    const single = columns.some((column, place) => sparse[place] && column[index] !== null && column[index] !== undefined);
    if (single || index % every === 0 || index === x.length - 1) rows.push(index);
  });
  return html`<div class="chart-table" tabindex="0" role="region" aria-label=${`${title} as a table`}>
    <table>
      <thead><tr><th scope="col">At</th>${lines.map((line) => html`<th scope="col">${line.label}</th>`)}</tr></thead>
      <tbody>${rows.map((index) => html`<tr key=${index}>
        <th scope="row">${placeOf(kind, x[index])}</th>
        ${columns.map((column) => html`<td>${inUnit(column[index], unit)}</td>`)}
      </tr>`)}</tbody>
    </table>
  </div>`;
}
