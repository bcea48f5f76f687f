// Single keys as short cuts. They rest while something is typed, a window is open, or a modifier is held.

const maps = [];

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const element = event.target;
  if (element.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
  if (document.querySelector("dialog[open]")) return;
  for (const map of [...maps].reverse()) {
    if (Object.hasOwn(map, event.key)) {
      event.preventDefault();
      map[event.key]();
      return;
    }
  }
}
addEventListener("keydown", pressed);

/** Let the keys of `map` call its functions until the returned function is called; the newest map comes first. */
export function onKey(map) {
  maps.push(map);
  return () => maps.splice(maps.indexOf(map), 1);
}
