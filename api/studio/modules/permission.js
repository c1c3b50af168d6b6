/** A purpose that a person has not agreed to: what cannot be done without it, and a form to record that they have. */

import { h } from "./dom.js";
import { consentFields, purposeWord, record } from "./consent.js";
import { busy } from "./notices.js";
import { section } from "./section.js";

/** @typedef {import("./person.js").Person} Person */

/** @type {Record<string, string[]>} */
const BLOCKED = {
  train: ["photos", "Photos and training", "What the model would learn this one face from."],
  restore: ["restore", "Restore a photo", "What the studio is for."],
};

/** The form for one more consent. */
export class Permission {
  /**
   * @param {Person} person
   * @param {string[]} missing
   */
  constructor(person, missing) {
    this.person = person;
    this.form = this.fields(missing);
    const whole = missing.length > 1;
    this.element = whole
      ? this.form
      : h("details", { class: "card" }, h("summary", {}, "Record another consent"), this.form);
    if (whole) this.form.classList.add("card");
  }

  /** @param {string[]} missing */
  fields(missing) {
    const button = h("button", { type: "submit", class: "primary" }, "Record their consent");
    const problems = h("div");
    const row = h("div", { class: "row end" }, button);
    const form = h("form", { class: "stack narrow" }, consentFields(missing), problems, row);
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      busy(button, problems, async () => {
        await record(this.person.id, form, this.person.signal);
        window.dispatchEvent(new Event("show-again")); // the page anew, with all its parts
      });
    });
    return form;
  }

  /**
   * Return what stands in the place of a part that a purpose is missing for.
   * @param {string} purpose
   */
  inPlaceOf(purpose) {
    const [name, title, lead] = BLOCKED[purpose];
    const words = `${this.person.name} has not agreed that we ${purposeWord(purpose)}.`;
    const open = h(
      "button",
      { type: "button", class: "plain", onclick: () => this.open() },
      "Record their consent to it",
    );
    return section(name, title, lead, h("p", { class: "notice" }, words), h("div", { class: "row" }, open));
  }

  open() {
    this.element.open = true;
    this.form.querySelector("textarea").focus();
  }
}
