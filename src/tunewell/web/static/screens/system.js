// The machine under the run: where a step's time goes, and what processor, memory, GPU and disk do.
import { html, useEffect, useMemo } from "../dom.js";
import { bytes, capital, num, percent, words } from "../format.js";
import { useAnswer, useSeries } from "../live.js";
import { subscribe } from "../stream.js";
import { Chart } from "../charts/chart.js";
import { Icon } from "../parts/icons.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";

const PARTS = ["data", "training", "forward", "backward", "optimizer", "monitors", "save", "other"];
const PART_WORDS = { data: "waiting for data", training: "training itself: forward, backward and optimizer" };
const TITLES = { cpu: "Processor", memory: "Memory", gpu: "GPU", gpu_memory: "GPU memory", disk: "Free disk", gpu_power: "GPU power" };
const UNITS = { memory: "bytes", gpu_memory: "bytes", disk: "bytes", disk_free: "bytes", memory_bytes: "bytes" };

export function System({ run, overview }) {
  const { data, error, again } = useAnswer(`/runs/${encodeURIComponent(run)}/system`);
  useEffect(() => {
    let timer = 0;
    const stop = subscribe(`run:${run}`, () => { timer ||= setTimeout(() => { timer = 0; again(); }, 5000); });
    return () => { stop(); clearTimeout(timer); };
  }, [run]);
  const keys = useMemo(() => ["rows_per_second", "tokens_per_second", "seconds", "data_seconds"], []);
  const { series } = useSeries(run, keys, "time", null);
  if (error && !data) return html`<${Problem} error=${error} onAgain=${again} />`;
  if (!data) return html`<${Loading} what="Reading the machine's record" />`;
  const { time: moments = [], step, memory_limit: limit, ...measured } = data.samples ?? {};
  const begun = overview.run.started ?? moments[0] ?? 0;
  const time = moments.map((moment) => (moment > 1e9 ? moment - begun : moment));
  const charts = Object.entries(measured).filter(([, values]) => values?.some((value) => value !== null));
  return html`<div class="system">
    <${Now} now=${data.now} />
    <${Shares} shares=${data.shares} />
    <div class="chart-grid">
      ${["tokens_per_second", "rows_per_second"].map((key) => html`<${Throughput} key=${key} name=${key} series=${series} />`)}
      ${charts.map(([key, values]) => html`<${Chart} key=${key} title=${TITLES[key] ?? capital(words(key))} kind="time" unit=${UNITS[key] ?? unitOf(key, values)} height=${170}
        lines=${[{ key, label: TITLES[key] ?? capital(words(key)), x: time, y: values, color: "--accent", style: time.length > 60 ? "line" : "points" }]} />`)}
    </div>
    ${!charts.length && html`<${Nothing} title="No samples of the machine yet"><p>Processor, memory and disk are sampled while a run trains.</p><//>`}
    <${Machine} machine=${data.machine ?? {}} />
  </div>`;
}

const unitOf = (key, values) => (key.endsWith("bytes") ? "bytes" : values.every((value) => value === null || (value >= 0 && value <= 1)) && ["cpu", "gpu"].includes(key) ? "share" : "");

/** How busy the machine is on which this page's server runs. */
function Now({ now }) {
  if (!now) return null;
  const figures = [
    ["Load", now.load === undefined ? null : `${num(now.load, 2)} of ${now.cores} cores`],
    ["Memory free", now.memory_free === undefined ? null : `${bytes(now.memory_free)} of ${bytes(now.memory_total)}`],
    ["Disk free", now.disk_free === undefined ? null : `${bytes(now.disk_free)} of ${bytes(now.disk_total)}`],
  ].filter(([, value]) => value);
  return html`<section class="panel" aria-label="This machine now"><h2>Now</h2>
    ${now.contended && html`<p class="contended"><${Icon} name="attention" />More wants to run than this machine has cores for: training is slower than it could be.</p>`}
    <dl class="figures">${figures.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
  </section>`;
}

function Throughput({ name, series }) {
  const values = series?.y?.[name];
  if (!values?.some((value) => value !== null)) return null;
  return html`<${Chart} title=${capital(words(name))} kind="time" height=${170} lines=${[{ key: name, label: capital(words(name)), x: series.x, y: values, color: "--accent", style: "line" }]} />`;
}

function Shares({ shares }) {
  const parts = PARTS.map((name) => [name, shares?.[name]]).filter(([, value]) => typeof value === "number" && value > 0);
  if (!parts.length) return null;
  const largest = [...parts].sort((a, b) => b[1] - a[1])[0];
  return html`<section class="panel" aria-label="Where a step's time goes"><h2>Where the time goes</h2>
    <p>Most of an update goes into ${PART_WORDS[largest[0]] ?? largest[0]} (${percent(largest[1], 0)}).</p>
    <div class="shares" aria-hidden="true">${parts.map(([name, value]) => html`<i key=${name} class=${`share-${name}`} style=${{ flexGrow: value }}></i>`)}</div>
    <dl class="share-words">${parts.map(([name, value]) => html`<div key=${name}><dt><i class=${`share-${name}`} aria-hidden="true"></i>${capital(name)}</dt><dd>${percent(value)}</dd></div>`)}</dl>
  </section>`;
}

function Machine({ machine }) {
  const facts = Object.entries(machine).filter(([, value]) => value !== null && value !== "");
  if (!facts.length) return null;
  return html`<section class="facts panel"><h2>Machine</h2><dl>${facts.map(([key, value]) => html`<div key=${key}><dt>${capital(words(key))}</dt><dd>${typeof value === "number" ? (key.includes("bytes") || key.includes("memory") ? bytes(value) : num(value)) : String(value)}</dd></div>`)}</dl></section>`;
}
