/** Before and after, laid over each other, with a handle between them that mouse, finger and arrow keys move. */

import { fill, freshId, h } from "./dom.js";

/** @typedef {import("./faces.js").Box} Box */

const MARGIN = 0.45; // around a face, as a share of its longer side

/**
 * Return the comparison of two pictures of one size, whole or near a face.
 * @param {{before: string, after: string, width: number, height: number, boxes: Box[], name: string}} pictures
 * @returns {HTMLElement}
 */
export function slider(pictures) {
  const range = h("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 50,
    step: 1,
    "aria-label": "Divider between before and restored",
  });
  const before = h("img", { src: pictures.before, alt: `The photo of ${pictures.name} before` });
  const after = h("img", { src: pictures.after, alt: `The photo of ${pictures.name} restored` });
  const missing = h(
    "p",
    { class: "missing" },
    "This browser cannot show the photo before; the comparison to download does.",
  );
  before.addEventListener("error", () => before.replaceWith(missing)); // HEIC, for one
  const stage = h(
    "div",
    { class: "slider" },
    h("div", { class: "pane" }, before),
    h("div", { class: "pane after" }, after),
    h("span", { class: "handle", "aria-hidden": "true" }),
    h("span", { class: "tag left", "aria-hidden": "true" }, "Before"),
    h("span", { class: "tag right", "aria-hidden": "true" }, "Restored"),
    range,
  );
  const move = () => {
    stage.style.setProperty("--share", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} percent before, ${100 - range.value} percent restored`);
  };
  range.addEventListener("input", move);
  move();
  const frames = [frameOf(pictures, null), ...pictures.boxes.map((box) => frameOf(pictures, box))];
  const show = (/** @type {number} */ i) => look(stage, [before, after], pictures, frames[i]);
  show(frames.length > 1 ? 1 : 0);
  return h("div", { class: "stack" }, frames.length > 1 && views(pictures.boxes.length, show), stage);
}

/**
 * @param {number} faces
 * @param {(i: number) => void} show
 */
function views(faces, show) {
  const name = freshId("view");
  const texts = [...Array(faces).keys()].map((i) => (faces > 1 ? `Face ${i + 1}` : "Face"));
  const option = (/** @type {string} */ text, /** @type {number} */ i) =>
    h("label", {}, h("input", { type: "radio", name, checked: i === 1, onchange: () => show(i) }), h("span", {}, text));
  const ordered = [...texts.map((text, i) => option(text, i + 1)), option("Whole photo", 0)];
  const row = h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, "What to look at"));
  row.append(h("div", { class: "choices" }));
  fill(row.lastElementChild, ...ordered);
  return row;
}

/**
 * Return the part of the photo to show: a square around a face, or everything.
 * @param {{width: number, height: number}} photo
 * @param {Box | null} box
 * @returns {Box}
 */
function frameOf({ width, height }, box) {
  if (box === null) return [0, 0, width, height];
  const [x0, y0, x1, y1] = box;
  const side = Math.min(Math.max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN), width, height);
  const left = Math.min(Math.max((x0 + x1 - side) / 2, 0), width - side);
  const top = Math.min(Math.max((y0 + y1 - side) / 2, 0), height - side);
  return [left, top, left + side, top + side];
}

/**
 * @param {HTMLElement} stage
 * @param {HTMLElement[]} images
 * @param {{width: number, height: number}} photo
 * @param {Box} frame
 */
function look(stage, images, { width, height }, [x0, y0, x1, y1]) {
  stage.style.aspectRatio = `${x1 - x0} / ${y1 - y0}`;
  stage.style.setProperty("--shape", String((x1 - x0) / (y1 - y0)));
  for (const image of images) {
    image.style.width = `${(100 * width) / (x1 - x0)}%`;
    image.style.height = `${(100 * height) / (y1 - y0)}%`;
    image.style.left = `${(-100 * x0) / (x1 - x0)}%`;
    image.style.top = `${(-100 * y0) / (y1 - y0)}%`;
  }
}
