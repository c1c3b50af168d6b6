/** The studio, put together: a session, and the page that the address names. */

import { byId, fill, h, say } from "./dom.js";
import { ignoreStrayFiles } from "./drop.js";
import { showErasure } from "./erasure.js";
import { showHow } from "./how.js";
import { Problem } from "./http.js";
import { showJobs } from "./jobs.js";
import { confirmed, notice } from "./notices.js";
import { showNewPerson, showPeople } from "./people.js";
import { showPerson } from "./person.js";
import { isSending } from "./sending.js";
import { resumed, showSignIn, signOut } from "./signin.js";

/** @typedef {(main: HTMLElement, id: string, signal: AbortSignal) => Promise<void>} Page */

const ERASURE = /^#\/erasures\/([\w-]+)$/;

/** @type {[RegExp, Page][]} */
const PAGES = [
  [/^#\/new$/, showNewPerson],
  [/^#\/people\/([\w-]+)$/, showPerson],
  [ERASURE, showErasure],
  [/^#\/jobs$/, showJobs],
  [/^#\/how$/, showHow],
];

const NAMED = ["#/jobs", "#/how"]; // pages with a link of their own; all others belong to the people

const main = byId("main");
let leaving = new AbortController(); // ends whatever the page before still does
let signedIn = false;
let here = location.hash; // the address of what is shown

/** Show the page that the address names. */
async function show() {
  if (!signedIn) return;
  here = location.hash;
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
    fill(place, ...trouble(error, show));
  }
  if (!signal.aborted) arrive(place);
}

/**
 * @param {unknown} error
 * @param {() => void} again
 * @returns {HTMLElement[]}
 */
function trouble(error, again) {
  const button = h("button", { type: "button", class: "primary", onclick: again }, "Try again");
  const back = h("a", { class: "button plain", href: "#/" }, "Back to everybody");
  return [
    h("h1", { tabindex: -1 }, "That did not work"),
    notice(error),
    h("div", { class: "row" }, button, signedIn && back),
  ];
}

/** Show the page of another address, unless photos are on their way and whoever sends them would rather stay. */
async function move() {
  const isErased = ERASURE.test(location.hash); // who erases a person waits for none of the person's photos
  if (signedIn && isSending() && !isErased && !(await mayLeave())) history.replaceState(null, "", here || "#/");
  else show();
}

let asking = false;

async function mayLeave() {
  if (asking) return false;
  asking = true;
  const text = "They have not all arrived yet. Those that have not are lost if you leave this page now.";
  const leave = await confirmed({ title: "Leave while photos are sent?", text, yes: "Leave", no: "Stay" });
  asking = false;
  return leave;
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
  say(""); // what was said belongs to the page before
  const title = place.querySelector("h1");
  document.title = `${title?.textContent ?? "Studio"} \u00b7 ID-PreFeR`;
  title?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  const named = NAMED.includes(location.hash) ? location.hash : "#/";
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === named) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {string} why */
function leave(why) {
  if (!signedIn && why) return;
  signedIn = false;
  leaving.abort();
  say("");
  byId("top").hidden = true;
  document.title = "Sign in \u00b7 ID-PreFeR";
  showSignIn(main, why, enter);
}

function enter() {
  signedIn = true;
  byId("top").hidden = false;
  show();
}

async function begin() {
  try {
    if (await resumed()) enter();
    else leave("");
  } catch (error) {
    fill(main, h("div", { class: "page" }, ...trouble(error, begin))); // no answer is no reason to ask for a key
  }
}

window.addEventListener("hashchange", move);
window.addEventListener("show-again", show); // what the page says has changed, and nobody leaves it
window.addEventListener("beforeunload", (event) => isSending() && event.preventDefault());
ignoreStrayFiles(document);
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

await begin();
