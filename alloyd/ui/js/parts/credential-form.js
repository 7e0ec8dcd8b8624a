// Making a credential: the fields of a connector's way to prove who one is, or the way to the vendor's own page.

import { api, isAbort } from "../api.js";
import { h, put } from "../dom.js";
import { dateTime } from "../format.js";
import { follow } from "../live.js";
import { badge, button, failure, notice, waiting } from "./basics.js";
import { dialog } from "./dialog.js";
import { fieldOf, form } from "./form.js";

const HIDDEN = { type: "password", autocomplete: "new-password" };
const DATA = {
  api_key: [{ name: "api_key", label: "API key", required: true, ...HIDDEN }],
  bearer: [{ name: "token", label: "Token", required: true, ...HIDDEN }],
  basic: [{ name: "username", label: "Username", required: true }, { name: "password", label: "Password", required: true, ...HIDDEN }],
  oauth2: [
    { name: "access_token", label: "Access token", required: true, ...HIDDEN },
    { name: "refresh_token", label: "Refresh token", ...HIDDEN },
    { name: "client_id", label: "Client id" },
    { name: "client_secret", label: "Client secret", ...HIDDEN },
    { name: "scope", label: "Scopes" },
  ],
};
const WAYS = { api_key: "API key", bearer: "Token", basic: "Username and password", oauth2: "OAuth 2: tokens that you have", connect: "OAuth 2: connect an account" };
const CONNECT = "connect";
const CALLBACK = "/v1/credentials/oauth/callback";
const NOT_SHOWN = "It is sealed at once, and never shown again.";

/** The fields of what a credential of this kind holds; a further password field for each secret. */
export const dataFields = (kind) => DATA[kind].map((field) => ({ ...field, name: `data.${field.name}`, hint: field.type === "password" ? NOT_SHOWN : null }));

/** What differs from account to account, as the connector's definition asks for it. */
export const settingFields = (connector, given = {}) => Object.entries(connector.definition.settings ?? {}).map(([name, setting]) => ({
  name: `settings.${name}`, label: setting.title, required: setting.required !== false && (setting.default ?? null) === null, value: given[name] ?? setting.default ?? null,
}));

/** {"data.token": "x", "data.scope": null} → {token: "x"} for "data". */
export function membersOf(values, stem) {
  const found = Object.entries(values).filter(([name, value]) => name.startsWith(`${stem}.`) && value !== null);
  return Object.fromEntries(found.map(([name, value]) => [name.slice(stem.length + 1), value]));
}

/**
 * Ask for a new credential in a dialog.
 * @param {{connectors: Object[], connector?: string, endUser?: Object|null, signal: AbortSignal, made: (credential) => void}} options
 *   `connectors` to choose from; `endUser` whose it is to be; `made` is told of each new one
 */
