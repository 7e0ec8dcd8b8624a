// Begins: who uses the page, then the page of the address.

import { whenSessionIsLost } from "./api.js";
import { put } from "./dom.js";
import { refreshTimes } from "./format.js";
import { layoutOf } from "./layout.js";
import { stopFollowing } from "./live.js";
import { PAGES, SECTIONS } from "./pages.js";
import { failure } from "./parts/basics.js";
import { render, start } from "./router.js";
import { forget, keep, load, session, whenSessionChanges } from "./session.js";

const TIMES_MS = 15_000;

async function begin() {
  const app = document.getElementById("app");
  try {
    await load();
  } catch (error) {
    put(app, failure(error, () => location.reload(), { whole: true }));
    return;
  }
  whenSessionIsLost(forget);
  whenSessionChanges((now) => {
    if (!now) {
      stopFollowing();
      render();
    }
  });
  keep();
  start(PAGES, layoutOf(PAGES, SECTIONS));
  setInterval(() => { if (session()) { refreshTimes(); } }, TIMES_MS);
}

begin();
