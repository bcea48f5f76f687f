// Small drawings, 16 × 16, in the colour of the text. Each stands beside a word or a label, never alone.
import { html } from "../dom.js";

const PATHS = {
  good: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.2 8.2l2 2 3.8-4.2",
  attention: "M8 2.2 14.4 13.4H1.6L8 2.2ZM8 6.6v3M8 11.4v.2",
  bad: "M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4l3.6-3.6ZM6 6l4 4M10 6l-4 4",
  off: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.2 8h5.6",
  info: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 7.4v3.6M8 5v.2",
  blind: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM6.2 6.3a1.8 1.8 0 1 1 2.6 1.7c-.5.3-.8.6-.8 1.2M8 11.2v.2",
  pause: "M5.6 3.4v9.2M10.4 3.4v9.2",
  play: "M5 3.2v9.6L12.6 8 5 3.2Z",
  save: "M8 2.2v7.2M5 6.8l3 3 3-3M2.6 11v2.4h10.8V11",
  evaluate: "M2.6 13.4V8.8M6.2 13.4V5.4M9.8 13.4V7.4M13.4 13.4V2.8",
  rate: "M2.6 3.4v10h10.8M4.6 10.6c3.4 0 3.6-6 8.4-6",
  undo: "M5.6 3 2.6 6l3 3M2.8 6h6.4a3.8 3.8 0 0 1 0 7.6H6",
  stop: "M3.6 3.6h8.8v8.8H3.6V3.6Z",
  close: "M3.6 3.6l8.8 8.8M12.4 3.6l-8.8 8.8",
  check: "M2.8 8.6l3.4 3.4 7-7.6",
  wrench: "M9.6 6.4 3.2 12.8M13.4 4.4a3.2 3.2 0 0 1-4.2 4.2 3.2 3.2 0 0 1-1.8-4.6 3.2 3.2 0 0 1 3.4-1.4L9 4.4 11.6 7l1.8-2.6Z",
  person: "M8 2.4a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2ZM2.8 13.8c.6-2.8 2.6-4.2 5.2-4.2s4.6 1.4 5.2 4.2",
  flag: "M4 14V2.4M4 3h8.4l-2 2.8 2 2.8H4",
  branch: "M4.4 5.4v5.2M4.4 2.2a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2ZM4.4 10.6a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2ZM11.6 3a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2ZM11.6 6.2c0 3-7.2 1.6-7.2 4.4",
  copy: "M5.6 5.6h8v8h-8v-8ZM3.4 10.4H2.4v-8h8v1",
  search: "M7 2.4a4.6 4.6 0 1 0 0 9.2 4.6 4.6 0 0 0 0-9.2ZM10.4 10.4l3.4 3.4",
  table: "M2.4 3h11.2v10H2.4V3ZM2.4 6.4h11.2M2.4 9.8h11.2M6.4 3v10",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M3.3 12.7l1-1M11.7 4.3l1-1",
  moon: "M13.4 9.4A5.8 5.8 0 0 1 6.6 2.6a5.8 5.8 0 1 0 6.8 6.8Z",
  auto: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM8 2.2v11.6M10 3v10M12 4.4v7.2",
  help: "M6 6a2 2 0 1 1 2.8 1.9c-.6.3-.8.7-.8 1.5M8 12v.2",
  tag: "M2.4 2.4h5l6.2 6.2-5 5-6.2-6.2v-5ZM5.2 5.2v.1",
  down: "M4 6.2l4 4 4-4",
  up: "M4 9.8l4-4 4 4",
  right: "M6.2 4l4 4-4 4",
  out: "M6.4 3H3v10h10V9.6M9 3h4v4M13 3 7.4 8.6",
  rows: "M2.4 4h11.2M2.4 8h11.2M2.4 12h7",
  more: "M3.6 8v.1M8 8v.1M12.4 8v.1",
  waiting: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 4.6V8l2.2 1.6",
};

/** A drawing by its name. */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name] ?? PATHS.info} /></svg>`;
}

const LEVEL_ICONS = { good: "good", attention: "attention", bad: "bad", off: "off", info: "info" };
const STATUS_ICONS = { paused: "pause", completed: "good", stopped: "stop" };

/** The icon of a run's state; what is wrong with it comes before how it stands. */
export const iconOfRun = ({ level, status }) =>
  level === "attention" || level === "bad" ? LEVEL_ICONS[level] : (STATUS_ICONS[status] ?? LEVEL_ICONS[level] ?? "info");
