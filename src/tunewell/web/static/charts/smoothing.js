// A calmer line through a noisy one. The noisy one is always drawn too. The server smooths over every update, also those
// that are not drawn; the page only goes on from there as new ones arrive.

const SHARES = { off: 0, light: 1 / 200, medium: 1 / 60, strong: 1 / 20 };

/** Half-life in updates for a strength by name: a share of what is shown, so that zooming in shows more. */
export const halfLifeOf = (strength, shown) => {
  const share = SHARES[strength] ?? SHARES.medium;
  return share ? Math.max(1, Math.round(share * shown)) : 0;
};

export const strengths = Object.keys(SHARES);

/** Go on with an exponential mean from its last value; gaps stay gaps and count for nothing. */
export function goOn(smoothed, values, halfLife) {
  const keep = 0.5 ** (1 / halfLife);
  let mean = smoothed.findLast((value) => value !== null && value !== undefined) ?? null;
  return values.map((value) => {
    if (!Number.isFinite(value)) return null;
    mean = mean === null ? value : mean * keep + value * (1 - keep);
    return mean;
  });
}
