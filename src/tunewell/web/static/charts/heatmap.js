// Layers over steps as a picture: one cell a value, brightness on a logarithmic scale that looks even.
import { html, useEffect, useRef, useState } from "../dom.js";
import { heat } from "../colors.js";
import { count, num } from "../format.js";

/** Logarithms of the lowest and highest value worth telling apart: 1 % at each end is cut off. */
function boundsOf(values) {
  const logs = values.flat().filter((value) => value > 0).map(Math.log10).sort((a, b) => a - b);
  if (!logs.length) return [0, 1];
  const at = (share) => logs[Math.min(logs.length - 1, Math.floor(share * logs.length))];
  const [low, high] = [at(0.01), at(0.99)];
  return high - low < 0.3 ? [low - 0.15, high + 0.15] : [low, high];
}

function paint(canvas, { values, layers, steps }) {
  const [low, high] = boundsOf(values);
  canvas.width = steps.length;
  canvas.height = layers.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(steps.length, layers.length);
  values.forEach((row, y) => {
    row.forEach((value, x) => {
      const place = (y * steps.length + x) * 4;
      const known = Number.isFinite(value);
      const color = known ? heat(value > 0 ? (Math.log10(value) - low) / (high - low) : 0) : [128, 128, 128];
      image.data.set([...color, known ? 255 : 70], place);
    });
  });
  context.putImageData(image, 0, 0);
}

export function HeatMap({ data, chosen, onLayer }) {
  const canvas = useRef(null);
  const [over, setOver] = useState(null);
  useEffect(() => paint(canvas.current, data), [data]);
  const height = Math.max(data.layers.length * 20, 120);
  const cellAt = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const step = Math.floor(((event.clientX - box.left) / box.width) * data.steps.length);
    const layer = Math.floor(((event.clientY - box.top) / box.height) * data.layers.length);
    return [Math.max(0, Math.min(data.steps.length - 1, step)), Math.max(0, Math.min(data.layers.length - 1, layer))];
  };
  return html`<div class="heat">
    <ul class="heat-names" style=${{ height: `${height}px` }}>${data.layers.map((name) => html`<li key=${name}><button type="button" class="quiet" aria-pressed=${name === chosen} title=${name} onClick=${() => onLayer(name === chosen ? "" : name)}>${name}</button></li>`)}</ul>
    <div class="heat-picture">
      <canvas ref=${canvas} style=${{ height: `${height}px` }} aria-hidden="true" onMouseMove=${(event) => setOver(cellAt(event))} onMouseLeave=${() => setOver(null)} onClick=${(event) => onLayer(data.layers[cellAt(event)[1]])}></canvas>
      <div class="heat-steps" aria-hidden="true"><span>step ${count(data.steps[0])}</span><span>${over ? `${data.layers[over[1]]} · step ${count(data.steps[over[0]])} · ${num(data.values[over[1]][over[0]], 3)}` : "input at the top, output at the bottom"}</span><span>${count(data.steps.at(-1))}</span></div>
    </div>
  </div>`;
}

/** What the colours mean. */
export function HeatScale({ values }) {
  const canvas = useRef(null);
  const [low, high] = boundsOf(values);
  useEffect(() => {
    const context = canvas.current.getContext("2d");
    for (let x = 0; x < 160; x += 1) {
      context.fillStyle = `rgb(${heat(x / 159).join(" ")})`;
      context.fillRect(x, 0, 1, 10);
    }
  }, []);
  return html`<p class="heat-scale"><span>${num(10 ** low, 2)}</span><canvas ref=${canvas} width="160" height="10" aria-hidden="true"></canvas><span>${num(10 ** high, 2)}</span><span class="muted">logarithmic; grey: not measured or not finite</span></p>`;
}
