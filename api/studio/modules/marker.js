/** A frame that a person draws around a face which the detector does not find, or would not choose. */

import { fill, h, say } from "./dom.js";
import { place, stageOf } from "./faces.js";

/** @typedef {import("./faces.js").Box} Box */
/** @typedef {import("./faces.js").Photo} Photo */

const STEP = 0.02; // of the photo's shorter side, for each press of a key
const SMALLEST = 0.04;

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Let a person draw a frame in a place; `chosen` gets its box, `canceled` is told that there will be none.
 * @param {HTMLElement} where
 * @param {Photo} photo
 * @param {string} name
 * @param {{chosen: (box: Box) => void, canceled: () => void}} answers
 */
export function markFace(where, photo, name, { chosen, canceled }) {
  const shorter = Math.min(photo.width, photo.height);
  let box = around(photo, [photo.width / 2, photo.height / 2], shorter * 0.4);
  const frame = h("button", {
    type: "button",
    class: "face drawn",
    "aria-label": `Frame around the face of ${name}: arrow keys move it, plus and minus change its size`,
  });
  const lay = (/** @type {Box} */ next) => place(frame, photo, (box = next));
  const stage = stageOf(photo, "The photo to mark", frame);
  stage.classList.add("draw");
  frame.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const next = byKey(photo, box, event.key, shorter * STEP);
    if (next === null) return;
    event.preventDefault();
    lay(next);
  });
  drawBy(stage, photo, () => box[2] - box[0], lay);
  const done = h(
    "button",
    { type: "button", class: "primary", onclick: () => chosen(/** @type {Box} */ (box.map(Math.round))) },
    "Restore this face",
  );
  const cancel = h(
    "button",
    {
      type: "button",
      class: "plain",
      onclick: () => {
        where.replaceChildren();
        canceled();
      },
    },
    "Cancel",
  );
  const hint = h(
    "p",
    { class: "small faint" },
    "Draw a square around the face, from its middle outwards; a click moves the frame there. With the keyboard: arrows move it, " +
      "+ and \u2212 change its size.",
  );
  fill(
    where,
    h(
      "div",
      { class: "stack" },
      h("h3", {}, `Where is ${name}?`),
      hint,
      stage,
      h("div", { class: "row" }, done, cancel),
    ),
  );
  lay(box);
  frame.focus();
  say("Mark the face.");
}

/**
 * @param {HTMLElement} stage
 * @param {Photo} photo
 * @param {() => number} side
 * @param {(box: Box) => void} lay
 */
function drawBy(stage, photo, side, lay) {
  /** @type {[number, number] | null} */
  let middle = null;
  const point = (/** @type {PointerEvent} */ event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    return /** @type {[number, number]} */ ([
      ((event.clientX - left) / width) * photo.width,
      ((event.clientY - top) / height) * photo.height,
    ]);
  };
  stage.addEventListener("pointerdown", (event) => {
    middle = point(event);
    lay(around(photo, middle, side()));
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (middle === null) return;
    const [x, y] = point(event);
    const drawn = 2 * Math.max(Math.abs(x - middle[0]), Math.abs(y - middle[1]));
    if (drawn > Math.min(photo.width, photo.height) * SMALLEST) lay(around(photo, middle, drawn)); // else the hand shook
  });
  stage.addEventListener("pointerup", () => (middle = null));
}

/**
 * Return a square around a point, inside the photo.
 * @param {Photo} photo
 * @param {[number, number]} middle
 * @param {number} wanted
 * @returns {Box}
 */
function around({ width, height }, [x, y], wanted) {
  const shorter = Math.min(width, height);
  const side = Math.min(Math.max(wanted, shorter * SMALLEST), shorter);
  const left = Math.min(Math.max(x - side / 2, 0), width - side);
  const top = Math.min(Math.max(y - side / 2, 0), height - side);
  return [left, top, left + side, top + side];
}

/**
 * @param {Photo} photo
 * @param {Box} box
 * @param {string} key
 * @param {number} step
 * @returns {Box | null}
 */
function byKey(photo, [x0, y0, x1, y1], key, step) {
  const [x, y, side] = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0];
  if (key in ARROWS) return around(photo, [x + ARROWS[key][0] * step, y + ARROWS[key][1] * step], side);
  if (key === "+" || key === "=") return around(photo, [x, y], side + 2 * step);
  if (key === "-") return around(photo, [x, y], side - 2 * step);
  return null;
}
