// A curve the size of a word.
import { html } from "../dom.js";

/** `values` with nulls as gaps, evenly spaced or at `x`; drawn to fill its box. `label` says it in words. */
export function Sparkline({ values, x, width = 120, height = 28, color = "currentColor", dash, label, mark }) {
  const known = (values ?? []).filter((value) => Number.isFinite(value));
  if (known.length < 2) return html`<svg class="spark" width=${width} height=${height} aria-hidden="true"></svg>`;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const places = x ?? values.map((value, index) => index);
  const [left, right] = [places[0], places[places.length - 1]];
  const toX = (place) => 2 + ((place - left) / (right - left || 1)) * (width - 4);
  const toY = (value) => height - 3 - ((value - low) / (high - low || 1)) * (height - 6);
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) pen = "M";
    else {
      path += `${pen}${toX(places[index]).toFixed(1)} ${toY(value).toFixed(1)}`;
      pen = "L";
    }
  });
  return html`<svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role=${label ? "img" : undefined} aria-label=${label} aria-hidden=${label ? undefined : "true"}>
    ${mark !== undefined && html`<line class="spark-mark" x1=${toX(mark)} x2=${toX(mark)} y1="0" y2=${height} />`}
    <path d=${path} fill="none" stroke=${color} stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round" stroke-dasharray=${dash?.length ? dash.join(" ") : undefined} />
  </svg>`;
}
