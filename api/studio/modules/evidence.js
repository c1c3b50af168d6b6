/** What was done to a photo and whether it helped, as the service measured it. */

import { h } from "./dom.js";
import { sentence, tierWord } from "./words.js";

/**
 * Return the evidence of a restoration: for each face how alike before and after, then how it was made.
 * @param {any} restoration
 * @returns {HTMLElement}
 */
export function evidenceOf(restoration) {
  return h(
    "div",
    { class: "stack" },
    ...restoration.faces.map(faceEvidence),
    restoration.upgrade_available &&
      h("p", { class: "notice" }, "There is a way to a closer likeness by now: restore again with the trained model."),
    h(
      "details",
      {},
      h("summary", {}, "How it was made"),
      h(
        "dl",
        { class: "facts small" },
        ...facts(restoration).flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]),
      ),
    ),
  );
}

/**
 * Return how a face of a restoration was really made: the gate may have turned down what was wanted.
 * @param {any} restoration
 * @param {any} face
 */
export function wayOf(restoration, face) {
  return tierWord(face.evidence.tier ?? restoration.tier_used);
}

/** @param {any} face */
function faceEvidence({ evidence }) {
  const measured = typeof evidence.similarity_after === "number" && typeof evidence.similarity_before === "number";
  return h(
    "div",
    { class: "stack" },
    measured && likeness(evidence.similarity_before, evidence.similarity_after),
    evidence.doubt && h("p", { class: "notice bad" }, sentence(evidence.doubt)),
    evidence.fallback && h("p", { class: "notice" }, sentence(evidence.fallback)),
    evidence.warning && h("p", { class: "notice bad" }, sentence(evidence.warning)),
  );
}

/**
 * @param {number} before
 * @param {number} after
 */
function likeness(before, after) {
  return h(
    "div",
    { class: "likeness" },
    h("h3", {}, "Likeness to the reference photos"),
    row("Before", before, "before"),
    row("Restored", after, "after"),
    h(
      "p",
      { class: "small faint" },
      `${gainWords(before, after)}, by a second recognizer that took no part in restoring. ` +
        "1 is the same picture, about 0 is a stranger.",
    ),
  );
}

/**
 * Return the gain as the reader finds it by subtracting the figures that are shown.
 * @param {number} before
 * @param {number} after
 */
function gainWords(before, after) {
  const hundredths = Math.round(100 * Number(after.toFixed(2)) - 100 * Number(before.toFixed(2)));
  if (hundredths === 0) return "No change";
  return `${hundredths < 0 ? "\u2212" : "+"}${(Math.abs(hundredths) / 100).toFixed(2)}`;
}

/**
 * @param {string} text
 * @param {number} value
 * @param {string} name
 */
function row(text, value, name) {
  const bar = h("span", { class: `bar ${name}`, "aria-hidden": "true" }, h("span", {}));
  bar.firstElementChild.style.width = `${Math.max(0, Math.min(1, value)) * 100}%`;
  return h("p", { class: "measure" }, h("span", {}, text), bar, h("strong", {}, value.toFixed(2)));
}

/**
 * @param {any} restoration
 * @returns {[string, string | Node][]}
 */
function facts(restoration) {
  const { evidence, faces } = restoration;
  const digest = (/** @type {string} */ text) => h("code", { title: text }, text.slice(0, 16));
  /** @type {[string, string | Node][]} */
  const found = faces.map((/** @type {any} */ face) => ["Way", sentence(wayOf(restoration, face))]);
  if (evidence.bundle) found.push(["Model", `${evidence.bundle}, ${evidence.preset} preset`]);
  if (evidence.bundle_digest) found.push(["Model digest", digest(evidence.bundle_digest)]);
  for (const face of faces) {
    if (face.evidence.adapter_digest) found.push(["Training digest", digest(face.evidence.adapter_digest)]);
    if (typeof face.evidence.consistency_db === "number") {
      found.push(["Agrees with the photo", `${face.evidence.consistency_db.toFixed(1)} dB`]);
    }
  }
  found.push(["Seed", String(restoration.seed)]);
  if (restoration.fidelity !== null) found.push(["Fidelity", restoration.fidelity.toFixed(2)]);
  found.push(["Number", h("code", {}, restoration.id)]);
  return found;
}
