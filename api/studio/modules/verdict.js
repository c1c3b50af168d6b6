/** What is said of one reference photo: its picture, and what was found when it was looked at. */

import { h } from "./dom.js";
import { reason, sentence } from "./words.js";

/**
 * Return the picture of a photo; where this browser cannot show the file itself, the service's copy of it.
 * @param {string} source
 * @param {string} name
 * @param {string} copy
 */
export function picture(source, name, copy) {
  const image = h("img", { src: source, alt: `Reference photo ${name}`, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => copy && !image.src.endsWith(copy) && (image.src = copy));
  return image;
}

/**
 * Return the address of the service's copy of a photo; of the very same file a second time it keeps none.
 * @param {any} photo
 */
export function copyOf(photo) {
  return photo.reasons.includes("duplicate") && !photo.job_id ? "" : `/v1/references/${photo.id}/image`;
}

/**
 * Return a verdict in one sentence, to be read out.
 * @param {any} photo
 */
export function spoken(photo) {
  if (photo.state === "accepted") return "A photo was accepted.";
  if (photo.state === "failed") return "A photo could not be checked. You can try again.";
  return `A photo is not used: ${photo.reasons.map(reason).join(", ")}.`;
}

/**
 * Return the paragraphs of a verdict.
 * @param {any} photo
 * @returns {HTMLElement[]}
 */
export function verdict(photo) {
  if (photo.state === "checking") return [h("p", { class: "busy" }, "Being looked at\u2026")];
  if (photo.state === "failed") return refused("Not checked", "Not the photo's fault.");
  if (photo.state === "accepted") return accepted(photo);
  return refused("Not used", sentence(photo.advice ?? photo.reasons.map(reason).join(", ")));
}

/**
 * Return the paragraphs of a refusal.
 * @param {string} title
 * @param {string} why
 * @returns {HTMLElement[]}
 */
export function refused(title, why) {
  return [h("p", { class: "verdict no" }, title), h("p", { class: "small" }, why)];
}

/** @param {any} photo */
function accepted(photo) {
  const percent = Math.round((photo.quality_score ?? 0) * 100);
  return [
    h("p", { class: "verdict yes" }, "Used"),
    h(
      "label",
      { class: "quality small" },
      `Quality ${percent} of 100`,
      h("meter", { min: 0, max: 100, low: 35, high: 65, optimum: 100, value: percent }),
    ),
    h(
      "p",
      { class: "words" },
      ...photo.quality_words.map((/** @type {string} */ word) => h("span", { class: "word" }, word)),
    ),
  ];
}
