// Light or dark as chosen here before, set before anything is painted. No module: those run too late.
"use strict";

(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("alloyd.theme");
  } catch {
    // A browser that keeps nothing follows the system.
  }
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
})();
