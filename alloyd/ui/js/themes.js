// Light, dark, or as the system has it: chosen here, kept in the browser, applied by theme.js before anything is shown.

const KEY = "alloyd.theme";

/** "auto", "light" or "dark". */
export const theme = () => document.documentElement.dataset.theme ?? "auto";

export function chooseTheme(chosen) {
  if (chosen === "auto") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = chosen;
  }
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // A browser that keeps nothing forgets this as well.
  }
}
