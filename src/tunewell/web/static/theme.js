// Runs before the first paint, so that a page chosen dark never flashes light. "auto" follows the system.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("tunewell-theme");
  } catch (error) {
    // Storage may be forbidden; the system's choice stands.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
