// The first view of a run: its curves, and beside them what happened and what was done.
import { html, useEffect, useMemo, useRef } from "../dom.js";
import { onKey } from "../keys.js";
import { useSeries } from "../live.js";
import { setQuery, useQuery } from "../router.js";
import { Choice } from "../parts/choice.js";
import { Icon } from "../parts/icons.js";
import { Problem } from "../parts/problem.js";
import { Story } from "../parts/story.js";
import { Chart } from "../charts/chart.js";
import { shown } from "../charts/flags.js";
import { halfLifeOf, strengths } from "../charts/smoothing.js";
import { curvesOf, STEP_KEYS } from "../charts/curves.js";
import { nearest } from "../charts/table.js";
import { capital, count } from "../format.js";

const KINDS = ["step", "tokens", "epoch", "time"];

/** The stretch that is zoomed into, from the URL: [low, high] or null. */
function useRange() {
  const [text] = useQuery("range");
  return useMemo(() => {
    const range = text.split("~").map(Number);
    return range.length === 2 && range.every(Number.isFinite) && range[0] < range[1] ? range : null;
  }, [text]);
}

export function Overview({ run, overview, onPoint }) {
  const [kind, setKind] = useQuery("x", "step");
  const [scale, setScale] = useQuery("loss", "linear");
  const [strength, setStrength] = useQuery("smooth", "medium");
  const range = useRange();
  const keys = useMemo(() => keysOf(overview), [JSON.stringify(overview.series?.map((one) => one.key))]);
  const { series, error } = useSeries(run, keys, kind, range, { strength, halfLife: (part) => halfLifeOf(strength, overview.run.step * part) });
  const changeKind = (next) => setQuery({ x: next === "step" ? null : next, range: null });
  useEffect(() => onKey({
    x: () => changeKind(KINDS[(KINDS.indexOf(kind) + 1) % KINDS.length]),
    l: () => setScale(scale === "log" ? "linear" : "log"),
    0: () => setQuery({ range: null }),
    n: nextAlert,
  }), [kind, scale]);
  const charts = useMemo(() => (series ? curvesOf(series, overview) : []), [series?.version, series?.x]);
  const stepOf = (x) => (kind === "step" ? Math.round(x) : series.y.step?.[nearest(series.x, x)]);
  const flags = useMemo(() => shown(overview.flags), [JSON.stringify(overview.flags)]);
  const shared = {
    kind, range, flags, sync: `run-${run}`,
    placeFlag: (step) => placeOf(series, kind, step),
    onZoom: ([low, high]) => setQuery({ range: `${tidy(low)}~${tidy(high)}` }, { replace: false }),
    onReset: () => setQuery({ range: null }),
    onPick: (x) => stepOf(x) && onPoint(stepOf(x)),
    onFlag: (chosen) => openFlags(chosen, onPoint),
  };
  return html`<div class="overview">
    <div class="charts">
      <div class="chart-bar">
        <${Choice} label="x axis" options=${KINDS.map((one) => [one, capital(one)])} value=${kind} onChange=${changeKind} />
        <label class="select"><span>Smoothing</span><select value=${strength} onChange=${(event) => setStrength(event.currentTarget.value)}>${strengths.map((one) => html`<option value=${one} selected=${one === strength}>${one}</option>`)}</select></label>
        ${range ? html`<button type="button" class="quiet" onClick=${() => setQuery({ range: null })}><${Icon} name="undo" />Show all</button>`
          : html`<span class="hint">Drag to zoom · click a point for its rows</span>`}
      </div>
      ${error && html`<${Problem} error=${error} />`}
      ${charts.map((chart, index) => html`<${Chart} key=${chart.name} ...${shared} title=${chart.title} lines=${chart.lines} unit=${chart.unit}
        log=${chart.name === "loss" ? scale === "log" : chart.log} main=${index === 0} height=${index === 0 ? 320 : 170}
        tools=${chart.name === "loss" && html`<${Choice} label="Loss axis" options=${[["linear", "Linear"], ["log", "Log"]]} value=${scale} onChange=${setScale} />`} />`)}
      ${series && html`<p class="sampled">${series.raw ? `All ${count(series.x.length)} updates are drawn.` : `${count(series.total)} updates, drawn as the lowest and highest of each stretch: no spike is lost. Zoom in for every one.`}</p>`}
    </div>
    <${Story} run=${run} overview=${overview} onPoint=${onPoint} />
  </div>`;
}

function keysOf(overview) {
  const known = (overview.series ?? []).map((one) => one.key);
  return [...new Set([...STEP_KEYS.filter((key) => key === "step" || known.includes(key)), ...known.filter((key) => key.startsWith("eval."))])];
}

const tidy = (value) => Number(value.toPrecision(value > 1e8 ? 13 : 7));

/** Where a step stands on the x axis; null where it is not shown. */
function placeOf(series, kind, step) {
  if (kind === "step" || !series) return step;
  const steps = series.y.step;
  return steps?.length ? series.x[nearest(steps, step)] : null;
}

/** A flag leads to its card; where it has none, to its point. */
function openFlags(flags, onPoint) {
  const flag = flags.find((one) => one.incident !== null && one.incident !== undefined) ?? flags[0];
  const card = document.getElementById(`incident-${flag.incident}`) ?? document.getElementById(`request-${flag.id}`);
  if (!card) return onPoint(flag.step);
  for (let fold = card.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  card.querySelector('header [aria-expanded="false"]')?.click();
  showCard(card);
}

function showCard(card) {
  card.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  card.focus({ preventScroll: true });
  card.classList.add("pointed");
  setTimeout(() => card.classList.remove("pointed"), 1600);
}

function nextAlert() {
  const cards = [...document.querySelectorAll(".incident")];
  if (cards.length) showCard(cards[(cards.indexOf(document.activeElement) + 1) % cards.length]);
}
