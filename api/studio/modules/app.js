/** The studio, put together: a session, and the page that the address names. */

import { byId, fill, h } from "./dom.js";
import { showHow } from "./how.js";
import { Problem } from "./http.js";
import { showJobs } from "./jobs.js";
import { notice } from "./notices.js";
import { showNewPerson, showPeople } from "./people.js";
import { showPerson } from "./person.js";
import { resumed, showSignIn, signOut } from "./signin.js";

/** @typedef {(main: HTMLElement, id: string, signal: AbortSignal) => Promise<void>} Page */

/** @type {[RegExp, Page][]} */
const PAGES = [
  [/^#\/new$/, showNewPerson],
  [/^#\/people\/([\w-]+)$/, showPerson],
  [/^#\/jobs$/, showJobs],
  [/^#\/how$/, showHow],
];

const NAMED = ["#/jobs", "#/how"]; // pages with a link of their own; all others belong to the people

const main = byId("main");
let leaving = new AbortController(); // ends whatever the page before still does
let signedIn = false;

/** Show the page that the address names. */
async function show() {
  if (!signedIn) return;
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [page, id] = pageOf(location.hash);
  const place = h("div", { class: "page" });
  fill(main, h("p", { class: "busy loading" }, "One moment\u2026"));
  try {
    await page(place, id, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    fill(
      place,
      h("h1", { tabindex: -1 }, "That did not work"),
      notice(error),
      h("a", { class: "button plain", href: "#/" }, "Back to everybody"),
    );
  }
  if (!signal.aborted) arrive(place);
}

/**
 * @param {string} address
 * @returns {[Page, string]}
 */
function pageOf(address) {
  for (const [pattern, page] of PAGES) {
    const found = address.match(pattern);
    if (found) return [page, found[1] ?? ""];
  }
  return [showPeople, ""];
}

/** @param {HTMLElement} place */
function arrive(place) {
  fill(main, place);
  const title = place.querySelector("h1");
  document.title = `${title?.textContent ?? "Studio"} \u00b7 ID-PreFeR`;
  title?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  const here = NAMED.includes(location.hash) ? location.hash : "#/";
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {string} why */
function leave(why) {
  if (!signedIn && why) return;
  signedIn = false;
  leaving.abort();
  byId("top").hidden = true;
  document.title = "Sign in \u00b7 ID-PreFeR";
  showSignIn(main, why, enter);
}

function enter() {
  signedIn = true;
  byId("top").hidden = false;
  show();
}

window.addEventListener("hashchange", show);
window.addEventListener("signed-out", () => leave("Your session has ended. Sign in again to go on."));
byId("skip").addEventListener("click", () => {
  const target = main.querySelector("h1") ?? main;
  target.focus();
});
byId("sign-out").addEventListener("click", async () => {
  await signOut().catch(() => {}); // gone is gone, whether the service heard it or not
  location.hash = "";
  leave("");
});

if (await resumed()) enter();
else leave("");
