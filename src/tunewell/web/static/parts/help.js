// The keys.
import { html } from "../dom.js";
import { Dialog } from "./dialog.js";

const KEYS = [
  ["Everywhere", [["?", "this list"], ["t", "light, dark, as the system"], ["g", "all runs"], ["Esc", "close a window or drawer"]]],
  ["All runs", [["/", "search"]]],
  ["A run", [["1 – 5", "Overview, Layers, Data, Examples, System"], ["c", "go to the controls"], ["x", "next x axis: step, tokens, epoch, time"], ["l", "logarithmic loss"], ["0", "show the whole run again"], ["n", "next alert"]]],
  ["A chart", [["Tab", "reach it"], ["← →", "move along the curve, with Shift in larger strides"], ["Enter", "open the point: its rows and checkpoint"], ["drag", "zoom into a stretch"], ["double click", "show the whole run again"]]],
];

export function Help({ onClose }) {
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <div class="keys">${KEYS.map(([title, keys]) => html`<section key=${title}>
      <h3>${title}</h3>
      <dl>${keys.map(([key, words]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
    </section>`)}</div>
  <//>`;
}
