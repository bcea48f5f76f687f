// Which layers learn: a map of gradients or updates over layers and steps; a click leads to the layer's curve.
import { html, useEffect, useMemo, useState } from "../dom.js";
import { count, counted, num, words } from "../format.js";
import { useAnswer } from "../live.js";
import { useQuery } from "../router.js";
import { subscribe } from "../stream.js";
import { Choice } from "../parts/choice.js";
import { HeatMap, HeatScale } from "../charts/heatmap.js";
import { Chart } from "../charts/chart.js";
import { shown } from "../charts/flags.js";
import { nearest } from "../charts/table.js";
import { Icon } from "../parts/icons.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";

const WHAT = [["gradients", "Gradients"], ["updates", "Updates"]];
const MEANING = {
  gradients: "The L2 norm of each layer's gradient. A dark row learns nothing; a row that grows brighter than the others may explode.",
  updates: "How much each update changes a layer, as a share of its weights. Around 1e-3 is usual; far below, a layer stands still.",
};

export function Layers({ run, overview, onPoint }) {
  const [what, setWhat] = useQuery("what", "gradients");
  const [layer, setLayer] = useQuery("layer");
  const [asTable, setAsTable] = useState(false);
  const { data, error, again } = useAnswer(`/runs/${encodeURIComponent(run)}/layers`, { what, points: 300 });
  useAgainWhenNew(run, again);
  const flags = useMemo(() => shown(overview.flags), [overview.flags]);
  if (error && !data) return html`<${Problem} error=${error} onAgain=${again} />`;
  if (!data) return html`<${Loading} what="Reading the layers" />`;
  if (!data.layers?.length || !data.steps?.length) {
    return html`<${Nothing} title="No layers measured yet"><p>Gradients and updates by layer are measured at sampled updates, the first within the first few dozen.</p><//>`;
  }
  const chosen = data.layers.includes(layer) ? layer : null;
  const values = chosen ? data.values[data.layers.indexOf(chosen)] : [];
  return html`<div class="layers">
    <div class="chart-bar"><${Choice} label="What of the layers" options=${WHAT} value=${what} onChange=${setWhat} />
      <button type="button" class="quiet" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}><${Icon} name="table" />Table</button>
      <span class="hint">${MEANING[what]}</span></div>
    <section class="panel" aria-label=${`${words(what)} by layer and step`}>
      <p>${sentenceOf(data, what)}</p>
      ${asTable ? html`<${LayerTable} data=${data} />` : html`<${HeatMap} data=${data} chosen=${chosen} onLayer=${setLayer} />`}
      ${!asTable && html`<${HeatScale} values=${data.values} />`}
    </section>
    ${chosen && html`<${Chart} title=${`${chosen}: ${what === "gradients" ? "gradient norm" : "relative update"}`} kind="step" log height=${200} main flags=${flags} placeFlag=${(step) => step}
      lines=${[{ key: `${what}-${chosen}`, label: chosen, x: data.steps, y: values, color: "--accent", style: "line" }]} onPick=${(x) => onPoint(Math.round(x))} onFlag=${([flag]) => onPoint(flag.step)}
      tools=${html`<button type="button" class="quiet icon-only" aria-label="Close this layer" title="Close" onClick=${() => setLayer("")}><${Icon} name="close" /></button>`} />`}
    ${!chosen && html`<p class="hint">Click a layer or a cell to see its curve.</p>`}
    ${data.steps.length > 0 && html`<p class="sampled">Measured at ${counted(data.steps.length, "update")}, the newest at step ${count(data.steps[nearest(data.steps, Infinity)])}.</p>`}
  </div>`;
}

// Layers are sampled seldom; the map is asked for anew only where news hold samples of layers, at most every 5 seconds.
function useAgainWhenNew(run, again) {
  useEffect(() => {
    let timer = 0;
    const stop = subscribe(`run:${run}`, (type) => {
      if (type === "reset") again();
      else if (type === "points") timer ||= setTimeout(() => { timer = 0; again(); }, 5000);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [run]);
}

function sentenceOf(data, what) {
  const known = data.layers.map((name, index) => [name, data.values[index].at(-1)]).filter(([, value]) => Number.isFinite(value));
  if (!known.length) return "The newest sample holds no finite number.";
  known.sort((a, b) => a[1] - b[1]);
  const [low, high] = [known[0], known.at(-1)];
  return `At step ${count(data.steps.at(-1))} the ${what === "gradients" ? "gradient" : "relative update"} is largest in ${high[0]} (${num(high[1], 3)}) and smallest in ${low[0]} (${num(low[1], 3)}).`;
}

function LayerTable({ data }) {
  return html`<div class="chart-table tall" tabindex="0" role="region" aria-label="Layers as a table"><table>
    <thead><tr><th scope="col">Layer</th><th scope="col">First</th><th scope="col">Lowest</th><th scope="col">Highest</th><th scope="col">Newest</th></tr></thead>
    <tbody>${data.layers.map((name, index) => {
      const values = data.values[index].filter(Number.isFinite);
      return html`<tr key=${name}><th scope="row">${name}</th><td>${num(values[0])}</td><td>${num(values.length ? Math.min(...values) : null)}</td><td>${num(values.length ? Math.max(...values) : null)}</td><td>${num(values.at(-1))}</td></tr>`;
    })}</tbody>
  </table></div>`;
}
