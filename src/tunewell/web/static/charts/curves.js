// Which charts a run has, from its series: the loss with its evaluations first, then scores, rate, gradients, speed, memory.
import { capital, words } from "../format.js";

export const STEP_KEYS = [
  "step", "loss", "given", "learning_rate", "gradient_norm", "max_grad_norm", "tokens_per_second", "rows_per_second", "memory_bytes",
];
const SPLIT_COLORS = { validation: "--second", test: "--third" };

const has = (values) => values?.some((value) => value !== null && value !== undefined);

/** Lines of evaluations: keys like eval.validation.accuracy. */
function evalLines(series, wanted) {
  const lines = [];
  for (const [key, points] of Object.entries(series.points ?? {})) {
    const [kind, split, ...name] = key.split(".");
    if (kind !== "eval" || !wanted(name.join("."), split) || !points.length) continue;
    const placed = forward(points);
    lines.push({
      key, split, name: name.join("."), label: capital(`${split} ${words(name.join("."))}`), x: placed.map(([x]) => x), y: placed.map(([, y]) => y),
      color: SPLIT_COLORS[split] ?? "--third", dash: [],
      // The test rows are scored at the start and at the end: no line leads from one to the other.
      style: split === "test" ? "marks" : "points",
    });
  }
  return lines.sort((a, b) => (a.split === "test") - (b.split === "test"));
}

function trainLoss(series) {
  const { x } = series;
  const { loss = [], "loss~": smoothed } = series.y;
  if (!x.length) return [];
  const raw = { key: "loss", label: "Training, each update", x, y: loss, color: "--accent", style: smoothed ? "raw" : "line" };
  if (!smoothed) return [{ ...raw, label: "Training" }];
  return [raw, { key: "loss~", label: "Training, smoothed", x, y: smoothed, color: "--accent", style: "line" }];
}

function undone(series) {
  return (series.rewound ?? []).filter((piece) => !piece.key || piece.key === "loss").slice(-6).map((piece, index) => ({
    key: `rewound-${index}`, label: "Undone by a rollback", x: piece.x, y: piece.y, color: "--ghost", style: "rewound", silent: index > 0, dash: [3, 3],
  }));
}

function single(series, key, label, color, more = {}) {
  return has(series.y[key]) ? [{ key, label, x: series.x, y: series.y[key], color, style: "line", ...more }] : [];
}

/** Charts of an overview: [{name, title, unit, log, lines}]. */
export function curvesOf(series, overview) {
  const charts = [];
  const add = (name, title, lines, more = {}) => lines.length && charts.push({ name, title, lines, unit: "", log: false, ...more });
  add("loss", "Loss", [...undone(series), ...trainLoss(series), ...evalLines(series, (name) => name === "loss")]);
  if (!charts.length) charts.push({ name: "loss", title: "Loss", lines: [], unit: "" });
  for (const chart of scoreCharts(series, overview)) charts.push(chart);
  add("learning_rate", "Learning rate", single(series, "learning_rate", "Learning rate", "--accent"));
  add("gradient_norm", "Gradient norm", [...single(series, "gradient_norm", "Before clipping", "--accent"), ...single(series, "max_grad_norm", "Clipped at", "--muted", { dash: [6, 4] })], { log: true });
  const speed = has(series.y.tokens_per_second) ? ["tokens_per_second", "Tokens per second"] : ["rows_per_second", "Rows per second"];
  add("speed", speed[1], single(series, speed[0], speed[1], "--accent"));
  const memory = forward(series.points?.memory_bytes ?? []);
  if (memory.length) add("memory", "Memory", [{ key: "memory_bytes", label: "Held", x: memory.map(([x]) => x), y: memory.map(([, y]) => y), color: "--accent", style: "points" }], { unit: "bytes" });
  return charts;
}

/** What was measured before a rollback and lies at or after what came later is left out. */
function forward(points) {
  const kept = [];
  for (const point of points) {
    while (kept.length && kept[kept.length - 1][0] >= point[0]) kept.pop();
    kept.push(point);
  }
  return kept;
}

// Scores that live on the same scale share a chart; the recipe's own comes first.
function scoreCharts(series, overview) {
  const lines = evalLines(series, (name, split) => name !== "loss" && split !== "test");
  const main = overview.run.metric?.name;
  const shares = lines.filter((line) => line.y.every((value) => value === null || (value >= -1 && value <= 1)));
  const others = lines.filter((line) => !shares.includes(line));
  const styles = [["--second", []], ["--accent", [7, 4]], ["--third", [2, 3]], ["--muted", [9, 3, 2, 3]]];
  shares.sort((a, b) => (b.name === main) - (a.name === main));
  const charts = [];
  if (shares.length) {
    const shown = shares.slice(0, 4).map((line, index) => ({ ...line, label: scoreLabel(line), color: styles[index][0], dash: styles[index][1] }));
    charts.push({ name: "scores", title: "Validation scores", lines: shown, unit: "", log: false });
  }
  for (const line of others.slice(0, 3)) charts.push({ name: line.key, title: line.label, lines: [line], unit: "", log: false });
  return charts;
}

const scoreLabel = (line) => capital(words(line.name)) + (line.split === "validation" ? "" : `, ${line.split}`);
