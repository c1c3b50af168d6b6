/** Whose face is it? The faces that were found, as buttons on the photo. */

import { fill, h, say } from "./dom.js";

/** @typedef {[number, number, number, number]} Box */
/** @typedef {{source: string, width: number, height: number}} Photo */

const BOX = /\d+: (-?\d+), (-?\d+), (-?\d+), (-?\d+)/g;

/**
 * Return the boxes that a refusal lists, from left to right: the service names them in its sentence, "0: x0, y0, x1, y1; 1: ...".
 * @param {string} detail
 * @returns {Box[]}
 */
export function boxesOf(detail) {
  const boxes = [...detail.matchAll(BOX)].map((found) => /** @type {Box} */ (found.slice(1).map(Number)));
  return boxes.sort((a, b) => a[0] - b[0]);
}

/**
 * Show the faces in a place; `chosen` gets the box of the one that is pressed, `none` is told if it is none of them.
 * @param {HTMLElement} place
 * @param {Photo} photo
 * @param {Box[]} boxes
 * @param {string} name
 * @param {{chosen: (box: Box) => void, none: () => void}} answers
 */
export function chooseFace(place, photo, boxes, name, { chosen, none }) {
  const buttons = boxes.map((box, i) => faceButton(photo, box, i, chosen));
  const stage = stageOf(photo, "The photo, with a frame around each face", ...buttons);
  const title = `Which of these ${boxes.length} faces is ${name}?`;
  const other = h("button", { type: "button", class: "plain", onclick: none }, "None of them");
  fill(
    place,
    h(
      "div",
      { class: "stack", role: "group", "aria-label": title },
      h("h3", {}, title),
      stage,
      h("div", { class: "row" }, other),
    ),
  );
  say(title);
  buttons[0]?.focus();
}

/**
 * Return a photo with frames over it; where this browser cannot show it, a blank of the same shape.
 * @param {Photo} photo
 * @param {string} alt
 * @param {...HTMLElement} frames
 * @returns {HTMLElement}
 */
export function stageOf(photo, alt, ...frames) {
  const image = h("img", { src: photo.source, alt, draggable: "false" });
  const stage = h("div", { class: "stage" }, image, ...frames);
  image.addEventListener("error", () => {
    image.remove();
    stage.classList.add("blank");
    stage.style.aspectRatio = `${photo.width} / ${photo.height}`;
  });
  return stage;
}

/**
 * @param {Photo} photo
 * @param {Box} box
 * @param {number} i
 * @param {(box: Box) => void} chosen
 */
function faceButton(photo, box, i, chosen) {
  const button = h(
    "button",
    {
      type: "button",
      class: "face",
      "aria-label": `Face ${i + 1}, ${where(photo, box)}`,
      onclick: () => chosen(inside(photo, box)),
    },
    h("span", { "aria-hidden": "true" }, i + 1),
  );
  place(button, photo, box);
  return button;
}

/**
 * Lay an element over the part of a photo that a box covers.
 * @param {HTMLElement} element
 * @param {Photo} photo
 * @param {Box} box
 */
export function place(element, photo, box) {
  const [x0, y0, x1, y1] = inside(photo, box);
  const percent = (/** @type {number} */ part, /** @type {number} */ whole) => `${(100 * part) / whole}%`;
  element.style.left = percent(x0, photo.width);
  element.style.top = percent(y0, photo.height);
  element.style.width = percent(x1 - x0, photo.width);
  element.style.height = percent(y1 - y0, photo.height);
}

/**
 * @param {Photo} photo
 * @param {Box} box
 * @returns {Box}
 */
function inside({ width, height }, [x0, y0, x1, y1]) {
  return [Math.max(0, x0), Math.max(0, y0), Math.min(width, x1), Math.min(height, y1)];
}

/**
 * @param {Photo} photo
 * @param {Box} box
 */
function where(photo, [x0, y0, x1, y1]) {
  const third = (/** @type {number} */ share) => Math.min(2, Math.floor(share * 3));
  const across = ["left", "middle", "right"][third((x0 + x1) / 2 / photo.width)];
  const down = ["top", "middle", "bottom"][third((y0 + y1) / 2 / photo.height)];
  return across === down ? "in the middle" : `${down} ${across}`;
}
