// A chart: a title, what each line is and its value under the pointer, the plot, and the same in words and as a table.
import { classes, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../dom.js";
import { inks } from "../colors.js";
import { inUnit } from "../format.js";
import { useShade } from "../shade.js";
import { Icon } from "../parts/icons.js";
import { Flags, grouped } from "./flags.js";
import { optionsOf, uPlot } from "./options.js";
import { joined, nearest } from "./table.js";
import { ChartTable, placeOf, sentence } from "./words.js";

/**
 * Props: title, lines [{key, label, x, y, color, dash, style: line|raw|points|rewound}], kind (step|tokens|epoch|time),
 * unit, log, height, range, flags, placeFlag(step) → x, main, sync, onZoom, onReset, onPick(x), onFlag(flags), tools.
 */
export function Chart(props) {
  const { title, lines, kind = "step", unit = "", log = false, height = 200 } = props;
  const [asTable, setAsTable] = useState(false);
  const [at, setAt] = useState(null);
  const [groups, setGroups] = useState([]);
  const place = useRef(null);
  const { dark } = useShade();
  const drawn = lines.filter((line) => line.x.length);
  const data = useMemo(() => (drawn.length ? joined(drawn, log) : [[]]), [lines, log]);
  const plot = usePlot(place, { ...props, lines: drawn, data, dark, setAt, setGroups });
  const told = drawn.filter((line) => line.style !== "raw" && line.style !== "rewound");
  const text = told.map((line) => sentence(line, kind, unit)).join(" ") || "Nothing measured yet.";
  return html`<section class=${classes("chart", props.main && "main")} aria-label=${title}>
    <header>
      <h3>${title}</h3>
      <div class="chart-tools">
        ${props.tools}
        <button type="button" class="quiet icon-only" aria-pressed=${asTable} title="Show the numbers as a table" aria-label=${`${title}: show as a table`} onClick=${() => setAsTable(!asTable)}><${Icon} name="table" /></button>
      </div>
    </header>
    <${Legend} lines=${drawn} data=${data} at=${at} unit=${unit} kind=${kind} />
    ${drawn.length === 0 && html`<p class="nothing" style=${{ height: `${height}px` }}>Nothing measured yet.</p>`}
    <div class="plot" hidden=${asTable || drawn.length === 0} ref=${place} ...${keyboard(props, plot, data, at)}>
      ${props.flags && html`<div class="flags"><${Flags} groups=${groups} onOpen=${props.onFlag} reachable=${props.main} /></div>`}
    </div>
    ${asTable && html`<${ChartTable} data=${data} lines=${drawn} kind=${kind} unit=${unit} title=${title} />`}
    <p class="visually-hidden">${text}</p>
  </section>`;
}

function Legend({ lines, data, at, unit, kind }) {
  const shown = lines.map((line, index) => [line, index]).filter(([line]) => !line.silent);
  shown.sort(([a], [b]) => (a.style === "rewound") - (b.style === "rewound"));
  if (!shown.length) return null;
  const [x, ...columns] = data;
  return html`<div class="legend" aria-hidden="true">
    ${shown.map(([line, index]) => html`<span key=${line.key}>
      <${Sample} line=${line} /> ${line.label}
      <b>${inUnit(valueAt(columns[index], at, isSparse(line)), unit)}</b>
    </span>`)}
    ${at !== null && x[at] !== undefined && html`<span class="legend-place">${placeOf(kind, x[at])}</span>`}
  </div>`;
}

// Nothing pointed at: the newest. A line of single points shows the last one before the pointer.
function valueAt(column, at, single) {
  if (at !== null && !single) return column[at];
  for (let index = at ?? column.length - 1; index >= 0; index -= 1) {
    if (column[index] !== null && column[index] !== undefined) return column[index];
  }
  return null;
}

const isSparse = ({ style }) => style === "points" || style === "marks";

function Sample({ line }) {
  const stroke = line.color.startsWith("--") ? `var(${line.color})` : line.color;
  return html`<svg width="20" height="8" viewBox="0 0 20 8" focusable="false">
    ${line.style !== "marks" && html`<line x1="1" y1="4" x2="19" y2="4" stroke=${stroke} stroke-width=${line.style === "raw" ? 1 : 2} stroke-dasharray=${line.dash?.join(" ")} opacity=${line.style === "raw" ? 0.5 : 1} />`}
    ${isSparse(line) && html`<circle cx="10" cy="4" r="3" fill=${stroke} />`}
  </svg>`;
}

/** Keep one uPlot in `place`; it is made anew when what it draws changes in kind, and fed when only numbers change. */
function usePlot(place, props) {
  const plot = useRef(null);
  const now = useRef(props);
  now.current = props;
  const look = JSON.stringify([
    props.lines.map(({ key, color, dash, style, y }) => [key, color, dash, style, y.length < 2]),
    props.log, props.kind, props.unit, props.dark, props.height, Boolean(props.flags),
  ]);
  useLayoutEffect(() => {
    const element = place.current;
    if (!props.lines.length) return undefined;
    const hooks = {
      zoom: (range) => now.current.onZoom?.(range),
      reset: () => now.current.onReset?.(),
      moved: (index) => now.current.setAt(index ?? null),
      drawn: (drawn) => now.current.flags && queueMicrotask(() => placeFlags(drawn, now.current)),
    };
    const options = { ...props, range: () => now.current.range };
    const size = { width: Math.max(120, element.clientWidth), height: props.height ?? 200 };
    const made = new uPlot(optionsOf(options, inks(), size, hooks, props.sync), props.data, element);
    made.over.addEventListener("click", () => pick(made, now.current));
    plot.current = made;
    const watcher = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: props.height ?? 200 });
    });
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [look]);
  useEffect(() => plot.current?.setData(props.data), [props.data, props.range?.[0], props.range?.[1]]);
  useEffect(() => {
    if (plot.current && props.flags) placeFlags(plot.current, props);
  }, [props.flags]);
  return plot;
}