export function newCredential({ connectors, connector = connectors[0].name, endUser = null, signal, made }) {
  const control = new AbortController();
  signal.addEventListener("abort", () => control.abort(), { once: true });
  const place = h("div");
  const choice = fieldOf({ name: "connector", label: "Application", type: "select", options: connectors.map((each) => [each.name, each.title]), value: connector });
  const opened = dialog({ title: endUser ? `New credential of ${endUser.username}` : "New credential", body: h("div", { class: "stack" }, choice.node, place), onClose: () => control.abort() });
  choice.control.addEventListener("change", pick);
  pick();

  async function pick() {
    const name = choice.read();
    put(place, waiting());
    try {
      const whole = await api.get(`/connectors/${encodeURIComponent(name)}`, { signal: control.signal });
      if (name === choice.read()) {
        showWays(whole);
      }
    } catch (error) {
      if (!isAbort(error)) {
        put(place, failure(error, pick));
      }
    }
  }

  function showWays(whole) {
    const ways = whole.auth.flatMap((kind) => (kind === "oauth2" ? [CONNECT, kind] : [kind]));
    if (ways.length === 0) {
      put(place, notice("info", "This connector needs no credential."));
      return;
    }
    const way = fieldOf({ name: "kind", label: "How", type: "select", options: ways.map((kind) => [kind, WAYS[kind]]), value: ways[0] });
    const below = h("div");
    const pickWay = () => put(below, (way.read() === CONNECT ? connectForm(whole) : contentForm(whole, way.read())).node);
    way.control.addEventListener("change", pickWay);
    put(place, h("div", { class: "stack" }, way.node, below));
    pickWay();
  }

  const labelField = (whole) => ({ name: "label", label: "Label", placeholder: whole.title, hint: "Tells it from others of the same application." });
  const cancel = () => button("Cancel", { onClick: () => opened.close() });

  function contentForm(whole, kind) {
    return form({
      label: "Make the credential",
      fields: [...dataFields(kind), ...settingFields(whole), labelField(whole)],
      extra: [cancel()],
      submit: async (values) => {
        const body = { connector: whole.name, kind, data: membersOf(values, "data"), settings: membersOf(values, "settings"), label: values.label, end_user_id: endUser?.id ?? null };
        const credential = await api.post("/credentials", body);
        opened.close();
        made(credential);
      },
    });
  }

  function connectForm(whole) {
    const auth = whole.definition.auth.find((each) => each.kind === "oauth2");
    return form({
      label: "Begin",
      before: [h("p", { class: "soft" }, `The account’s owner signs in at ${whole.title} and allows the access. Register the address below as a redirect address with your client there.`)],
      fields: [
        { name: "client_id", label: "Client id", hint: "Only the first time, or to take another client." },
        { name: "client_secret", label: "Client secret", ...HIDDEN, hint: NOT_SHOWN },
        { name: "redirect_uri", label: "Redirect address", type: "url", required: true, value: `${location.origin}${CALLBACK}` },
        ...settingFields(whole),
        { name: "scopes", label: "Scopes", type: "textarea", rows: 3, value: (auth.scopes ?? []).join(" ") },
        labelField(whole),
      ],
      extra: [cancel()],
      submit: async (values) => {
        const { client_id, client_secret, redirect_uri, label } = values;
        const scopes = values.scopes?.split(/[\s,]+/).filter(Boolean) ?? null;
        const asked = { connector: whole.name, client_id, client_secret, redirect_uri, label, scopes, settings: membersOf(values, "settings"), end_user_id: endUser?.id ?? null };
        showStarted(whole, await api.post("/credentials/oauth/start", asked));
      },
    });
  }

  /** The vendor's page opens in another tab; this one waits until the account is connected, or the state is over. */
  function showStarted(whole, started) {
    const state = h("p", { class: "row", role: "status" }, badge("waiting"), `until ${dateTime(started.expires_at)}`);
    choice.control.disabled = true;
    put(place, h("div", { class: "stack" },
      h("p", null, `Open the page of ${whole.title} and allow the access there. This link works once.`),
      h("p", null, h("a", { class: "button primary", href: started.authorize_url, target: "_blank", rel: "noopener noreferrer" }, `Go to ${whole.title}`)),
      state));
    const over = setTimeout(() => put(state, badge("expired", { tone: "bad" }), "Nobody allowed it in time. Begin anew."), Math.max(0, new Date(started.expires_at) - Date.now()));
    control.signal.addEventListener("abort", () => clearTimeout(over), { once: true });
    follow({ kinds: ["credential.created"], signal: control.signal, onEvents: async (events) => {
      for (const event of events) {
        const credential = await api.get(`/credentials/${encodeURIComponent(event.subject)}`, { signal: control.signal }).catch(() => null);
        if (credential?.connector === whole.name && credential.kind === "oauth2" && credential.end_user_id === (endUser?.id ?? null)) {
          clearTimeout(over);
          put(state, badge("ok", { label: "connected" }), credential.label);
          made(credential);
        }
      }
    } });
  }
}
