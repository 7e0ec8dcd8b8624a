// Who uses the page: the session, what it may do, and how it is renewed, changed and ended.

import { own } from "./api.js";

const RENEW_MS = 10 * 60_000;
const heard = new Set();
const windows = "BroadcastChannel" in globalThis ? new BroadcastChannel("alloyd") : null;

let current = null;
let usedAt = Date.now();

/** The session as the server tells it, or null: user_id, email, display_name, role, actions, organizations, version … */
export const session = () => current;

/** Whether the user may do `action`, such as "api_key.create", where the session acts. The server asks again anyway. */
export const may = (action) => Boolean(current?.actions.includes(action));

/** The organization where the session acts, or null. */
export const organization = () => current?.organizations.find((each) => each.id === current.organization_id) ?? null;

/** Call `told(session)` whenever it changes. */
export function whenSessionChanges(told) {
  heard.add(told);
}

function become(next) {
  current = next;
  for (const told of heard) {
    told(next);
  }
  return next;
}

/** Find out whether there is a session; the session or null. */
export async function load() {
  try {
    return become((await own.send("GET", "/ui/session", { keepsSession: true })).data);
  } catch (error) {
    if (error.status === 401) {
      return become(null);
    }
    throw error;
  }
}

/** What a visitor without a session is told: `{setup_due, version}`. */
export const state = async () => (await own.send("GET", "/ui/state", { keepsSession: true })).data;

export async function signIn(email, password) {
  return become((await own.send("POST", "/ui/session", { body: { email, password }, keepsSession: true })).data);
}

export async function setUp(body) {
  return become((await own.send("POST", "/ui/setup", { body, keepsSession: true })).data);
}

/** Act in another organization from now on, in every window. */
export async function switchTo(organizationId) {
  const next = await own.patch("/session", { organization_id: organizationId });
  windows?.postMessage("changed");
  return become(next);
}

/** Another password; whatever else the user is signed in with ends. */
export async function changePassword(current, next) {
  return become(await own.patch("/password", { current_password: current, new_password: next }));
}

/** End this session, or with `everywhere` whatever the user is signed in with. */
export async function signOut({ everywhere = false } = {}) {
  try {
    await own.send("DELETE", own.url("/session", { everywhere }), { keepsSession: true });
  } catch (error) {
    if (error.status !== 401) {
      throw error;
    }
  }
  windows?.postMessage("changed");
  become(null);
}

/** The server says that the session is no more. */
export function forget() {
  if (current) {
    become(null);
  }
}

/** Keep the session alive while the page is used, and hear of what other windows do. */
export function keep() {
  for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, () => { usedAt = Date.now(); }, { passive: true, capture: true });
  }
  setInterval(async () => {
    if (current && Date.now() - usedAt < RENEW_MS) {
      try {
        current = await own.patch("/session", {});
      } catch {
        // Out of reach for a moment, or ended: the next request says which.
      }
    }
  }, RENEW_MS);
  windows?.addEventListener("message", () => location.reload());
}
