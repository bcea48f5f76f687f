// An alert: what happened → evidence → likely causes → what was done → what you can do.
import { html, useState } from "../dom.js";
import { request } from "../api.js";
import { capital, count, num, percent, words } from "../format.js";
import { Command } from "./command.js";
import { Icon } from "./icons.js";
import { Problem } from "./problem.js";
import { Sparkline } from "./sparkline.js";

const NAMES = { non_finite: "NaN or infinite values" };
const nameOf = (code) => capital(NAMES[code] ?? words(code));
const LEVELS = { critical: "bad", warning: "attention", info: "info" };
const ENDS = { true: ["good", "recovered"], false: ["bad", "not recovered"] };

export function Incident({ incident, run, overview, ignored, onIgnore, onPoint }) {
  const [branch, setBranch] = useState(false);
  const [open, setOpen] = useState(incident.recovered !== true && !ignored);
  const level = incident.recovered === true ? "good" : (LEVELS[incident.severity] ?? "attention");
  const end = ENDS[incident.recovered];
  const span = incident.last_step > incident.first_step ? `steps ${count(incident.first_step)} – ${count(incident.last_step)}` : `step ${count(incident.first_step)}`;
  return html`<article class=${`incident ${level}`} id=${`incident-${incident.id}`} tabindex="-1" aria-label=${`${nameOf(incident.code)}, ${span}`}>
    <header>
      <${Icon} name=${level} />
      <div><h3>${nameOf(incident.code)}</h3>
        <p class="muted"><a href="#" onClick=${(event) => { event.preventDefault(); onPoint(incident.first_step); }}>${capital(span)}</a> · ${end ? end[1] : incident.severity}${incident.times > 1 ? ` · seen ${count(incident.times)} times` : ""}</p></div>
      <button type="button" class="quiet icon-only" aria-expanded=${open} aria-label=${open ? "Fold this card" : "Unfold this card"} onClick=${() => setOpen(!open)}><${Icon} name=${open ? "up" : "down"} /></button>
    </header>
    ${open && html`<${Body} ...${{ incident, run, overview, ignored, onIgnore, onPoint, branch, setBranch, end }} />`}
    ${!open && html`<p class="also">${incident.aftermath || incident.seen[0]}</p>`}
  </article>`;
}

function Body({ incident, run, overview, ignored, onIgnore, onPoint, branch, setBranch, end }) {
  return html`
    ${incident.seen.slice(0, 3).map((text, index) => html`<p class=${index ? "also" : ""} key=${index}>${text}</p>`)}
    <${Curve} incident=${incident} />
    ${incident.meaning && html`<p class="meaning">${incident.meaning}</p>`}
    <${Evidence} incident=${incident} onPoint=${onPoint} />
    ${incident.causes.length > 0 && html`<details class="fold"><summary>Likely causes</summary><ol>${incident.causes.map((cause, index) => html`<li key=${index}>${cause}</li>`)}</ol></details>`}
    ${incident.advice.length > 0 && html`<details class="fold"><summary>What to do</summary><ul>${incident.advice.map((text, index) => html`<li key=${index}>${text}</li>`)}</ul></details>`}
    <h4>Action taken</h4>
    <${Deeds} incident=${incident} run=${run} canAct=${overview.run.status === "running" || overview.run.status === "paused"} />
    ${incident.aftermath && html`<p class=${`aftermath ${end?.[0] ?? "info"}`}><${Icon} name=${end?.[0] ?? "info"} /><span>${incident.aftermath}</span></p>`}
    <footer>
      <button type="button" class="quiet" onClick=${onIgnore}>${ignored ? "Show again" : "Ignore"}</button>
      <button type="button" class="quiet" aria-expanded=${branch} onClick=${() => setBranch(!branch)}><${Icon} name="branch" />Branch from checkpoint</button>
    </footer>
    ${branch && html`<${Command} text=${incident.branch || branchOf(incident, overview)} />`}`;
}

// The newest healthy checkpoint before it began, else the newest before it.
function branchOf(incident, overview) {
  const before = (overview.commits ?? []).filter((one) => one.present && one.step < Math.max(1, incident.onset));
  const from = before.filter((one) => one.healthy).at(-1) ?? before.at(-1);
  return `tunewell branch ${overview.run.name}@${from?.step ?? 0}`;
}

