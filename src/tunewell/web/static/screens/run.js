// One run: how it is in one line, what can be done to it, and the tabs.
import { classes, html, useEffect, useRef, useState } from "../dom.js";
import { capital, count, duration, num } from "../format.js";
import { onKey } from "../keys.js";
import { useOverview } from "../live.js";
import { go, useQuery } from "../router.js";
import { Controls } from "../parts/controls.js";
import { Icon, iconOfRun } from "../parts/icons.js";
import { LabelDialog, Tags } from "../parts/labels.js";
import { PointDrawer } from "../parts/point.js";
import { Loading, Problem } from "../parts/problem.js";
import { Progress } from "../parts/status.js";
import { Data } from "./data.js";
import { Examples } from "./examples.js";
import { Layers } from "./layers.js";
import { Overview } from "./overview.js";
import { System } from "./system.js";

const TABS = [["overview", "Overview"], ["layers", "Layers"], ["data", "Data"], ["examples", "Examples"], ["system", "System"]];
const SCREENS = { overview: Overview, layers: Layers, data: Data, examples: Examples, system: System };

const addressOf = (run, tab) => `/run/${run}${tab === "overview" ? "" : `/${tab}`}`;

// The step stands right below, where it moves on with every update.
const withoutStep = (headline) => {
  const text = headline.replace(/ · step [\d,]+(?: of [\d,]+)?/, "");
  return text === "Completed" ? "Completed, no fault found" : text;
};

export function Run({ run, tab }) {
  const { overview, error, again } = useOverview(run);
  const [point, setPoint] = useQuery("point");
  const controls = useRef(null);
  useEffect(() => {
    const keys = { c: () => controls.current?.querySelector("button")?.focus() };
    TABS.forEach(([name], index) => (keys[index + 1] = () => go(addressOf(run, name))));
    return onKey(keys);
  }, [run]);
  useEffect(() => {
    if (overview) document.title = `${overview.run.name}: ${withoutStep(overview.headline)} · Tunewell`;
  }, [overview?.run.name, overview?.headline]);
  if (!overview) {
    return html`<div class="page">${error ? html`<${Problem} error=${error} onAgain=${again} />` : html`<${Loading} />`}</div>`;
  }
  const Screen = SCREENS[tab];
  const openPoint = (step) => setPoint(String(step));
  return html`<div class="page run-page">
    <${Head} overview=${overview} />
    <div class="run-bar" ref=${controls}>
      <nav class="tabs" aria-label="Views of this run">
        ${TABS.map(([name, words]) => html`<a key=${name} href=${addressOf(run, name)} aria-current=${name === tab ? "page" : undefined}>${words}</a>`)}
      </nav>
      <${Controls} overview=${overview} />
    </div>
    <${Screen} run=${run} overview=${overview} onPoint=${openPoint} />
    ${point && html`<${PointDrawer} key=${point} run=${run} step=${Number(point)} overview=${overview} onClose=${() => setPoint("")} />`}
  </div>`;
}

function Head({ overview }) {
  const { run } = overview;
  const [label, setLabel] = useState(false);
  return html`<div class="run-head">
    <div class="run-title">
      <a class="crumb" href="/">Runs</a><span class="crumb-mark" aria-hidden="true">/</span><h1>${run.name}</h1><${Tags} tags=${run.tags} />
      <button type="button" class="quiet icon-only" aria-label="Tags and note" title=${run.note ? `Note: ${run.note}` : "Tags and note"} onClick=${() => setLabel(true)}><${Icon} name="tag" /></button>
    </div>
    <p class=${classes("headline", run.level, overview.headline.length > 110 && "long")} role="status"><${Icon} name=${iconOfRun(run)} /><span>${withoutStep(overview.headline)}</span></p>
    <${Waiting} overview=${overview} />
    <${Where} overview=${overview} />
    ${run.note && html`<p class="note">${run.note}</p>`}
    ${label && html`<${LabelDialog} run=${run} onClose=${() => setLabel(false)} />`}
  </div>`;
}

/** What waits for an answer, said on each tab and each width: its card may stand far below. */
function Waiting({ overview }) {
  const { proposals = [], run } = overview;
  // A run that is over takes no answers.
  if (!proposals.length || !["running", "paused"].includes(run.status)) return null;
  const show = () => {
    go(addressOf(run.id, "overview"));
    setTimeout(() => document.querySelector(".proposal")?.scrollIntoView({ block: "center" }), 200);
  };
  return html`<p class="asks"><button type="button" onClick=${show}><${Icon} name="help" />${proposals.length === 1 ? `Waits for your answer: ${proposals[0].text}?` : `${proposals.length} questions wait for your answer`}</button></p>`;
}

/** Progress with the time left, and the few figures that matter now. */
function Where({ overview }) {
  const { run, rates = {}, progress } = overview;
  const going = run.status === "running";
  const left = overview.eta_seconds;
  const time = going && left !== null && left !== undefined ? `about ${duration(left)} left`
    : overview.paused || run.status === "paused" ? "paused" : `${run.status}${run.seconds ? ` after ${duration(run.seconds)}` : ""}`;
  const speed = rates.rows_per_second ? `${num(rates.rows_per_second, 3)} rows/s` : rates.steps_per_second ? `${num(rates.steps_per_second, 3)} steps/s` : null;
  return html`<div class="where">
    <${Progress} value=${progress} level=${run.level} label="Progress of this run" />
    <ul>
      <li><b>step ${count(run.step)}</b>${run.total_steps ? ` of ${count(run.total_steps)}` : ""}</li>
      ${run.epoch !== null && run.epoch !== undefined && html`<li>epoch ${num(run.epoch, 3)}</li>`}
      <li>${capital(time)}</li>
      ${speed && html`<li>${speed}</li>`}
      ${run.metric && html`<li>best ${run.metric.name.replaceAll("_", " ")} <b>${num(run.metric.value)}</b> at step ${count(run.metric.step)}</li>`}
      ${run.test && html`<li>test ${run.test.name.replaceAll("_", " ")} <b>${num(run.test.value)}</b></li>`}
    </ul>
  </div>`;
}
