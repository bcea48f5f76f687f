// All runs: search, sort, how each stands. Only the rows on screen are asked for and drawn.
import { classes, html, useCallback, useEffect, useMemo, useRef, useState } from "../dom.js";
import { get } from "../api.js";
import { lookOf } from "../colors.js";
import { ago, capital, count, counted, duration, moment, num, words } from "../format.js";
import { onKey } from "../keys.js";
import { setQuery, useQuery } from "../router.js";
import { useShade } from "../shade.js";
import { subscribe } from "../stream.js";
import { Command } from "../parts/command.js";
import { Icon } from "../parts/icons.js";
import { LabelDialog, Tags } from "../parts/labels.js";
import { Loading, Nothing, Problem } from "../parts/problem.js";
import { Sparkline } from "../parts/sparkline.js";
import { Progress, Status } from "../parts/status.js";

const PAGE = 100; // rows asked for at once
const BEYOND = 8; // rows drawn above and below the screen
const SORTS = [["updated", "Last change"], ["started", "Start"], ["name", "Name"], ["status", "State"], ["metric", "Score"], ["loss", "Loss"]];

/** Rows by place, asked for in windows as they are scrolled to. */
function useRows(search, sort, order) {
  const [state, set] = useState({ total: null, matching: 0, root: "", rows: new Map(), error: null });
  const asked = useRef(new Set());
  const round = useRef(0);
  const load = useCallback((offset) => {
    if (asked.current.has(offset)) return;
    asked.current.add(offset);
    const mine = round.current;
    get("/runs", { search, sort, order, offset, limit: PAGE }).then(
      (answer) => mine === round.current && set((before) => {
        const rows = new Map(before.rows);
        answer.runs.forEach((row, index) => rows.set(offset + index, row));
        return { ...before, total: answer.total, matching: answer.matching, root: answer.root, rows, error: null };
      }),
      (error) => {
        asked.current.delete(offset);
        if (mine === round.current) set((before) => ({ ...before, error }));
      },
    );
  }, [search, sort, order]);
  const again = useCallback((keep) => {
    round.current += 1;
    asked.current = new Set();
    if (!keep) set((before) => ({ ...before, rows: new Map() }));
    load(0);
  }, [load]);
  useEffect(() => again(true), [again]);
  useEffect(() => subscribe("list", (type, news) => {
    if (type === "list") set((before) => changed(before, news, again));
  }), [again]);
  return { ...state, load, again };
}

function changed(before, { rows: news, gone }, again) {
  const places = new Map([...before.rows].map(([place, row]) => [row.id, place]));
  if (gone?.length || news.some((row) => !places.has(row.id))) {
    setTimeout(() => again(true));
    return before;
  }
  const rows = new Map(before.rows);
  for (const row of news) rows.set(places.get(row.id), row);
  return { ...before, rows };
}

