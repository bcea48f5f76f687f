// How uPlot is to draw: one place for the look of all charts.
import uPlot from "../vendor/uplot.mjs";
import { duration, inUnit, num, short } from "../format.js";

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** Options of a chart. `props`: {lines, log, kind, unit, range, flags}; `hooks`: {zoom, reset, pick, moved, drawn}. */
export function optionsOf(props, ink, size, hooks, sync) {
  return {
    ...size,
    padding: [props.flags ? 26 : 8, 14, 0, 2],
    legend: { show: false },
    scales: {
      x: { time: false, range: (plot, low, high) => spread(props.range() ?? [low, high]) },
      y: { distr: props.log ? 3 : 1, range: props.log ? logRange : linearRange },
    },
    axes: [axisOfX(props.kind, ink), axisOfY(props, ink)],
    series: [{}, ...props.lines.map((line) => seriesOf(line, ink))],
    cursor: {
      sync: sync ? { key: sync, setSeries: false } : undefined,
      drag: { x: true, y: false, setScale: false, dist: 8 },
      points: { size: 8, width: 2, fill: (plot, index) => plot.series[index].stroke(), stroke: () => ink.surface },
      bind: { dblclick: () => () => hooks.reset() },
    },
    hooks: {
      setSelect: [(plot) => selected(plot, hooks)],
      setCursor: [(plot) => hooks.moved(plot.cursor.idx)],
      draw: [(plot) => hooks.drawn(plot)],
    },
  };
}

function selected(plot, hooks) {
  const { left, width } = plot.select;
  if (width < 8) return;
  const range = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  hooks.zoom(range);
}

const spread = ([low, high]) => {
  if (low === null || low === undefined || !Number.isFinite(low)) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
};

function linearRange(plot, low, high) {
  if (low === null || !Number.isFinite(low)) return [0, 1];
  if (low === high) return low === 0 ? [0, 1] : [Math.min(0, low * 1.2), Math.max(0, high * 1.2)];
  const room = (high - low) * 0.06;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

function logRange(plot, low, high) {
  if (!(low > 0)) return [0.1, 1];
  return low === high ? [low / 2, high * 2] : [low * 0.9, high * 1.1];
}

const common = (ink) => ({
  stroke: ink.muted,
  font: FONT,
  grid: { stroke: ink.grid, width: 1 },
  ticks: { show: false },
  border: { show: false },
});

function axisOfX(kind, ink) {
  const label = kind === "time" ? duration : kind === "epoch" ? (value) => num(value, 3) : (value) => short(value).replace(" ", " ");
  const incrs = kind === "step" || kind === "tokens" ? whole : undefined;
  return { ...common(ink), size: 30, gap: 6, space: 70, incrs, grid: { show: false }, values: (plot, places) => places.map(label) };
}

const whole = [1, 2, 5, 10, 20, 50, 100, 200, 250, 500, ...[3, 4, 5, 6, 7, 8, 9, 10, 11].flatMap((power) => [1, 2, 5].map((part) => part * 10 ** power))];

function axisOfY({ log, unit }, ink) {
  const values = (plot, places) => places.map((value) => (value === null ? "" : inUnit(value, unit)));
  const filter = log ? decadesOnly : undefined;
  const size = (plot, labels) => Math.max(38, 12 + 6.6 * Math.max(0, ...(labels ?? []).map((label) => String(label ?? "").length)));
  const grid = filter ? { ...common(ink).grid, filter } : common(ink).grid;
  return { ...common(ink), grid, size, gap: 6, space: 34, values, filter };
}

/** On a log axis only the powers of ten carry a line and a number, and 2 and 5 of each where there is room. */
function decadesOnly(plot, places) {
  const decades = Math.log10(plot.scales.y.max / plot.scales.y.min);
  const heads = decades > 2.5 ? ["1"] : decades > 0.9 ? ["1", "2", "5"] : null;
  const every = decades > 7 ? 2 : 1;
  return places.map((value) => {
    const [mantissa, power] = value.toExponential(4).split("e");
    const isHead = !heads || heads.some((head) => mantissa === `${head}.0000`);
    return isHead && Number(power) % every === 0 ? value : null;
  });
}

function seriesOf(line, ink) {
  const color = line.color.startsWith("--") ? ink[line.color.slice(2)] : line.color;
  const isPoints = line.style === "points" || line.style === "marks";
  return {
    label: line.label,
    stroke: color,
    width: line.style === "raw" || line.style === "rewound" ? 1 : line.style === "marks" ? 0 : 2,
    alpha: line.style === "raw" ? 0.38 : line.style === "rewound" ? 0.6 : 1,
    dash: line.dash,
    spanGaps: isPoints,
    points: isPoints ? { show: true, size: 6, fill: color, width: 1 } : { show: line.y.length < 2, size: 5 },
  };
}

export { uPlot };
