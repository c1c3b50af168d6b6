/** What the page says when something is refused, is asked first, or has just happened. */

import { byId, fill, h, say } from "./dom.js";
import { Problem } from "./http.js";
import { sentence, whatToDo } from "./words.js";

const FOR_PROGRAMS = ["unauthenticated", "csrf_required"]; // codes whose details speak of headers

/**
 * Return a notice that says what was refused, why, and what to do.
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function notice(error) {
  if (!(error instanceof Problem)) throw error;
  const advice = whatToDo(error.code);
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("p", {}, h("strong", {}, sentence(error.title)), advice && ` ${advice}`),
    !FOR_PROGRAMS.includes(error.code) && h("p", { class: "small" }, sentence(error.message)),
    error.requestId && h("p", { class: "small faint" }, "Request ", h("code", {}, error.requestId)),
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
  const done = await attempt(place, work);
  button.disabled = false;
  button.removeAttribute("aria-busy");
  if (!done && button.isConnected) button.focus();
  return done;
}

/**
 * Ask before something that cannot be taken back; the focus comes back to where it was.
 * @param {{title: string, text: string, yes: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, yes }) {
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
        h("button", { type: "button", class: "plain", autofocus: true, onclick: close("no") }, "Keep it"),
        h("button", { type: "button", class: "danger", onclick: close("yes") }, yes),
      ),
    );
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    say(title);
  });
}
