// What the server knows of a run, kept up to date by the stream.
import { useCallback, useEffect, useRef, useState } from "./dom.js";
import { get } from "./api.js";
import { know, subscribe } from "./stream.js";
import { goOn } from "./charts/smoothing.js";

/** Ask `path` once per change of it and of `query`: {data, error, loading, again}. */
export function useAnswer(path, query = {}) {
  const key = path === null ? null : `${path} ${JSON.stringify(query)}`;
  const [answer, set] = useState({ data: null, error: null, loading: true, key: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (path === null) return undefined;
    const aborter = new AbortController();
    set((before) => ({ ...before, loading: true }));
    get(path, query, aborter.signal).then(
      (data) => set({ data, error: null, loading: false, key }),
      (error) => error.name === "AbortError" || set((before) => ({ ...before, error, loading: false })),
    );
    return () => aborter.abort();
  }, [key, round]);
  const again = useCallback(() => setRound((before) => before + 1), []);
  return { ...answer, again };
}

/** The overview of a run, live: {overview, error}. */
export function useOverview(run) {
  const { data, error, again } = useAnswer(`/runs/${encodeURIComponent(run)}`);
  const [news, setNews] = useState(null);
  useEffect(() => know(data?.cursor), [data]);
  useEffect(() => {
    setNews(null);
    return subscribe(`run:${run}`, (type, event) => {
      if (type === "overview") setNews({ run, overview: event.overview });
      else if (type === "tick") setNews((before) => ticked(before?.overview, run, event));
    });
  }, [run]);
  // A tick may come before the first answer does: then the answer is as new as it.
  const base = news?.overview ?? data;
  const overview = base && news?.tick ? { ...base, ...merged(base, news.tick) } : base;
  return { overview: overview?.run ? overview : null, error, again };
}

function ticked(overview, run, tick) {
  return { run, overview: overview ?? null, tick };
}

function merged(overview, tick) {
  const run = { ...overview.run };
  for (const key of ["step", "words", "level", "loss", "epoch", "status"]) if (key in tick) run[key] = tick[key];
  const change = { run };
  for (const key of ["progress", "eta_seconds", "rates", "paused", "headline"]) if (key in tick) change[key] = tick[key];
  return change;
}

const MOST_POINTS = 6000; // then the server samples anew

/** Series of a run, live unless a range is chosen: {series, error}; `series.version` changes when points arrive. */
export function useSeries(run, keys, x, range, options = {}) {
  const wanted = keys.join(",");
  const held = useRef(null);
  const whole = useRef(null);
  const [state, set] = useState({ series: null, error: null });
  const { points = 1200, strength } = options;
  const halfLife = useRef(null);
  halfLife.current = options.halfLife ?? (() => 0);
  useEffect(() => {
    if (!wanted) return undefined;
    let aborter = new AbortController();
    let frame = 0;
    let waiting = [];
    held.current = null;
    const show = () => {
      frame = 0;
      set({ series: { ...held.current }, error: null });
    };
    const fetchAll = () => {
      aborter.abort();
      aborter = new AbortController();
      const smooth = Math.round(halfLife.current(shareOf(range, held.current ?? whole.current)));
      const query = { keys: wanted, x, from: range?.[0], to: range?.[1], points, smooth: smooth || null };
      get(`/runs/${encodeURIComponent(run)}/series`, query, aborter.signal).then(
        (answer) => {
          held.current = { ...answer, keys: wanted, halfLife: smooth, version: (held.current?.version ?? 0) + 1 };
          know(answer.cursor);
          if (!range) whole.current = { x: answer.x };
          for (const news of waiting) append(held.current, news, x);
          waiting = [];
          show();
        },
        (error) => error.name === "AbortError" || set((before) => ({ ...before, error })),
      );
    };
    fetchAll();
    const stop = subscribe(`run:${run}`, (type, event) => {
      if (type === "reset") return fetchAll();
      if (type !== "points" || range) return undefined;
      if (!held.current) return void waiting.push(event);
      if (missesSome(held.current, event)) return fetchAll();
      append(held.current, event, x);
      if (held.current.x.length > MOST_POINTS) return fetchAll();
      frame ||= requestAnimationFrame(show);
      return undefined;
    });
    return () => {
      stop();
      aborter.abort();
      cancelAnimationFrame(frame);
    };
  }, [run, wanted, x, range?.[0], range?.[1], points, strength]);
  return state.series && state.series.keys === wanted ? state : { ...state, series: state.series };
}

/** How much of the whole a range is: 1 where that is not known. */
function shareOf(range, series) {
  if (!range || !series?.x.length) return 1;
  const width = series.x[series.x.length - 1] - series.x[0];
  return width > 0 ? Math.min(1, (range[1] - range[0]) / width) : 1;
}

/** Speeds follow from what the news hold, as long as they hold every update. */
function withRates(steps, series) {
  if (!steps?.seconds || steps.rows_per_second) return;
  const before = series.lastTokens ?? null;
  const each = (index) => (index ? steps.tokens[index] - steps.tokens[index - 1] : before === null ? null : steps.tokens[0] - before);
  const rate = (amount, seconds) => (amount !== null && amount >= 0 && seconds > 0 ? amount / seconds : null);
  steps.rows_per_second = steps.seconds.map((seconds, index) => rate(steps.rows[index], seconds));
  steps.tokens_per_second = steps.seconds.map((seconds, index) => rate(each(index), seconds));
  series.lastTokens = steps.tokens[steps.tokens.length - 1] ?? before;
}

/** Steps follow one another; where some lie between what is held and the news, they were missed. */
function missesSome(series, { steps }) {
  const known = series.y.step;
  if (!known?.length || !steps?.step?.length) return false;
  const [low, high] = [Math.min(...steps.step.slice(0, 2)), known[known.length - 1]];
  return low > high + 1;
}

function append(series, { steps, evals }, x) {
  withRates(steps, series);
  const news = steps?.[x] ?? steps?.step ?? [];
  const last = series.x.length ? series.x[series.x.length - 1] : -Infinity;
  const from = news.findIndex((value) => value > last);
  if (from >= 0) {
    series.x = series.x.concat(news.slice(from));
    series.y = { ...series.y };
    for (const key of Object.keys(series.y)) {
      if (key.endsWith("~")) continue;
      const values = steps[key]?.slice(from) ?? Array(news.length - from).fill(null);
      series.y[key] = series.y[key].concat(values);
    }
    for (const key of Object.keys(series.y).filter((name) => name.endsWith("~"))) {
      const values = steps[key.slice(0, -1)]?.slice(from) ?? [];
      series.y[key] = series.y[key].concat(goOn(series.y[key], values, series.halfLife));
    }
    series.total = (series.total ?? 0) + news.length - from;
  }
  for (const [key, values] of Object.entries(evals ?? {})) addPoints(series, key, values, x, steps);
  series.version += 1;
}

// Evaluations carry their step alone; under another x they stand where that step does.
function addPoints(series, key, values, x, steps) {
  const name = key.startsWith("eval.") || key === "memory_bytes" ? key : `eval.${key}`;
  const known = series.points?.[name] ?? [];
  const last = known.length ? known[known.length - 1][2] : -Infinity;
  const end = series.x.length ? series.x[series.x.length - 1] : 0;
  const placed = values.filter(([step]) => step > last).map(([step, y]) => {
    const place = x === "step" ? -1 : (steps?.step ?? []).indexOf(step);
    return [x === "step" ? step : place >= 0 ? steps[x][place] : end, y, step];
  });
  series.points = { ...series.points, [name]: known.concat(placed) };
}
