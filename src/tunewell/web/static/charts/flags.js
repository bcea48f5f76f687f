// Flags over a chart: what a person, a policy or a monitor did or saw, at its step.
import { html } from "../dom.js";
import { count } from "../format.js";
import { Icon } from "../parts/icons.js";

const NEAR = 18; // pixels: flags closer than this share one
const WORST = ["good", "info", "off", "attention", "bad"];
const ICONS = { action: "wrench", request: "person", stage: "flag", rewind: "undo", end: "stop" };

/** Flags of an overview that belong on charts: checkpoints are many and stand in the dialog of rollbacks. */
export function shown(flags = []) {
  const answered = new Set(flags.filter((flag) => flag.kind === "request" && !flag.text.startsWith("accepted:")).map((flag) => flag.id));
  const isSaid = (flag) => flag.kind === "request" && flag.text.startsWith("accepted:") && answered.has(flag.id);
  return flags.filter((flag) => flag.kind !== "commit" && flag.kind !== "end" && !isSaid(flag));
}

/** Group flags that would overlap: `place` gives the pixel of a step, or null outside the chart. */
export function grouped(flags, place) {
  const groups = [];
  const placed = flags
    .map((flag) => ({ flag, left: place(flag.step) }))
    .filter(({ left }) => left !== null)
    .sort((a, b) => a.left - b.left);
  for (const { flag, left } of placed) {
    const last = groups[groups.length - 1];
    if (last && left - last.left < NEAR) last.flags.push(flag);
    else groups.push({ left, flags: [flag] });
  }
  return groups;
}

const levelOf = (flags) => flags.reduce((worst, flag) => (WORST.indexOf(flag.level) > WORST.indexOf(worst) ? flag.level : worst), "info");

function iconOf(flags) {
  const kind = ["rewind", "finding", "action", "request", "stage"].find((wanted) => flags.some((flag) => flag.kind === wanted));
  if (kind === "finding") return { bad: "bad", attention: "attention" }[levelOf(flags)] ?? "info";
  return ICONS[kind] ?? "flag";
}

const told = (flag) => `Step ${count(flag.step)}: ${flag.text}${flag.by && flag.by !== "monitor" ? ` (${flag.by})` : ""}`;

/** The row of flags above a plot. Only the main chart's flags are stops for the Tab key: all charts show the same. */
export function Flags({ groups, onOpen, reachable }) {
  return groups.map(({ left, flags }) => {
    const text = flags.map(told).join("\n");
    return html`<div class="flag-place" style=${{ left: `${left}px` }} key=${`${flags[0].kind}${flags[0].step}${flags.length}`}>
      <button type="button" class=${`flag ${levelOf(flags)}`} title=${text} aria-label=${text} onClick=${() => onOpen(flags)}
        tabindex=${reachable ? undefined : -1} aria-hidden=${reachable ? undefined : "true"}>
        <${Icon} name=${iconOf(flags)} />${flags.length > 1 && html`<span>${flags.length}</span>`}
      </button>
      <span class=${`flag-line ${levelOf(flags)}`}></span>
    </div>`;
  });
}
