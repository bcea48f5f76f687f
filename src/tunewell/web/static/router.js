// Where the reader is: the path names a screen, the query holds how they look at it.
import { useEffect, useState, useCallback } from "./dom.js";

const listeners = new Set();
const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });
let current = read();

function changed() {
  current = read();
  for (const listen of listeners) listen(current);
}
addEventListener("popstate", changed);

/** Go to `url` within the page; `replace` leaves no entry in the history. */
export function go(url, { replace = false } = {}) {
  if (url === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  changed();
  if (!replace) scrollTo(0, 0);
}

/** The present path and query, kept up to date. */
export function useRoute() {
  const [route, set] = useState(current);
  useEffect(() => {
    listeners.add(set);
    set(current);
    return () => listeners.delete(set);
  }, []);
  return route;
}

/** One entry of the query as [value, set]; a value equal to `fallback` is left out of the URL. */
export function useQuery(key, fallback = "") {
  const route = useRoute();
  const value = route.query.get(key) ?? fallback;
  const set = useCallback(
    (next, options = { replace: true }) => setQuery({ [key]: next === fallback ? null : next }, options),
    [key, fallback],
  );
  return [value, set];
}

/** Change entries of the query; null takes one out. */
export function setQuery(changes, options = { replace: true }) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") query.delete(key);
    else query.set(key, String(value));
  }
  const text = query.toString().replaceAll("%2C", ",");
  go(location.pathname + (text ? `?${text}` : ""), options);
}

/** Follow links inside the page without loading it anew; new tabs and downloads stay the browser's. */
export function followLinks(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin || link.dataset.outside !== undefined) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

const RUN = /^\/run\/([^/]+)(?:\/(layers|data|examples|system))?\/?$/;

/** Which screen a path names: {screen, run}. */
export function screenOf(path) {
  if (path === "/") return { screen: "runs" };
  if (path === "/compare") return { screen: "compare" };
  const found = RUN.exec(path);
  if (found) return { screen: found[2] ?? "overview", run: decodeURIComponent(found[1]) };
  return { screen: "missing" };
}
