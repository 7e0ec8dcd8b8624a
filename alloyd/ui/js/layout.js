// What stands around every page: navigation, the organization, the user, and the drawer of a phone.

import { h, icon, put } from "./dom.js";
import { stopFollowing } from "./live.js";
import { badge, button } from "./parts/basics.js";
import { menu } from "./parts/menu.js";
import { toast } from "./parts/toast.js";
import { go, render } from "./router.js";
import { may, organization, session, signOut, switchTo } from "./session.js";
import { chooseTheme, theme } from "./themes.js";

const WIDE = matchMedia("(min-width: 60.01rem)");

const root = document.getElementById("app");
let drawn = null;

/**
 * What gives each page its place: `(page) => Node`, inside of the navigation for a user, alone for a visitor.
 * @param {Object[]} pages the table of all pages
 * @param {string[]} sections of the navigation, in their order
 */
export const layoutOf = (pages, sections) => (page) => placeFor(page, () => navigation(pages, sections));

function placeFor(page, makeNavigation) {
  if (!session() || page?.visitor) {
    drawn = null;
    const place = h("main", { class: "gate", id: "main", tabindex: "-1" });
    put(root, place);
    return place;
  }
  if (drawn?.session !== session()) {
    drawn = draw(makeNavigation());
  }
  drawn.close();
  drawn.mark(page);
  return drawn.main;
}

function draw(nav) {
  const main = h("main", { class: "main", id: "main", tabindex: "-1" });
  const side = h("aside", { class: "side", id: "side", "aria-label": "Navigation" },
    h("div", { class: "side-head" }, brand(), button("Close navigation", { icon: "close", iconOnly: true, kind: "quiet drawer-close", onClick: () => close(true) })),
    h("div", { class: "side-switch" }, organizationMenu()),
    nav.node,
    h("div", { class: "side-foot" }, userMenu(), themeMenu()));
  const opener = button("Open navigation", { icon: "menu", iconOnly: true, kind: "quiet", onClick: open });
  opener.setAttribute("aria-expanded", "false");
  opener.setAttribute("aria-controls", "side");
  const shade = h("div", { class: "shade", hidden: true, on: { click: () => close(true) } });
  const skip = h("a", { class: "skip", href: "#main", on: { click: (event) => { event.preventDefault(); main.focus(); } } }, "Skip to the content");
  const rest = h("div", null, h("header", { class: "bar" }, opener, brand()), main);

  function open() {
    side.classList.add("open");
    shade.hidden = false;
    rest.inert = true;
    opener.setAttribute("aria-expanded", "true");
    side.querySelector("nav a")?.focus();
  }

  function close(back = false) {
    side.classList.remove("open");
    shade.hidden = true;
    rest.inert = false;
    opener.setAttribute("aria-expanded", "false");
    if (back) {
      opener.focus();
    }
  }

  side.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !WIDE.matches && !event.defaultPrevented) {
      close(true);
    }
  });
  WIDE.addEventListener("change", () => close());
  put(root, skip, shade, h("div", { class: "shell" }, side, rest));
  return { session: session(), main, mark: nav.mark, close };
}

const brand = () => h("a", { class: "brand", href: "#/" }, h("img", { src: "/page/mark.svg", alt: "" }), "alloyd");

function navigation(pages, sections) {
  const links = new Map();
  const shown = pages.filter((page) => page.section !== null && (!page.needs || may(page.needs)));
  const groups = sections.map((section) => [section, shown.filter((page) => page.section === section)]).filter(([, entries]) => entries.length);
  const node = h("nav", { class: "side-nav", "aria-label": "Pages" }, groups.map(([section, entries]) => [
    section && h("h2", null, section),
    h("ul", null, entries.map((page) => {
      const link = h("a", { href: `#${page.path}` }, icon(page.icon), page.title);
      links.set(page.path, link);
      return h("li", null, link);
    })),
  ]));

  function mark(page) {
    const path = page?.under ?? page?.path ?? "";
    for (const [each, link] of links) {
      if (each === path) {
        link.setAttribute("aria-current", "page");
        inView(link, node);
      } else {
        link.removeAttribute("aria-current");
      }
    }
  }

  return { node, mark };
}

/** Scroll the navigation, and nothing around it, so far that a link is seen. */
function inView(link, nav) {
  const [inner, outer] = [link.getBoundingClientRect(), nav.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) {
    nav.scrollTop += inner.top - outer.top - outer.height / 2;
  }
}

function organizationMenu() {
  const here = organization();
  const face = [icon("building"), h("span", { class: "label" }, here?.name ?? "No organization"), icon("chevron-down")];
  const items = () => session().organizations.map((each) => ({
    label: each.name,
    checked: each.id === here?.id,
    act: () => change(each),
  }));
  return menu(face, items, { label: `Organization: ${here?.name ?? "none"}`, kind: "", told: () => here && ["Your role here: ", badge(here.role, { tone: "", label: here.role })] });
}

async function change(chosen) {
  if (chosen.id === session().organization_id) {
    return;
  }
  try {
    stopFollowing();
    await switchTo(chosen.id);
    go("/");
    toast(`You act in ${chosen.name} now.`);
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
}

function userMenu() {
  const { display_name: name, email } = session();
  const items = () => [
    { label: "Your account", icon: "person", href: "#/account" },
    { label: "API reference", icon: "book", href: "/docs" },
    { label: "Sign out", icon: "exit", act: leave },
  ];
  return menu([icon("person"), h("span", { class: "label" }, name)], items, { label: `You: ${name}`, up: true, told: () => [email, h("br"), `alloyd ${session().version}`] });
}

async function leave() {
  try {
    stopFollowing();
    await signOut();
  } catch (error) {
    toast(error.message, { tone: "bad" });
    render();
  }
}

const THEMES = [["auto", "As the system", "contrast"], ["light", "Light", "sun"], ["dark", "Dark", "moon"]];

function themeMenu() {
  const items = () => THEMES.map(([id, label, name]) => ({ label, icon: name, checked: theme() === id, act: () => chooseTheme(id) }));
  return menu([icon("contrast")], items, { label: "Light or dark", up: true, atEnd: true, kind: "quiet only-icon" });
}
