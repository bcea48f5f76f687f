// Single rows: which are hard, which changed, which were forgotten; and where the model confuses classes.
import { html, useEffect, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { count, num } from "../format.js";
import { useQuery } from "../router.js";
import { Choice } from "../parts/choice.js";
import { Confusion } from "../parts/confusion.js";
import { Icon } from "../parts/icons.js";
import { Predicted } from "../parts/predicted.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";
import { Sparkline } from "../parts/sparkline.js";

const ORDERS = [["loss", "Highest loss"], ["change", "Largest change"], ["forgotten", "Forgotten"], ["suspected", "Suspected"]];
const SPLITS = [["train", "Training"], ["validation", "Validation"]];
const PAGE = 50;

/** Rows in an order, more of them on demand. */
function useRows(run, split, order, label, search, evals) {
  const [state, set] = useState({ rows: null, total: 0, error: null });
  const round = useRef(0);
  const ask = (offset) => {
    const mine = (round.current += 1);
    get(`/runs/${encodeURIComponent(run)}/rows`, { split, order, label, search, offset, limit: PAGE }).then(
      (answer) => mine === round.current && set((before) => ({ rows: offset ? [...before.rows, ...answer.rows] : answer.rows, total: answer.total, error: null })),
      (error) => mine === round.current && set((before) => ({ ...before, error })),
    );
  };
  useEffect(() => ask(0), [run, split, order, label, search, evals]);
  return { ...state, more: () => ask(state.rows.length), again: () => ask(0) };
}

export function Examples({ run, overview, onPoint }) {
  const [split, setSplit] = useQuery("split", "train");
  const [order, setOrder] = useQuery("order", "loss");
  const [label, setLabel] = useQuery("label");
  const [search, setSearch] = useQuery("search");
  const timer = useRef(0);
  const { rows, total, error, more, again } = useRows(run, split, order, label, search, overview.evals?.length);
  const scored = (overview.evals ?? []).filter((one) => one.confusion || Object.keys(one.recalls ?? {}).length);
  const latest = scored.at(-1);
  const labels = latest?.classes ?? Object.keys(latest?.recalls ?? {});
  const type = (event) => {
    const text = event.currentTarget.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSearch(text), 200);
  };
  return html`<div class="examples">
    <section class="rows-section" aria-label="Rows"><div class="chart-bar">
      <${Choice} label="Whose rows" options=${SPLITS} value=${split} onChange=${setSplit} />
      <${Choice} label="Order of the rows" options=${ORDERS} value=${order} onChange=${setOrder} />
      ${labels.length > 1 && html`<label class="select"><span>Label</span><select value=${label} onChange=${(event) => setLabel(event.currentTarget.value)}><option value="" selected=${!label}>all</option>${labels.map((one) => html`<option value=${one} selected=${one === label}>${one}</option>`)}</select></label>`}
      <label class="search"><${Icon} name="search" /><span class="visually-hidden">Search texts</span><input type="search" placeholder="Search texts" value=${search} onInput=${type} /></label>
    </div>
    ${error && html`<${Problem} error=${error} onAgain=${again} />`}
    ${!rows && !error && html`<${Loading} what="Reading the rows" />`}
    ${rows && !rows.length && html`<${Nothing} title=${search || label ? "No row fits." : "No losses of rows yet"}><p>${search || label ? "Search for something else." : "Each row's loss is kept once it has been trained on."}</p><//>`}
    ${rows?.length > 0 && html`<p class="muted">${count(total)} rows</p><ul class="example-rows">${rows.map((row) => html`<${Row} key=${row.row} row=${row} split=${split} />`)}</ul>`}
    ${rows && rows.length < total && rows.length > 0 && html`<button type="button" onClick=${more}>Show more</button>`}
    </section>
    ${latest && html`<aside class="class-section" aria-label="Classes"><${Confusion} evaluation=${latest} onPoint=${onPoint} /></aside>`}
  </div>`;
}

function Row({ row, split }) {
  const losses = (row.losses ?? []).filter((value) => value !== undefined);
  const last = losses.findLast((value) => value !== null);
  const guesses = (row.predicted ?? []).map(([step, label, probability]) => ({ step, label, probability }));
  const first = guesses.length > 1 ? guesses[0] : null;
  const now = guesses.at(-1);
  const changed = first && typeof now.probability === "number" && first.label !== now.label;
  return html`<li class=${row.excluded ? "excluded" : ""}>
    <div class="example-loss"><span><b>${num(last, 3)}</b> <small>loss</small></span>${losses.length > 1 && html`<${Sparkline} values=${losses} width=${72} height=${24} label=${`Loss by ${split === "validation" ? "evaluation" : "epoch"}: ${losses.map((value) => num(value, 3)).join(", ")}`} />`}</div>
    <div><p class="row-text">${row.text ?? "(the text can't be read)"}</p>
      <p class="row-facts"><span>row ${count(row.row)}</span><span>label <b>${String(row.label ?? "–")}</b></span>
        ${row.place && html`<span class="place">${row.place}</span>`}
        ${row.excluded && html`<span class="tag">left out</span>`}</p>
      <${Predicted} label=${row.label} then=${first} now=${now} changed=${changed} thenWords=${first && `at step ${count(first.step)}`} /></div>
  </li>`;
}
