// A calmer line through a noisy one. The noisy one is always drawn too.

/** Exponential mean with a half-life of so many points, corrected for its beginning; gaps stay gaps. */
export function smooth(values, halfLife) {
  if (!(halfLife > 0)) return values;
  const keep = 0.5 ** (1 / halfLife);
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return null;
    sum = sum * keep + value * (1 - keep);
    weight = weight * keep + (1 - keep);
    return sum / weight;
  });
}

const STRENGTHS = { off: 0, light: 1 / 150, medium: 1 / 50, strong: 1 / 15 };

/** Half-life in points for a strength by name: a share of what is shown, so that zooming in shows more. */
export const halfLifeOf = (strength, points) => Math.min(points / 4, Math.max(0, (STRENGTHS[strength] ?? STRENGTHS.medium) * points));

export const strengths = Object.keys(STRENGTHS);
