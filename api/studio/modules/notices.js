/** What the page says when something is refused, is asked first, or has just happened. */

import { byId, fill, h, say } from "./dom.js";
import { Problem } from "./http.js";
import { sentence, whatToDo } from "./words.js";

/**
 * Return a notice that says what was refused and what to do; the service's own words, meant for programs as well,
 * stand behind it where they are not all there is to say.
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function notice(error) {
  if (!(error instanceof Problem)) throw error;
  const advice = whatToDo(error.code);
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, sentence(error.title)), ` ${advice ?? (error.message && sentence(error.message))}`),
    details(advice ? error.message : "", error.requestId),
  );
}

/**
 * @param {string} words
 * @param {string} requestId
 */
function details(words, requestId) {
  if (!words && !requestId) return null;
  return h(
    "details",
    { class: "small" },
    h("summary", {}, "Details"),
    words && h("p", {}, sentence(words)),
    requestId && h("p", { class: "faint" }, "Request ", h("code", {}, requestId)),
  );
}

/**
 * Return a notice of a job that failed: its error has no title of its own.
 * @param {{code: string, detail: string}} error
 * @param {string} title
 */
export function jobNotice(error, title) {
  return notice(new Problem({ ...error, title }));
}

/**
 * Put something into a place and move the focus there, so that it is read out and the next key goes on from it.
 * @param {HTMLElement} place
 * @param {HTMLElement} words
 */
export function spokenTo(place, words) {
  words.tabIndex = -1;
  fill(place, words);
  words.focus();
}

/** Return a line that says that the service does not answer, for as long as that is so. */
export function outage() {
  const words = "The connection is lost; trying again\u2026";
  const element = h("p", { class: "notice", hidden: true }, words);
  const connected = (/** @type {boolean} */ yes) => {
    if (element.hidden !== yes) say(yes ? "The connection is back." : words);
    element.hidden = yes;
  };
  return { element, connected };
}

/**
 * Do something and show in a place what was refused, if anything; say whether it was done.
 * @param {Element} place
 * @param {() => Promise<void>} work
 * @returns {Promise<boolean>}
 */
export async function attempt(place, work) {
  place.replaceChildren();
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return false;
    fill(place, notice(error));
    return false;
  }
}

/**
 * Do something while its button cannot be pressed again.
 * @param {HTMLButtonElement} button
 * @param {Element} place
 * @param {() => Promise<void>} work
 */
export async function busy(button, place, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  let done = false;
  try {
    done = await attempt(place, work);
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
  if (!done && button.isConnected) button.focus();
  return done;
}

/**
 * Ask before something that cannot be taken back; the focus comes back to where it was.
 * @param {{title: string, text: string, yes: string, no?: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, yes, no = "Keep it" }) {
  /** @type {HTMLDialogElement} */
  const dialog = byId("question");
  return new Promise((resolve) => {
    const close = (/** @type {string} */ value) => () => dialog.close(value);
    fill(
      dialog,
      h("h2", { id: "question-title" }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "plain", autofocus: true, onclick: close("no") }, no),
        h("button", { type: "button", class: "danger", onclick: close("yes") }, yes),
      ),
    );
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    say(title);
  });
}