function placeFlags(plot, { flags, placeFlag, setGroups }) {
  const left = plot.bbox.left / devicePixelRatio;
  const groups = grouped(flags, (step) => {
    const x = placeFlag(step);
    const { min, max } = plot.scales.x;
    if (x === null || min === undefined || x < min || x > max) return null;
    return Math.round(left + plot.valToPos(x, "x"));
  });
  setGroups((before) => (JSON.stringify(before) === JSON.stringify(groups) ? before : groups));
}

function pick(plot, { onPick, data }) {
  const index = plot.cursor.idx;
  if (index !== null && index !== undefined) onPick?.(data[0][index]);
}

/** Arrows move along the curve, Enter opens the point: the plot is a slider of places. */
function keyboard({ onPick, title, kind = "step", unit, lines }, plot, data, at) {
  const [x, ...columns] = data;
  if (!onPick || !x.length) return {};
  const move = (index) => {
    const to = Math.max(0, Math.min(x.length - 1, index));
    const made = plot.current;
    made?.setCursor({ left: made.valToPos(x[to], "x"), top: made.over.clientHeight / 2 });
  };
  const onKeyDown = (event) => {
    const from = at ?? x.length - 1;
    const stride = event.shiftKey ? Math.max(10, Math.round(x.length / 20)) : 1;
    const moves = { ArrowLeft: from - stride, ArrowRight: from + stride, Home: 0, End: x.length - 1 };
    if (event.target !== event.currentTarget) return;
    if (event.key in moves) move(moves[event.key]);
    else if (event.key === "Enter") onPick(x[from]);
    else return;
    event.preventDefault();
  };
  const index = at ?? x.length - 1;
  const shown = lines.filter((line) => line.x.length).map((line, place) => [line, columns[place]?.[index]]).filter(([line, value]) => !line.silent && value !== null && value !== undefined);
  const said = `${placeOf(kind, x[index])}: ${shown.map(([line, value]) => `${line.label} ${inUnit(value, unit)}`).join(", ")}`;
  return {
    tabindex: 0, role: "slider", "aria-label": `${title}, points; arrows move, Enter opens`, "aria-valuemin": 0, "aria-valuemax": x.length - 1,
    "aria-valuenow": index, "aria-valuetext": said, onKeyDown,
  };
}

export { nearest };
