// Numbers, times and sizes as people read them.

const MINUS = "−";
const NONE = "–";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** 1234567 → "1,234,567". */
export function count(value) {
  return isNumber(value) ? grouped.format(value).replace("-", MINUS) : NONE;
}

/** Any measured number with `digits` significant digits: 0.69315 → "0.6931", 0.00002 → "2e-5". */
export function num(value, digits = 4) {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return NONE;
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : `${MINUS}infinite`;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e7 || size < 1e-3) return exponent(value, Math.min(digits, 3));
  if (size >= 1000) return count(value);
  return trimmed(value.toPrecision(digits)).replace("-", MINUS);
}

function exponent(value, digits) {
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  return `${trimmed(mantissa).replace("-", MINUS)}e${power.replace("+", "")}`;
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

/** 0.8472 → "84.7%". */
export function percent(value, digits = 1) {
  if (!isNumber(value)) return NONE;
  return `${trimmed((value * 100).toFixed(digits)).replace("-", MINUS)}%`;
}

/** 22713986 → "22.7 M". */
export function short(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= limit) return `${trimmed((value / limit).toPrecision(3))} ${unit}`;
  }
  return num(value, 3);
}

/** Bytes: 3221225472 → "3 GiB". */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  for (const [limit, unit] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (Math.abs(value) >= limit) return `${trimmed((value / limit).toPrecision(3))} ${unit}`;
  }
  return `${count(value)} B`;
}

/** Seconds: 192 → "3 min 12 s". */
export function duration(seconds) {
  if (!isNumber(seconds) || seconds < 0) return NONE;
  if (seconds < 1) return `${trimmed((seconds * 1000).toPrecision(2))} ms`;
  if (seconds < 10) return `${trimmed(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return whole % 60 && minutes < 10 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
}

/** A moment (seconds since 1970) seen from now: "12 s ago", "3 h ago", "22 Nov 2026". */
export function ago(time, now = Date.now() / 1000) {
  if (!isNumber(time)) return NONE;
  const seconds = Math.max(0, now - time);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 7 * 86400) return `${Math.floor(seconds / 86400)} d ago`;
  return new Date(time * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

/** A moment in full, for hover texts. */
export function moment(time) {
  return isNumber(time) ? new Date(time * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" }) : NONE;
}

/** Time of day: "14:03:22". */
export function clock(time) {
  return isNumber(time) ? new Date(time * 1000).toLocaleTimeString("en-GB") : NONE;
}

/** loss_spike → "loss spike". */
export const words = (code) => String(code ?? "").replaceAll("_", " ");

/** First letter large. */
export const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

/** 1, "row" → "1 row"; 3, "row" → "3 rows". */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A value in its series' unit. */
export function inUnit(value, unit) {
  if (value === null || value === undefined) return NONE;
  if (unit === "bytes") return bytes(value);
  if (unit === "share") return percent(value);
  if (unit === "seconds" || unit === "s") return duration(value);
  return num(value);
}
