// What every component needs: markup as tagged templates, and hooks.
import { Fragment, h } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export { Fragment, h };
export * from "./vendor/hooks.mjs";
export const html = htm.bind(h);

/** Join the class names that are set. */
export const classes = (...names) => names.filter(Boolean).join(" ");