/** First and last row on screen, from where the list's box stands in the window. */
function useWindow(box, height) {
  const [range, set] = useState([0, 30]);
  useEffect(() => {
    const look = () => {
      const top = box.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.floor(-top / height) - BEYOND);
      const last = Math.ceil((innerHeight - top) / height) + BEYOND;
      set((before) => (before[0] === first && before[1] === last ? before : [first, last]));
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [height]);
  return range;
}

/** Small curves of the rows on screen, each asked for once until its row changes. */
function useSparks(rows) {
  const [sparks, set] = useState({});
  const known = useRef(new Map());
  useEffect(() => {
    const missing = rows.filter((row) => known.current.get(row.id) !== `${row.step}`).slice(0, 100);
    if (!missing.length) return undefined;
    const timer = setTimeout(() => {
      for (const row of missing) known.current.set(row.id, `${row.step}`);
      get("/sparks", { runs: missing.map((row) => row.id).join(",") }).then((answer) => set((before) => ({ ...before, ...answer })), () => {});
    }, 120);
    return () => clearTimeout(timer);
  }, [rows]);
  return sparks;
}

const narrow = matchMedia("(max-width: 760px)");

function useNarrow() {
  const [is, set] = useState(narrow.matches);
  useEffect(() => {
    const listen = () => set(narrow.matches);
    narrow.addEventListener("change", listen);
    return () => narrow.removeEventListener("change", listen);
  }, []);
  return is;
}

export function Runs() {
  const [search] = useQuery("search");
  const [sort] = useQuery("sort", "updated");
  const [order] = useQuery("order", sort === "name" ? "asc" : "desc");
  const [chosen, setChosen] = useState([]);
  const [labelled, setLabelled] = useState(null);
  const list = useRows(search, sort, order);
  const box = useRef(null);
  const height = useNarrow() ? 116 : 60;
  const [first, last] = useWindow(box, height);
  const visible = useMemo(() => {
    const rows = [];
    for (let place = first; place < Math.min(last, list.matching); place += 1) rows.push([place, list.rows.get(place)]);
    return rows;
  }, [first, last, list.rows, list.matching]);
  useEffect(() => {
    document.title = "Runs · Tunewell";
  }, []);
  useEffect(() => {
    for (let offset = Math.floor(first / PAGE) * PAGE; offset < Math.min(last, list.matching); offset += PAGE) list.load(offset);
  }, [first, last, list.matching, list.load]);
  const sparks = useSparks(useMemo(() => visible.map(([, row]) => row).filter(Boolean), [visible]));
  if (list.error && list.total === null) return html`<div class="page"><${Problem} error=${list.error} onAgain=${() => list.again(false)} /></div>`;
  if (list.total === null) return html`<div class="page"><${Loading} what="Looking for runs" /></div>`;
  if (list.total === 0) return html`<div class="page"><${NoRuns} root=${list.root} /></div>`;
  const choose = (id) => setChosen((before) => (before.includes(id) ? before.filter((one) => one !== id) : [...before, id]));
  return html`<div class="page runs-page">
    <div class="page-head">
      <div><h1>Runs</h1><p class="muted">${list.matching === list.total ? counted(list.total, "run") : `${count(list.matching)} of ${counted(list.total, "run")}`} in <code>${list.root}</code></p></div>
      <${Tools} search=${search} sort=${sort} order=${order} />
    </div>
    ${list.matching === 0 ? html`<${Nothing} title="No run fits this search."><p><button type="button" onClick=${() => setQuery({ search: null })}>Show all runs</button></p><//>` : html`
    <div role="table" aria-label="Runs" aria-rowcount=${list.matching + 1} class="runs">
      <div role="rowgroup"><div role="row" class="runs-head" aria-rowindex="1">
        ${["", "Run", "State", "Training loss", "Validation", "Started", ""].map((text, index) => html`<span role="columnheader" key=${index}>${text || html`<span class="visually-hidden">${index ? "Label" : "Compare"}</span>`}</span>`)}
      </div></div>
      <div role="rowgroup" ref=${box} class="runs-body" style=${{ height: `${list.matching * height}px` }}>
        ${visible.map(([place, row]) => html`<${RunRow} key=${row?.id ?? place} row=${row} place=${place} height=${height} spark=${row && sparks[row.id]} chosen=${row && chosen.includes(row.id)} onChoose=${choose} onLabel=${setLabelled} />`)}
      </div>
    </div>`}
    ${chosen.length > 0 && html`<div class="chosen" role="status">
      <span>${counted(chosen.length, "run")} chosen</span>
      <a class="button primary" href=${`/compare?runs=${chosen.join(",")}`}>Compare</a>
      <button type="button" class="quiet" onClick=${() => setChosen([])}>Clear</button>
    </div>`}
    ${labelled && html`<${LabelDialog} run=${labelled} onClose=${() => setLabelled(null)} />`}
  </div>`;
}

function Tools({ search, sort, order }) {
  const field = useRef(null);
  const timer = useRef(0);
  useEffect(() => onKey({ "/": () => field.current.focus() }), []);
  const type = (event) => {
    const text = event.currentTarget.value;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ search: text }), 150);
  };
  return html`<div class="runs-tools">
    <label class="search"><${Icon} name="search" /><span class="visually-hidden">Search names, tags and notes</span>
      <input type="search" ref=${field} placeholder="Search names, tags, notes" value=${search} onInput=${type} /><kbd aria-hidden="true">/</kbd></label>
    <label class="select"><span>Sort by</span>
      <select value=${sort} onChange=${(event) => setQuery({ sort: event.currentTarget.value, order: null })}>${SORTS.map(([key, text]) => html`<option value=${key} selected=${key === sort}>${text}</option>`)}</select></label>
    <button type="button" class="icon-only" aria-label=${order === "asc" ? "Smallest first; turn round" : "Largest first; turn round"} title=${order === "asc" ? "Smallest first" : "Largest first"} onClick=${() => setQuery({ order: order === "asc" ? "desc" : "asc" })}><${Icon} name=${order === "asc" ? "up" : "down"} /></button>
  </div>`;
}

function RunRow({ row, place, height, spark, chosen, onChoose, onLabel }) {
  const { dark } = useShade();
  const style = { transform: `translateY(${place * height}px)`, height: `${height}px` };
  if (!row) return html`<div role="row" class="run-row waiting" style=${style} aria-rowindex=${place + 2}><span role="cell"></span><span role="cell">…</span></div>`;
  const look = lookOf(row.id, dark);
  return html`<div role="row" class=${classes("run-row", chosen && "chosen-row")} style=${style} aria-rowindex=${place + 2}>
    <span role="cell" class="cell-choose"><input type="checkbox" aria-label=${`Choose ${row.name} for comparing`} checked=${chosen} onChange=${() => onChoose(row.id)} /></span>
    <span role="cell" class="cell-name"><a href=${`/run/${row.id}`}>${row.name}</a><${Tags} tags=${row.tags} />${row.note && html`<small title=${row.note}>${row.note}</small>`}</span>
    <span role="cell" class="cell-state"><${Status} run=${row} />${["running", "paused"].includes(row.status) && html`<${Progress} value=${row.step / (row.total_steps || 1)} level=${row.level} label=${`Progress of ${row.name}`} />`}</span>
    <span role="cell" class="cell-spark"><${Sparkline} values=${spark} color=${look.color} dash=${look.dash} /><b>${num(row.loss)}</b></span>
    <span role="cell" class="cell-metric">${row.metric ? html`<b>${num(row.metric.value)}</b><small>${words(row.metric.name)}, best</small>` : html`<span class="muted">not yet</span>`}</span>
    <span role="cell" class="cell-time" title=${moment(row.started)}>${capital(ago(row.started))}<small>${row.seconds ? `took ${duration(row.seconds)}` : ""}</small></span>
    <span role="cell" class="cell-label"><button type="button" class="quiet icon-only" aria-label=${`Tags and note of ${row.name}`} title="Tags and note" onClick=${() => onLabel(row)}><${Icon} name="tag" /></button></span>
  </div>`;
}

function NoRuns({ root }) {
  return html`<${Nothing} title="No run yet">
    <p>Runs that are written to <code>${root}</code> show here by themselves. Begin one in a terminal:</p>
    <${Command} text="tunewell init data.csv" /><${Command} text="tunewell train train.yaml" />
    <p class="muted">Or try the example that comes along: <code>tunewell train examples/movie_reviews.yaml</code></p>
  <//>`;
}