function Curve({ incident }) {
  const { spark } = incident;
  if (!spark?.y?.length) return null;
  const what = words(spark.key ?? "loss");
  return html`<figure class="evidence-curve"><${Sparkline} values=${spark.y} x=${spark.x} width=${320} height=${56} mark=${incident.onset} label=${`${what} from step ${count(spark.x[0])} to ${count(spark.x.at(-1))}; the line marks step ${count(incident.onset)}`} />
    <figcaption>${capital(what)}, steps ${count(spark.x[0])} – ${count(spark.x.at(-1))}</figcaption></figure>`;
}

function Evidence({ incident, onPoint }) {
  const facts = Object.entries(incident.evidence ?? {}).filter(([key, value]) => value !== null && typeof value !== "boolean" && key !== "onset" && key !== "curve");
  if (!facts.length && !incident.rows.length) return null;
  return html`<details class="fold" open><summary>Evidence</summary>
    <dl class="evidence">${facts.slice(0, 8).map(([key, value]) => html`<div key=${key}><dt>${capital(words(key))}</dt><dd><${Value} value=${value} /></dd></div>`)}</dl>
    ${incident.blamed?.length > 0 && html`<ul class="blamed">${incident.blamed.slice(0, 5).map((one) => html`<li key=${one.row}>Row ${count(one.row)}${blame(one)}${one.step ? html` <a href="#" onClick=${(event) => { event.preventDefault(); onPoint(one.step); }}>step ${count(one.step)}</a>` : ""}</li>`)}</ul>`}
    ${incident.rows.length > 5 && html`<p class="muted">${count(incident.rows.length)} rows in all</p>`}
  </details>`;
}

const blame = (one) => (one.share !== null && one.share !== undefined ? `: ${percent(one.share, 0)} of the loss of` : one.step ? ": stood out at" : "");

/** A piece of evidence: a number, a list, a curve, numbers by layer. */
function Value({ value }) {
  if (typeof value === "number") return num(value);
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    if (value.length > 4 && value.every((one) => typeof one === "number")) return html`<${Sparkline} values=${value} label=${`from ${num(value[0])} to ${num(value.at(-1))}`} />`;
    if (value.some((one) => one !== null && typeof one === "object")) return html`<${Items} items=${value} />`;
    return value.slice(0, 6).map((one) => (typeof one === "number" ? num(one) : String(one))).join(", ") + (value.length > 6 ? ` and ${count(value.length - 6)} more` : "");
  }
  const entries = Object.entries(value ?? {});
  return html`<ul class="by-layer">${entries.slice(0, 6).map(([key, one]) => html`<li key=${key}><span>${key}</span> <b>${typeof one === "number" ? num(one) : String(one)}</b></li>`)}${entries.length > 6 && html`<li>and ${count(entries.length - 6)} more</li>`}</ul>`;
}

function Items({ items }) {
  const told = (item) => Object.entries(item).map(([key, value]) => `${words(key)} ${typeof value === "number" ? num(value) : String(value)}`).join(", ");
  return html`<ul class="items">${items.slice(0, 3).map((item, index) => html`<li key=${index}>${Array.isArray(item) ? item.map((one) => (typeof one === "number" ? num(one) : String(one))).join(": ") : told(item)}</li>`)}${items.length > 3 && html`<li>and ${count(items.length - 3)} more</li>`}</ul>`;
}

function Deeds({ incident, run, canAct }) {
  const [error, setError] = useState(null);
  const [sent, setSent] = useState([]);
  const undo = async (deed, index) => {
    try {
      await request(run, { action: deed.undo });
      setSent([...sent, index]);
    } catch (refused) {
      setError(refused);
    }
  };
  if (!incident.deeds.length) return html`<p class="muted">None: nothing was done about it yet.</p>`;
  return html`<ul class="deeds">${incident.deeds.map((deed, index) => html`<li key=${index}>
    <span><b>step ${count(deed.step)}</b> ${deed.by === "recipe" ? "the recipe" : deed.by} ${deed.what}${deed.outcome === "applied" ? "" : ` (${words(deed.outcome)})`}${deed.detail ? `: ${deed.detail}` : ""}</span>
    ${deed.effect && html`<span class=${`effect ${deed.helped === true ? "good" : deed.helped === false ? "bad" : "info"}`}><${Icon} name=${deed.helped === true ? "good" : deed.helped === false ? "bad" : "info"} />${capital(deed.effect)}</span>`}
    ${canAct && deed.undo && !deed.undone && html`<button type="button" disabled=${sent.includes(index)} onClick=${() => undo(deed, index)}><${Icon} name="undo" />${sent.includes(index) ? "Asked" : "Undo"}</button>`}
  </li>`)}</ul>${error && html`<${Problem} error=${error} />`}`;
}
