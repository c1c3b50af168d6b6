/** The head of a person's page: who it is, and another name for them. */

import { h, say } from "./dom.js";
import { field } from "./consent.js";
import { ask } from "./http.js";
import { busy } from "./notices.js";
import { initial } from "./people.js";

/** @typedef {import("./person.js").Person} Person */

/**
 * Return the heading, with a form that is shown when somebody wants to rename the person.
 * @param {Person} person
 * @param {HTMLElement} state
 */
export function renaming(person, state) {
  const letter = h("span", { class: "initial large", "aria-hidden": "true" });
  const title = h("h1", { tabindex: -1 });
  const tell = () => {
    letter.textContent = initial(person.name);
    title.textContent = person.name;
  };
  const form = nameForm(person, () => {
    tell();
    form.hidden = true;
    title.focus();
    say(`The name is ${person.name} from now on.`);
  });
  const open = () => {
    form.hidden = !form.hidden;
    const input = form.querySelector("input");
    input.value = person.name;
    if (!form.hidden) input.focus();
  };
  const button = h("button", { type: "button", class: "quiet", onclick: open }, "Rename");
  tell();
  return h("div", { class: "stack" }, h("div", { class: "heading" }, letter, title, state, button), form);
}

/**
 * @param {Person} person
 * @param {() => void} renamed
 */
function nameForm(person, renamed) {
  const button = h("button", { type: "submit", class: "primary" }, "Save the name");
  const problems = h("div");
  const form = h(
    "form",
    { class: "card stack rename", hidden: true },
    field("name", "Name"),
    problems,
    h("div", { class: "row end" }, button),
  );
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    busy(button, problems, async () => {
      const json = { name: form.querySelector("input").value.trim() };
      person.name = (await ask("PATCH", `/v1/identities/${person.id}`, { json, signal: person.signal })).name;
      renamed();
    });
  });
  return form;
}
