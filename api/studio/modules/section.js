/** A part of a person's page: a card with a number, a title and a sentence. */

import { h } from "./dom.js";

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
