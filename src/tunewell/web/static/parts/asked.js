// What people asked of a run, and how far it is: requested → accepted or refused → applied.
import { html, useState } from "../dom.js";
import { request } from "../api.js";
import { ago, capital, count, moment } from "../format.js";
import { Icon } from "./icons.js";
import { Problem } from "./problem.js";

const STAGES = ["requested", "accepted", "applied"];
const ICONS = { requested: "waiting", accepted: "waiting", applied: "good", refused: "bad" };

export function Asked({ asked, run, onPoint, most = 6 }) {
  const [all, setAll] = useState(false);
  const newest = [...asked].reverse();
  return html`<ul class="asked">
    ${(all ? newest : newest.slice(0, most)).map((one) => html`<${One} key=${one.id} one=${one} run=${run} onPoint=${onPoint} />`)}
    ${newest.length > most && html`<li><button type="button" class="quiet" onClick=${() => setAll(!all)}>${all ? "Show fewer" : `Show all ${count(newest.length)}`}</button></li>`}
  </ul>`;
}

function One({ one, run, onPoint }) {
  const [error, setError] = useState(null);
  const [sent, setSent] = useState(false);
  const undo = async () => {
    setSent(true);
    try {
      await request(run, { undo: one.id });
    } catch (refused) {
      setSent(false);
      setError(refused);
    }
  };
  return html`<li id=${`request-${one.id}`} tabindex="-1" class=${`request ${one.state}`}>
    <${Icon} name=${ICONS[one.state] ?? "info"} />
    <div>
      <p><b>${capital(one.what)}</b>${one.undone_by && html` <span class="muted">(taken back)</span>`}</p>
      <p class="stages"><${Stages} one=${one} onPoint=${onPoint} /></p>
      ${one.detail && one.state === "applied" && html`<p class="muted">${capital(one.detail)}</p>`}
      ${one.state === "refused" && html`<p class="why">${capital(one.why || one.detail || "the run gave no reason")}</p>`}
      <p class="muted" title=${moment(one.asked)}>${one.by}, ${ago(one.asked)}</p>
      ${error && html`<${Problem} error=${error} />`}
    </div>
    ${one.can_undo && !one.undone_by && html`<button type="button" disabled=${sent} onClick=${undo}><${Icon} name="undo" />${sent ? "Asked" : "Undo"}</button>`}
  </li>`;
}

function Stages({ one, onPoint }) {
  if (one.state === "refused") return html`<span class="done">requested</span> → <span class="done bad">refused</span>`;
  const reached = STAGES.indexOf(one.state);
  return STAGES.map((stage, index) => html`${index ? " → " : ""}<span class=${index <= reached ? "done" : "to-come"}>${stage}${stage === "applied" && reached === 2 && one.step !== null && one.step !== undefined ? html` at <a href="#" onClick=${(event) => { event.preventDefault(); onPoint(one.step); }}>step ${count(one.step)}</a>` : ""}</span>`);
}
