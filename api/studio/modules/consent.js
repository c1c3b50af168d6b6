/** Consent: nothing is processed without a live record of it. */

import { h } from "./dom.js";
import { ask } from "./http.js";

const VERSION = "studio-1";
const TEXT =
  "I agree that photos of my face are used to train a model of my face and to restore photos of me. " +
  "I can withdraw this at any time; everything made from my photos is then erased.";

/** @type {[string, string][]} */
const METHODS = [
  ["click_through", "They agreed on a screen"],
  ["electronic_signature", "They signed electronically"],
  ["written_signature", "They signed on paper"],
  ["verbal", "They said so"],
  ["guardian", "A guardian agreed for them"],
];

/** @type {[string, string][]} */
const PURPOSES = [
  ["train", "Train a model of their face"],
  ["restore", "Restore photos of them"],
  ["evaluate", "Measure how good the results are"],
];

/** Without these purposes a part of a person's page can do nothing. */
export const NEEDED = ["train", "restore"];

/**
 * Return what a purpose allows, in words.
 * @param {string} purpose
 */
export function purposeWord(purpose) {
  const found = PURPOSES.find(([value]) => value === purpose);
  return found ? found[1].charAt(0).toLowerCase() + found[1].slice(1) : purpose;
}

/**
 * Return the fields of a consent record, for a form of whoever asks; some purposes are ticked already.
 * @param {string[]} [ticked]
 * @returns {HTMLElement}
 */
export function consentFields(ticked = NEEDED) {
  return h(
    "fieldset",
    { class: "stack" },
    h("legend", {}, "Their consent"),
    h("p", { class: "small faint" }, "No photo is looked at without it. Of the text only a fingerprint is kept."),
    h(
      "div",
      { class: "field" },
      h("label", { for: "text" }, "What they agreed to"),
      h("textarea", { id: "text", name: "text", rows: 4, required: true, maxlength: 20000 }, TEXT),
    ),
    h(
      "div",
      { class: "pair" },
      field("subject", "Your own reference to them", { placeholder: "customer 17" }),
      field("attested_by", "Who was there when they agreed", { placeholder: "front desk" }),
    ),
    h(
      "div",
      { class: "pair" },
      h(
        "div",
        { class: "field" },
        h("label", { for: "method" }, "How they agreed"),
        h("select", { id: "method", name: "method" }, ...METHODS.map(([value, text]) => h("option", { value }, text))),
      ),
      country(),
    ),
    purposes(ticked),
  );
}

function country() {
  const pattern = "[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?";
  const whole = field("jurisdiction", "Country, or country and region", {
    pattern,
    title: "two letters, such as DE, or with a region, such as US-IL",
    autocapitalize: "characters",
    "aria-describedby": "jurisdiction-hint",
  });
  whole.append(h("p", { class: "small faint", id: "jurisdiction-hint" }, "Two letters, such as DE, or US-IL"));
  return whole;
}

/** @param {string[]} ticked */
function purposes(ticked) {
  const ticks = PURPOSES.map(([value]) =>
    h("input", { type: "checkbox", name: "purposes", value, checked: ticked.includes(value) }),
  );
  const check = () => ticks[0].setCustomValidity(ticks.some((one) => one.checked) ? "" : "Tick at least one of these.");
  check();
  return h(
    "div",
    { class: "field", role: "group", "aria-labelledby": "purposes", onchange: check },
    h("span", { class: "label", id: "purposes" }, "They agreed that we"),
    ...PURPOSES.map(([, text], i) => h("label", { class: "tick" }, ticks[i], text)),
  );
}

/**
 * Return a field that must be filled in, with more than blanks.
 * @param {string} name
 * @param {string} label
 * @param {Record<string, string>} [more]
 */
export function field(name, label, more) {
  const filled = { pattern: ".*\\S.*", title: "more than blanks" };
  const input = h("input", { id: name, name, required: true, maxlength: 200, autocomplete: "off", ...filled, ...more });
  return h("div", { class: "field" }, h("label", { for: name }, label), input);
}

/**
 * Record the consent that a form's fields describe.
 * @param {string} identityId
 * @param {HTMLFormElement} form
 * @param {AbortSignal} signal
 */
export function record(identityId, form, signal) {
  const fields = new FormData(form);
  const line = (/** @type {string} */ name) => String(fields.get(name)).trim();
  const json = {
    subject: line("subject"),
    attested_by: line("attested_by"),
    method: fields.get("method"),
    purposes: fields.getAll("purposes"),
    text_version: fields.get("text") === TEXT ? VERSION : "own text",
    text: fields.get("text"),
    jurisdiction: line("jurisdiction").toUpperCase(),
  };
  return ask("POST", `/v1/identities/${identityId}/consents`, { json, signal });
}

/**
 * Say which purposes a person's records cover now.
 * @param {any[]} records
 * @returns {Set<string>}
 */
export function livePurposes(records) {
  const now = Date.now();
  const live = records.filter((one) => !one.withdrawn_at && !(one.expires_at && Date.parse(one.expires_at) <= now));
  return new Set(live.flatMap((one) => one.purposes));
}
