// Beside the curves: what waits for an answer, what happened, what was asked, and the run's facts.
import { html, useState } from "../dom.js";
import { bytes, capital, count, short, words } from "../format.js";
import { Asked } from "./asked.js";
import { Command } from "./command.js";
import { Icon } from "./icons.js";
import { Incident } from "./incident.js";
import { Proposal } from "./proposal.js";

export function Story({ run, overview, onPoint }) {
  const { incidents = [], asked = [] } = overview;
  const proposals = ["running", "paused"].includes(overview.run.status) ? (overview.proposals ?? []) : [];
  // What a person asked for stands among the requests already.
  const others = (overview.others ?? []).filter((deed) => !asked.some((one) => one.step === deed.step && one.by === deed.by));
  const [ignored, ignore] = useIgnored(run);
  const open = incidents.filter((one) => !ignored.includes(one.id));
  const put = incidents.filter((one) => ignored.includes(one.id));
  const order = [...open].sort((a, b) => rank(a) - rank(b) || b.last_step - a.last_step);
  const card = (one) => html`<${Incident} key=${one.id} incident=${one} run=${run} overview=${overview} ignored=${ignored.includes(one.id)} onIgnore=${() => ignore(one.id)} onPoint=${onPoint} />`;
  return html`<aside class="story" aria-label="What happened">
    ${proposals.length > 0 && html`<section><h2>Waits for your answer</h2>${proposals.map((one) => html`<${Proposal} key=${one.id} proposal=${one} run=${run} overview=${overview} />`)}</section>`}
    <section>
      <h2>Alerts ${open.length > 0 && html`<span class="number">${count(open.length)}</span>`}</h2>
      ${order.map(card)}
      ${open.length === 0 && html`<p class="calm"><${Icon} name="good" />${incidents.length ? "Nothing that you have not set aside." : "No monitor has found a fault."}</p>`}
      ${put.length > 0 && html`<details class="fold"><summary>Ignored in this browser (${count(put.length)})</summary>${put.map(card)}</details>`}
    </section>
    ${asked.length > 0 && html`<section><h2>Asked of this run</h2><${Asked} asked=${asked} run=${run} onPoint=${onPoint} /></section>`}
    ${others.length > 0 && html`<section><h2>Also done</h2><ul class="deeds">${others.map((deed, index) => html`<li key=${index}><span><a href="#" onClick=${(event) => { event.preventDefault(); onPoint(deed.step); }}>step ${count(deed.step)}</a> ${by(deed)} ${deed.what}${deed.detail ? `: ${deed.detail}` : ""}</span></li>`)}</ul></section>`}
    <${Facts} overview=${overview} />
  </aside>`;
}

const rank = (incident) => (incident.recovered === true ? 2 : incident.severity === "critical" ? 0 : 1);
const by = (deed) => (deed.by === "recipe" ? "the recipe" : deed.by);

/** What this reader has set aside, kept in this browser: the record itself is never changed. */
function useIgnored(run) {
  const key = `tunewell-ignored-${run}`;
  const [ignored, set] = useState(() => {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "[]");
    } catch {
      return [];
    }
  });
  const toggle = (id) => {
    const next = ignored.includes(id) ? ignored.filter((one) => one !== id) : [...ignored, id];
    set(next);
    try {
      localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // It holds until the page is closed.
    }
  };
  return [ignored, toggle];
}

const FACT_WORDS = { parameters: short, trainable: short };

function Facts({ overview }) {
  const { facts = {}, recipe, commits = [], fingerprint = {}, run } = overview;
  const over = ["completed", "stopped"].includes(run.status);
  const kept = commits.filter((one) => one.present);
  const plain = Object.entries(facts).filter(([, value]) => ["string", "number"].includes(typeof value) && value !== "");
  return html`<section class="facts">
    <h2>This run</h2>
    <dl>${plain.map(([key, value]) => html`<div key=${key}><dt>${capital(words(key))}</dt><dd>${typeof value === "number" ? (FACT_WORDS[key] ?? count)(value) : value}</dd></div>`)}
      ${kept.length > 0 && html`<div><dt>Checkpoints</dt><dd>${`${count(kept.length)} kept`}, ${bytes(kept.reduce((sum, one) => sum + (one.bytes ?? 0), 0))}</dd></div>`}
    </dl>
    ${recipe && html`<details class="fold"><summary>Recipe</summary><pre tabindex="0" aria-label="Recipe">${recipe}</pre></details>`}
    ${Object.keys(fingerprint).length > 0 && html`<details class="fold"><summary>Machine and versions</summary><dl>${Object.entries(fingerprint).map(([key, value]) => html`<div key=${key}><dt>${capital(words(key))}</dt><dd>${String(value)}</dd></div>`)}</dl></details>`}
    <details class="fold"><summary>In a terminal</summary><${Command} text=${`tunewell why ${run.name}`} /><a class="report" href=${`/report/${run.id}`} target="_blank" rel="noopener"><${Icon} name="out" />${over ? "Report of this run, to keep and to read offline" : "Report of this run as it stands"}</a></details>
  </section>`;
}
