// Colours that mean something. A run keeps its colour and dashes for ever: they follow from its id.

// Okabe and Ito's palette, told apart with any kind of colour vision; the yellow and the black are left out, which
// vanish on light and on dark ground. Each has a darker and a lighter shade for the two grounds.
const PALETTE = [
  { light: "#0072b2", dark: "#4aa8e0" },
  { light: "#c25400", dark: "#f08a4b" },
  { light: "#007f5f", dark: "#2fc49a" },
  { light: "#b0508a", dark: "#e08fbf" },
  { light: "#9a6a00", dark: "#e6b13f" },
  { light: "#2a86b8", dark: "#7cc7f2" },
];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

function hash(text) {
  let value = 2166136261;
  for (const char of String(text)) value = Math.imul(value ^ char.codePointAt(0), 16777619) >>> 0;
  return value >>> 0;
}

/** Which colour and dashes a run has: always the same ones. */
export function lookOf(id, dark) {
  const value = hash(id);
  const color = PALETTE[value % PALETTE.length];
  return { color: dark ? color.dark : color.light, dash: DASHES[Math.floor(value / 64) % DASHES.length] };
}

/** Looks for runs shown together: each keeps its own, and takes the next free dashes where two would be alike. */
export function looksOf(ids, dark) {
  const taken = new Set();
  const looks = {};
  for (const id of [...ids].sort()) {
    let value = hash(id);
    let place = [value % PALETTE.length, Math.floor(value / 64) % DASHES.length];
    for (let tries = 0; taken.has(place.join()) && tries < PALETTE.length * DASHES.length; tries += 1) {
      place = tries % DASHES.length === DASHES.length - 1 ? [(place[0] + 1) % PALETTE.length, place[1]] : [place[0], (place[1] + 1) % DASHES.length];
    }
    taken.add(place.join());
    const color = PALETTE[place[0]];
    looks[id] = { color: dark ? color.dark : color.light, dash: DASHES[place[1]] };
  }
  return looks;
}

// Viridis at 9 places: equal steps look equal, in grey and to every kind of colour vision.
const VIRIDIS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37],
];

/** Colour of `share` (0 to 1) as [red, green, blue]. */
export function heat(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const left = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const part = place - left;
  return VIRIDIS[left].map((value, index) => Math.round(value + (VIRIDIS[left + 1][index] - value) * part));
}

/** The page's own colours, read from the style sheet, for canvases. */
export function inks() {
  const style = getComputedStyle(document.documentElement);
  const ink = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: ink("text"), muted: ink("muted"), line: ink("line"), grid: ink("grid"), accent: ink("accent"),
    second: ink("second"), third: ink("third"), good: ink("good"), attention: ink("attention"), bad: ink("bad"),
    surface: ink("surface"), ghost: ink("ghost"),
  };
}
