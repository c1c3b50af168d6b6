/** One person's page: their photos, their training, their restorations, and how to take it all back. */

import { fill, h } from "./dom.js";
import { all, ask } from "./http.js";
import { consentFields, livePurposes, record } from "./consent.js";
import { farewell } from "./farewell.js";
import { History } from "./history.js";
import { Models } from "./models.js";
import { busy } from "./notices.js";
import { badge, initial } from "./people.js";
import { Photos } from "./photos.js";
import { Restoring } from "./restore.js";
import { Training } from "./training.js";

/**
 * What the parts of the page share.
 * @typedef {{id: string, name: string, state: string, signal: AbortSignal, refresh: () => Promise<void>}} Person
 */

/**
 * Show one person.
 * @param {HTMLElement} main
 * @param {string} id
 * @param {AbortSignal} signal
 */
export async function showPerson(main, id, signal) {
  const [identity, consents] = await Promise.all([
    ask("GET", `/v1/identities/${id}`, { signal }),
    all(`/v1/identities/${id}/consents`, 100, signal),
  ]);
  const state = h("span", {}, badge(identity.state));
  const refresh = async () => {
    try {
      person.state = (await ask("GET", `/v1/identities/${id}`, { signal })).state;
      fill(state, badge(person.state));
    } catch (error) {
      if (!signal.aborted) throw error; // the page is left: nobody reads it any more
    }
  };
  /** @type {Person} */
  const person = { id, name: identity.name, state: identity.state, signal, refresh };
  fill(main, heading(identity, state), ...(await parts(person, consents)));
}

/**
 * @param {any} identity
 * @param {HTMLElement} state
 */
function heading(identity, state) {
  return h(
    "div",
    { class: "heading" },
    h("span", { class: "initial large", "aria-hidden": "true" }, initial(identity.name)),
    h("h1", { tabindex: -1 }, identity.name),
    state,
  );
}

/**
 * @param {Person} person
 * @param {any[]} consents
 * @returns {Promise<HTMLElement[]>}
 */
async function parts(person, consents) {
  const end = farewell(person, consents);
  if (["erasing", "erased"].includes(person.state)) return [end];
  const live = livePurposes(consents);
  if (!live.has("train") && !live.has("restore")) return [askConsent(person), end];
  const history = new History(person);
  const restoring = new Restoring(person, () => history.load());
  const models = new Models(person);
  const training = new Training(person, () => models.load());
  const photos = new Photos(person, (count) => training.allow(count));
  await Promise.all([photos.load(), training.load(), history.load(), models.load()]);
  return [photos.element, training.element, models.element, restoring.element, history.element, end];
}

/** @param {Person} person */
function askConsent(person) {
  const button = h("button", { type: "submit", class: "primary" }, "Record their consent");
  const problems = h("div");
  const form = h(
    "form",
    { class: "card stack narrow" },
    consentFields(),
    problems,
    h("div", { class: "row end" }, button),
  );
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    busy(button, problems, async () => {
      await record(person.id, form, person.signal);
      window.dispatchEvent(new Event("hashchange")); // the page anew, with all its parts
    });
  });
  return form;
}

/**
 * Return a part of the page with its title; the style sheet counts the parts that are there.
 * @param {string} name
 * @param {string} title
 * @param {string} lead
 * @param {...HTMLElement} children
 */
export function section(name, title, lead, ...children) {
  const id = `part-${name}`;
  return h(
    "section",
    { class: "card part stack", "aria-labelledby": id },
    h("div", { class: "part-title" }, h("span", { class: "number", "aria-hidden": "true" }), h("h2", { id }, title)),
    h("p", { class: "faint" }, lead),
    ...children,
  );
}
