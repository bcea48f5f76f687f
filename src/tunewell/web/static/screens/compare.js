// Several runs side by side: only the settings that differ, their curves over one another, their scores.
import { html, useEffect, useMemo, useState } from "../dom.js";
import { looksOf } from "../colors.js";
import { capital, count, num, words } from "../format.js";
import { useAnswer, useSeries } from "../live.js";
import { setQuery, useQuery } from "../router.js";
import { useShade } from "../shade.js";
import { Chart } from "../charts/chart.js";
import { halfLifeOf } from "../charts/smoothing.js";
import { Choice } from "../parts/choice.js";
import { Icon } from "../parts/icons.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";
import { Status } from "../parts/status.js";

const MOST = 8;

export function Compare() {
  const [text] = useQuery("runs");
  const ids = useMemo(() => [...new Set(text.split(",").filter(Boolean))].slice(0, MOST), [text]);
  useEffect(() => { document.title = "Compare · Tunewell"; }, []);
  return html`<div class="page compare"><div class="page-head"><h1>Compare</h1></div>
    <${Picker} ids=${ids} />
    ${ids.length < 2 ? html`<${Nothing} title="Choose two runs or more."><p>Add them above, or tick them in <a href="/">the list of runs</a>.</p><//>` : html`<${Compared} key=${ids.join()} ids=${ids} />`}
  </div>`;
}

function Picker({ ids }) {
  const { data } = useAnswer("/runs", { sort: "updated", order: "desc", limit: 100 });
  const free = (data?.runs ?? []).filter((run) => !ids.includes(run.id));
  const add = (event) => {
    if (event.currentTarget.value) setQuery({ runs: [...ids, event.currentTarget.value].join(",") });
  };
  return html`<div class="picker">${ids.length < MOST && html`<label class="select"><span>Add a run</span><select value="" onChange=${add}><option value="">choose …</option>${free.map((run) => html`<option key=${run.id} value=${run.id}>${run.name}</option>`)}</select></label>`}</div>`;
}

function Compared({ ids }) {
  const { data, error, again } = useAnswer("/compare", { runs: ids.join(",") });
  const { dark } = useShade();
  const looks = useMemo(() => looksOf(ids, dark), [ids, dark]);
  if (error && !data) return html`<${Problem} error=${error} onAgain=${again} />`;
  if (!data) return html`<${Loading} what="Reading the runs" />`;
  return html`<${Cards} runs=${data.runs} looks=${looks} ids=${ids} />
    <${Curves} runs=${data.runs} looks=${looks} />
    <${Scores} scores=${data.scores ?? []} runs=${data.runs} looks=${looks} />
    <${Settings} settings=${data.settings ?? []} runs=${data.runs} looks=${looks} />`;
}

const Line = ({ look }) => html`<svg class="run-line" width="28" height="8" aria-hidden="true"><line x1="1" y1="4" x2="27" y2="4" stroke=${look.color} stroke-width="2.5" stroke-dasharray=${look.dash.join(" ")} /></svg>`;

function Cards({ runs, looks, ids }) {
  return html`<ul class="compared">${runs.map((run) => html`<li key=${run.id} class="panel">
    <${Line} look=${looks[run.id]} /><a href=${`/run/${run.id}`}>${run.name}</a><${Status} run=${run} />
    <button type="button" class="quiet icon-only" aria-label=${`Take ${run.name} out`} title="Take out" onClick=${() => setQuery({ runs: ids.filter((id) => id !== run.id).join(",") })}><${Icon} name="close" /></button>
  </li>`)}</ul>`;
}

/** Each run brings its own series; the chart overlays what has arrived. */
function Curves({ runs, looks }) {
  const [kind, setKind] = useQuery("x", "step");
  const [what, setWhat] = useQuery("curve", "loss");
  const [scale, setScale] = useQuery("loss", "linear");
  const [held, hold] = useState({});
  const metrics = [...new Set(runs.map((run) => run.metric?.name).filter(Boolean))];
  const choices = [["loss", "Training loss"], ["eval.validation.loss", "Validation loss"], ...metrics.filter((name) => name !== "loss").map((name) => [`eval.validation.${name}`, capital(words(name))]), ["gradient_norm", "Gradient norm"], ["learning_rate", "Learning rate"]];
  const lines = useMemo(() => runs.flatMap((run) => linesOf(run, held[run.id], looks[run.id], what, kind)), [held, what, kind, looks]);
  return html`<section aria-label="Curves">
    <div class="chart-bar"><${Choice} label="Curve" options=${choices} value=${what} onChange=${setWhat} /><${Choice} label="x axis" options=${["step", "tokens", "epoch", "time"].map((one) => [one, capital(one)])} value=${kind} onChange=${setKind} /></div>
    ${runs.map((run) => html`<${Fetch} key=${run.id} run=${run} kind=${kind} what=${what} onSeries=${(series) => hold((before) => ({ ...before, [run.id]: { series, kind, what } }))} />`)}
    <${Chart} title=${choices.find(([key]) => key === what)?.[1] ?? what} kind=${kind} lines=${lines} log=${scale === "log"} main height=${340}
      tools=${html`<${Choice} label="Vertical axis" options=${[["linear", "Linear"], ["log", "Log"]]} value=${scale} onChange=${setScale} />`} />
  </section>`;
}

function Fetch({ run, kind, what, onSeries }) {
  const { series } = useSeries(run.id, useMemo(() => ["step", what], [what]), kind, null, { strength: "medium", halfLife: () => (what === "loss" ? halfLifeOf("medium", run.step) : 0) });
  useEffect(() => { if (series) onSeries(series); }, [series]);
  return null;
}

function linesOf(run, held, look, what, kind) {
  if (!held || held.kind !== kind || held.what !== what || held.series.keys !== `step,${what}`) return [];
  const { series } = held;
  const shared = { label: run.name, color: look.color, dash: look.dash };
  if (what.startsWith("eval.")) {
    const points = series.points?.[what] ?? [];
    return points.length ? [{ ...shared, key: run.id, x: points.map(([x]) => x), y: points.map(([, y]) => y), style: "points" }] : [];
  }
  const { x } = series;
  const y = series.y[what] ?? [];
  if (!y.length) return [];
  if (what !== "loss") return [{ ...shared, key: run.id, x, y, style: "line" }];
  return [
    { ...shared, key: `${run.id}-raw`, x, y, style: "raw", silent: true, dash: [] },
    { ...shared, key: run.id, x, y: series.y["loss~"] ?? y, style: "line" },
  ];
}

function Heads({ runs, looks }) {
  return runs.map((run) => html`<th scope="col" key=${run.id}><${Line} look=${looks[run.id]} />${run.name}</th>`);
}

function Scores({ scores, runs, looks }) {
  if (!scores.length) return null;
  const order = ["validation", "test"];
  const ranked = [...scores].sort((a, b) => rankOf(order, a) - rankOf(order, b));
  const place = new Map(runs.map((run, index) => [run.id, index]));
  return html`<section><h2>Scores</h2><div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="plain-table wide">
    <thead><tr><th scope="col">Score</th><${Heads} runs=${runs} looks=${looks} /></tr></thead>
    <tbody>${ranked.map((score) => html`<tr key=${score.metric}><th scope="row">${capital(words(score.metric).replace(".", " "))}</th>
      ${runs.map((run) => html`<td key=${run.id}><${Score} score=${score} at=${place.get(run.id)} /></td>`)}</tr>`)}</tbody>
  </table></div></section>`;
}

const rankOf = (order, score) => (order.indexOf(score.metric.split(".")[0]) + 9) % 9;

const nth = (values, index) => (Array.isArray(values) ? values[index] : values);

function Score({ score, at }) {
  const [best, last, step] = [nth(score.best, at), nth(score.last, at), nth(score.at_step, at)];
  if (best === null || best === undefined) return "–";
  return html`<b>${num(best)}</b>${step !== null && step !== undefined && html` <small>at step ${count(step)}</small>`}${last !== null && last !== undefined && last !== best && html`<br /><small>last ${num(last)}</small>`}`;
}

function Settings({ settings, runs, looks }) {
  return html`<section><h2>Settings that differ</h2>
    ${!settings.length ? html`<p class="calm"><${Icon} name="good" />None: these runs were asked for with the same settings.</p>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Settings that differ"><table class="plain-table wide">
      <thead><tr><th scope="col">Setting</th><${Heads} runs=${runs} looks=${looks} /></tr></thead>
      <tbody>${settings.map((one) => html`<tr key=${one.key}><th scope="row"><code>${one.key}</code></th>${one.values.map((value, index) => html`<td key=${index}>${plain(value)}</td>`)}</tr>`)}</tbody>
    </table></div>`}</section>`;
}

function plain(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return num(value);
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
