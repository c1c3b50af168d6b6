/** One of a few, side by side: radio buttons that look like one switch. */

import { h } from "./dom.js";

/**
 * Return a group of radio buttons, the middle one chosen, and how to read it.
 * @param {string} name
 * @param {string} label
 * @param {[string, string][]} options
 * @param {string} [chosen]
 */
export function choice(name, label, options, chosen = "balanced") {
  const inputs = options.map(([value, text]) => {
    const input = h("input", { type: "radio", name, value, checked: value === chosen });
    return { input, element: h("label", {}, input, h("span", {}, text)) };
  });
  const element = h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "label" }, label),
    h("div", { class: "choices" }, ...inputs.map((one) => one.element)),
  );
  const value = () => inputs.find((one) => one.input.checked)?.input.value ?? chosen;
  const listen = (/** @type {() => void} */ changed) => element.addEventListener("change", changed);
  return { element, value, listen };
}
