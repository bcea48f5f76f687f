// From a point of a curve to the rows that made it, and to the checkpoint before it.
import { classes, html, useEffect, useState } from "../dom.js";
import { request } from "../api.js";
import { capital, count, counted, moment, num, percent } from "../format.js";
import { useAnswer } from "../live.js";
import { Command } from "./command.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Predicted } from "./predicted.js";
import { Loading, Problem } from "./problem.js";

export function PointDrawer({ run, step, overview, onClose }) {
  const { data, error, again } = useAnswer(`/runs/${encodeURIComponent(run)}/points/${step}`);
  useEffect(() => {
    // What is known of the update comes first; its rows follow once the server has loaded what reads them.
    const timer = data?.pending ? setTimeout(again, 800) : 0;
    return () => clearTimeout(timer);
  }, [data]);
  return html`<${Dialog} title=${`Step ${count(step)}`} drawer onClose=${onClose}>
    ${error && html`<${Problem} error=${error} onAgain=${again} />`}
    ${!data && !error && html`<${Loading} what="Looking up the rows of this update" />`}
    ${data && html`<${Point} point=${data} run=${run} overview=${overview} />`}
  <//>`;
}

function Point({ point, run, overview }) {
  const figures = [["Loss", num(point.loss)], ["Learning rate", num(point.learning_rate, 3)], ["Gradient norm", num(point.gradient_norm)], ["Epoch", num(point.epoch, 3)]];
  return html`<div>
    <dl class="figures">${figures.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${point.time && html`<p class="muted">${moment(point.time)}</p>`}
    ${(point.flags ?? []).map((flag, index) => html`<p class=${`flag-text ${flag.level}`} key=${index}><${Icon} name=${flag.level === "bad" ? "bad" : flag.level === "attention" ? "attention" : "info"} /><span>${flag.text}</span></p>`)}
    <h3>Rows of this update</h3>
    <${Rows} point=${point} run=${run} overview=${overview} />
    <h3>Go back here</h3>
    ${point.checkpoint ? html`<p class="muted">The nearest checkpoint is that of step ${count(point.checkpoint.step)} (<code>${point.checkpoint.folder}</code>).</p>` : html`<p class="muted">No checkpoint before this step is kept.</p>`}
    ${point.branch && html`<${Command} text=${point.branch} />`}
  </div>`;
}

function Rows({ point, run, overview }) {
  const [chosen, setChosen] = useState([]);
  const [said, setSaid] = useState("");
  const [error, setError] = useState(null);
  useEffect(() => setChosen([]), [point.step]);
  const rows = point.rows ?? [];
  if (!rows.length) return html`<p class="muted">${capital(point.why_not || "which rows made it is not known")}</p>`;
  const can = overview.can?.exclude;
  const over = !["running", "paused"].includes(overview.run.status);
  const choose = (row) => setChosen((before) => (before.includes(row) ? before.filter((one) => one !== row) : [...before, row]));
  const exclude = async () => {
    setError(null);
    try {
      await request(run, { action: { do: "exclude_rows", rows: chosen } });
      setSaid(`${counted(chosen.length, "row")} to be left out: asked.`);
      setChosen([]);
    } catch (refused) {
      setError(refused);
    }
  };
  const sorted = [...rows].sort((a, b) => (b.then ?? b.now ?? -1) - (a.then ?? a.now ?? -1));
  return html`<div>
    ${point.why_not && html`<p class="muted">${capital(point.why_not)}</p>`}
    <ul class="point-rows">${sorted.map((row) => html`<${Row} key=${row.row} row=${row} pending=${point.pending} chosen=${chosen.includes(row.row)} onChoose=${over ? null : () => choose(row.row)} />`)}</ul>
    ${!over && html`<div class="exclude"><button type="button" disabled=${!chosen.length || (can !== true && can !== undefined)} title=${can === true ? undefined : can} onClick=${exclude}>Leave ${chosen.length ? counted(chosen.length, "row") : "chosen rows"} out of training</button>
      <span class="muted" role="status">${can !== true && can !== undefined ? can : said}</span></div>`}
    ${error && html`<${Problem} error=${error} />`}
  </div>`;
}

function Row({ row, pending, chosen, onChoose }) {
  return html`<li class=${classes("point-row", chosen && "chosen-row")}>
    ${onChoose && html`<input type="checkbox" aria-label=${`Choose row ${count(row.row)}`} checked=${chosen} onChange=${onChoose} />`}
    <div>
      <p class=${classes("row-text", row.text === null && "muted")}>${row.text ?? (pending ? "Reading its text …" : "(the text can't be read)")}</p>
      <p class="row-facts"><span>row ${count(row.row)}</span>${(row.label ?? null) !== null && html`<span>label <b>${String(row.label)}</b></span>`}
        ${(row.then ?? null) !== null && html`<span>loss then <b>${num(row.then, 3)}</b></span>`}
        ${(row.now ?? null) !== null && html`<span>loss now <b>${num(row.now, 3)}</b></span>`}
        ${(row.share ?? null) !== null && html`<span>${percent(row.share, 0)} of this update's loss</span>`}</p>
      <${Predicted} label=${row.label} then=${row.predicted_then} now=${row.predicted_now} changed=${row.changed} />
    </div>
  </li>`;
}
