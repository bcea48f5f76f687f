// News from the server, over one connection for all tabs: a browser allows only six to one host.
//
// The tab that holds a Web Lock is the leader. It keeps the connection for what all tabs want and hands events on over a
// BroadcastChannel. When it closes, the lock passes to another tab, which goes on from the last cursor. A browser
// without locks or channels gives each tab a connection of its own.
import { newId } from "./api.js";

const TYPES = ["points", "overview", "tick", "reset", "list", "bye"];
const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const SILENCE = 45_000; // three of the server's signs of life

const tab = newId();
const shared = "locks" in navigator && "BroadcastChannel" in self;
const channel = shared ? new BroadcastChannel("tunewell") : null;

const subscribers = new Map(); // topic → handlers of this tab
const wanted = new Map(); // tab → topics: what the leader knows of all tabs
const cursors = new Map(); // "list" or a run's id → up to where it is known: what a new connection goes on from
const watchers = new Set(); // who shows the state of the connection
let state = { open: false, everOpen: false, last: Date.now(), since: Date.now() };
let leading = false;
let source = null;
let openTopics = "";
let wait = FIRST_WAIT;
let timer = 0;
let regather = 0;

/** Hear of `topic` ("list" or "run:ID") until the returned function is called. */
export function subscribe(topic, handler) {
  if (!subscribers.has(topic)) subscribers.set(topic, new Set());
  subscribers.get(topic).add(handler);
  tellWants();
  return () => {
    const handlers = subscribers.get(topic);
    handlers?.delete(handler);
    if (handlers && !handlers.size) subscribers.delete(topic);
    tellWants();
  };
}

/** Take note of the cursor that came with an answer, so that nothing is missed between it and the stream. */
export function know(cursor) {
  if (!cursor) return;
  for (const [name, place] of partsOf(cursor)) if (!cursors.has(name)) cursors.set(name, place);
  if (leading) gather();
  else channel?.postMessage({ kind: "know", cursor });
}

const partsOf = (cursor) => cursor.split(",").map((part) => part.split("=")).filter((part) => part.length === 2);

function learn(id) {
  for (const [name, place] of partsOf(id)) cursors.set(name, place);
}

/** Hear of the connection itself: {open, everOpen, last: time of the last sign of life}. */
export function watchState(handler) {
  watchers.add(handler);
  handler(state);
  return () => watchers.delete(handler);
}

/** Try to connect now, in place of when the waiting time is over. */
export function reconnect() {
  if (!leading) return channel?.postMessage({ kind: "reconnect" });
  wait = FIRST_WAIT;
  connect(true);
}

function tellWants() {
  const topics = [...subscribers.keys()];
  wanted.set(tab, topics);
  channel?.postMessage({ kind: "want", tab, topics });
  if (leading) gather();
}

function setState(change) {
  state = { ...state, ...change };
  for (const watch of watchers) watch(state);
}

function deliver(type, data, id) {
  if (id) learn(id);
  state.last = Date.now();
  if (type === "bye") return;
  const topic = type === "list" ? "list" : `run:${data.run}`;
  for (const handler of subscribers.get(topic) ?? []) handler(type, data);
}

function hear({ data: message }) {
  if (message.kind === "want") {
    wanted.set(message.tab, message.topics);
    if (leading) gather();
  } else if (message.kind === "gone") {
    wanted.delete(message.tab);
    if (leading) gather();
  } else if (message.kind === "who") {
    channel.postMessage({ kind: "want", tab, topics: [...subscribers.keys()] });
  } else if (message.kind === "know" && leading) {
    know(message.cursor);
  } else if (message.kind === "event" && !leading) {
    deliver(message.type, message.data, message.id);
  } else if (message.kind === "state" && !leading) {
    setState(message.state);
  } else if (message.kind === "reconnect" && leading) {
    reconnect();
  }
}

// Subscriptions come in bursts when a screen changes: one new connection for all of them, begun once the first answer
// about each run has said where to go on from, or a moment later.
function gather(waited = 0) {
  clearTimeout(regather);
  regather = setTimeout(async () => {
    if (shared) await forgetClosedTabs();
    const unknown = topicsOfAll().some((topic) => topic !== "list" && !cursors.has(topic.slice(4)));
    if (unknown && waited < 400) gather(waited + 40);
    else connect(false);
  }, 40);
}

const topicsOfAll = () => [...new Set([...wanted.values()].flat())].sort();

// A tab that crashed said no farewell; but its lock is free.
async function forgetClosedTabs() {
  const { held } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  for (const other of wanted.keys()) {
    if (other !== tab && !alive.has(`tunewell-tab-${other}`)) wanted.delete(other);
  }
}

function connect(again) {
  const topics = topicsOfAll().join(",");
  if (!again && topics === openTopics && source) return;
  clearTimeout(timer);
  source?.close();
  source = null;
  openTopics = topics;
  if (!topics) return announce({ open: true, everOpen: true, last: Date.now() });
  const query = new URLSearchParams({ topics });
  const known = topicsOfAll().map((topic) => topic.replace("run:", "")).filter((name) => cursors.has(name));
  if (known.length) query.set("cursor", known.map((name) => `${name}=${cursors.get(name)}`).join(","));
  const opened = new EventSource(`/api/events?${query}`);
  source = opened;
  opened.onopen = () => {
    wait = FIRST_WAIT;
    announce({ open: true, everOpen: true, last: Date.now() });
  };
  opened.onerror = () => lost(opened);
  for (const type of TYPES) opened.addEventListener(type, (event) => receive(type, event));
}

function receive(type, event) {
  const data = JSON.parse(event.data);
  deliver(type, data, event.lastEventId);
  channel?.postMessage({ kind: "event", type, data, id: event.lastEventId });
  if (type === "bye") lost(source);
}

function lost(which) {
  if (which !== source) return;
  which?.close();
  source = null;
  announce({ open: false, since: state.open ? Date.now() : state.since });
  clearTimeout(timer);
  timer = setTimeout(() => connect(true), wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

function announce(change) {
  setState(change);
  channel?.postMessage({ kind: "state", state });
}

function lead() {
  leading = true;
  wanted.set(tab, [...subscribers.keys()]);
  channel?.postMessage({ kind: "who" });
  gather();
  return new Promise(() => {}); // the lock is kept until the tab closes
}

/** Begin; called once by the page. */
export function start() {
  if (!shared) return void lead();
  channel.onmessage = hear;
  navigator.locks.request(`tunewell-tab-${tab}`, () => new Promise(() => {}));
  navigator.locks.request("tunewell-stream", lead);
  channel.postMessage({ kind: "want", tab, topics: [...subscribers.keys()] });
  addEventListener("pagehide", () => {
    source?.close();
    channel.postMessage({ kind: "gone", tab });
  });
  addEventListener("online", reconnect);
}

export { SILENCE };
