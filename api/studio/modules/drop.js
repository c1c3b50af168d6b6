/** A place to drop photos on, or to choose them: a file field that looks like more. */

import { freshId, h } from "./dom.js";

const KINDS = "image/jpeg,image/png,image/webp,image/heic,image/heif,.heic,.heif";

/**
 * Return a drop zone that hands over the files it is given.
 * @param {{title: string, hint: string, several: boolean, given: (files: File[]) => void}} options
 * @returns {HTMLElement}
 */
export function dropZone({ title, hint, several, given }) {
  const id = freshId("files");
  const field = h("input", { type: "file", id, accept: KINDS, multiple: several, "aria-describedby": `${id}-hint` });
  field.addEventListener("change", () => {
    const files = [...field.files];
    field.value = "";
    if (files.length) given(files);
  });
  const zone = h(
    "div",
    { class: "drop" },
    field,
    h("label", { for: id }, h("strong", {}, title), h("span", { class: "small faint", id: `${id}-hint` }, hint)),
  );
  listen(zone, (files) => given(several ? files : files.slice(0, 1)));
  return zone;
}

/**
 * @param {HTMLElement} zone
 * @param {(files: File[]) => void} given
 */
function listen(zone, given) {
  const over = (/** @type {boolean} */ yes) => (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    zone.classList.toggle("over", yes);
  };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => {
    over(false)(event);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) given(files);
  });
}

/**
 * Let a file that is dropped beside a zone fall to the ground: the browser would open it instead of the page.
 * @param {Document} page
 */
export function ignoreStrayFiles(page) {
  const ignore = (/** @type {DragEvent} */ event) => {
    const isOverZone = event.target instanceof Element && event.target.closest(".drop");
    if (!event.dataTransfer?.types.includes("Files") || isOverZone) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  };
  page.addEventListener("dragover", ignore);
  page.addEventListener("drop", ignore);
}
