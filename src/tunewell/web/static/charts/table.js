// Lines → one table on a common x, as uPlot wants it.
import uPlot from "../vendor/uplot.mjs";

/** Lines are {x, y, …}; returns [x, y of the first line, y of the second, …] with holes where a line has no point. */
export function joined(lines, log) {
  const tables = [];
  const places = [];
  let shared = null;
  for (const line of lines) {
    const y = log ? line.y.map((value) => (value > 0 ? value : null)) : line.y;
    if (shared && line.x === shared.x) {
      places.push([shared.table, tables[shared.table].length]);
      tables[shared.table].push(y);
      continue;
    }
    places.push([tables.length, 1]);
    tables.push([line.x, y]);
    shared ??= { x: line.x, table: 0 };
  }
  if (tables.length === 1) return tables[0];
  const firsts = [];
  let before = 1;
  for (const table of tables) {
    firsts.push(before);
    before += table.length - 1;
  }
  const all = uPlot.join(tables);
  return [all[0], ...places.map(([table, column]) => all[firsts[table] + column - 1])];
}

/** The index of the value of sorted `values` nearest to `wanted`. */
export function nearest(values, wanted) {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle;
    else high = middle;
  }
  return Math.abs(values[high] - wanted) < Math.abs(values[low] - wanted) ? high : low;
}
