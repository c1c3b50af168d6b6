/** The people whose photos are restored: a list, and a form for one more. */

import { fill, h } from "./dom.js";
import { all, ask } from "./http.js";
import { consentFields, field, record } from "./consent.js";
import { dropDraft, keepDraft } from "./draft.js";
import { busy } from "./notices.js";
import { day, stateWord } from "./words.js";

const MOST = 500;
const DRAFT = "new-person";

/**
 * Show everybody.
 * @param {HTMLElement} main
 * @param {string} _
 * @param {AbortSignal} signal
 */
export async function showPeople(main, _, signal) {
  const people = (await all("/v1/identities", MOST, signal)).filter((person) => person.state !== "erased");
  fill(
    main,
    h(
      "div",
      { class: "heading" },
      h("h1", { tabindex: -1 }, "People"),
      h("a", { class: "button primary", href: "#/new" }, "Add a person"),
    ),
    people.length ? h("ul", { class: "people", role: "list" }, ...people.map(card)) : nobody(),
  );
}

/** @param {any} person */
function card(person) {
  return h(
    "li",
    {},
    h(
      "a",
      { class: "card person", href: `#/people/${person.id}` },
      h("span", { class: "initial", "aria-hidden": "true" }, initial(person.name)),
      h(
        "span",
        { class: "who" },
        h("strong", {}, person.name),
        h("span", { class: "small faint" }, `Added ${day(person.created_at)}`),
        badge(person.state),
      ),
    ),
  );
}

/**
 * Return a state as a small coloured label.
 * @param {string} state
 */
export function badge(state) {
  return h("span", { class: `badge ${state}` }, stateWord(state));
}

/** @param {string} name */
export function initial(name) {
  return [...name.trim()][0]?.toUpperCase() ?? "?";
}

function nobody() {
  return h(
    "div",
    { class: "card empty" },
    h("h2", {}, "Nobody is here yet"),
    h("p", {}, "Begin with a person who agreed to it, and about five photos of them. The photos need not be good."),
    h("a", { class: "button primary", href: "#/new" }, "Add the first person"),
    h("a", { href: "#/how" }, "How it works"),
  );
}

/**
 * Show the form for one more person.
 * @param {HTMLElement} main
 * @param {string} _
 * @param {AbortSignal} signal
 */
export async function showNewPerson(main, _, signal) {
  const button = h("button", { type: "submit", class: "primary" }, "Add this person");
  const problems = h("div");
  const form = h(
    "form",
    { class: "card stack narrow" },
    field("name", "Name"),
    consentFields(),
    problems,
    h("div", { class: "row end" }, h("a", { class: "button plain", href: "#/" }, "Back"), button),
  );
  keepDraft(form, DRAFT);
  /** @type {any} */
  let made = null; // kept where the person was made but their consent was refused
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    busy(button, problems, async () => {
      made = await named(made, form.elements.namedItem("name").value.trim(), signal);
      await record(made.id, form, signal);
      dropDraft(DRAFT);
      location.hash = `#/people/${made.id}`;
    });
  });
  fill(main, h("div", { class: "heading narrow" }, h("h1", { tabindex: -1 }, "Add a person")), form);
}

/**
 * Make a person of this name; one that is made already gets the name.
 * @param {any} made
 * @param {string} name
 * @param {AbortSignal} signal
 */
async function named(made, name, signal) {
  if (made === null) return ask("POST", "/v1/identities", { json: { name }, signal });
  if (made.name === name) return made;
  return ask("PATCH", `/v1/identities/${made.id}`, { json: { name }, signal });
}
