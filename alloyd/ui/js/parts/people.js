// Who a grant or a team can be about: the organization's members and its keys, by name.

import { api } from "../api.js";
import { may, session } from "../session.js";

const PAGE = 200;
const NAMES_MAX = 1000;

/** The members of the organization, as the API has them; of very many the newest. */
export async function allMembers(signal) {
  const found = [];
  if (!may("member.read")) {
    return found;
  }
  for await (const member of api.items(`/organizations/${encodeURIComponent(session().organization_id)}/members`, { query: { limit: PAGE }, signal })) {
    found.push(member);
    if (found.length >= NAMES_MAX) {
      break;
    }
  }
  return found;
}

/** [principal, name] of whom a grant can be about: "user:…" and "api_key:…". */
export async function allPrincipals(signal) {
  const members = await allMembers(signal);
  const keys = may("api_key.read") ? (await api.page("/api-keys", { query: { limit: PAGE }, signal })).items : [];
  return [
    ...members.map((member) => [`user:${member.user_id}`, `${member.display_name} (${member.email})`]),
    ...keys.filter((key) => key.status === "active").map((key) => [`api_key:${key.id}`, `the key “${key.name}”`]),
  ];
}
