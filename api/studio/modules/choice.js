/** One of a few, side by side: radio buttons that look like one switch. */

import { h } from "./dom.js";

/**
 * Return a group of radio buttons, the middle one chosen; how to read it, and how to rule one of them out for a reason.
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
  const why = h("p", { class: "small faint", hidden: true });
  element.append(why);
  const allow = (/** @type {string} */ value, /** @type {boolean} */ yes, /** @type {string} */ reason) => {
    for (const { input } of inputs) {
      if (input.value === value) input.disabled = !yes;
      if (input.disabled && input.checked) inputs[0].input.checked = true;
    }
    why.textContent = reason;
    why.hidden = yes;
  };
  const value = () => inputs.find((one) => one.input.checked)?.input.value ?? chosen;
  const listen = (/** @type {() => void} */ changed) => element.addEventListener("change", changed);
  return { element, value, listen, allow };
}
