/** The loss of a training, step by step, drawn while it runs. */

import { fill, h, svg } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 200;
const LEFT = 44;
const BELOW = 24;
const SMOOTHING = 0.85; // share of the curve so far in each next point: single steps are noisy
const FIRST = 6; // points whose mean is taken for where the loss began

/** Points in, a picture out; the picture is described in words besides. */
export class LossCurve {
  /** @param {number} total */
  constructor(total) {
    this.total = total;
    /** @type {[number, number][]} */
    this.points = [];
    this.element = h("figure", { class: "curve", hidden: true });
  }

  /**
   * Add a step's loss and draw.
   * @param {number} step
   * @param {number} loss
   * @param {number} total
   */
  add(step, loss, total) {
    this.total = total;
    if (this.points.length && step <= this.points[this.points.length - 1][0]) this.points = []; // begun anew
    this.points.push([step, loss]);
    this.draw();
  }

  draw() {
    if (this.points.length < 2) return;
    const highest = Math.max(...this.points.map(([, loss]) => loss)) * 1.05 || 1;
    const x = (/** @type {number} */ step) => LEFT + (step / this.total) * (WIDTH - LEFT - 8);
    const y = (/** @type {number} */ loss) => 8 + (1 - loss / highest) * (HEIGHT - BELOW - 8);
    const line = (/** @type {[number, number][]} */ points) =>
      points.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    const means = smoothed(this.points);
    const words = this.inWords(means);
    const picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
      ...[0, highest / 2, highest].map((value) => ruled(y(value), value)),
      svg("text", { x: LEFT, y: HEIGHT - 6 }, "step 0"),
      svg("text", { x: WIDTH - 8, y: HEIGHT - 6, "text-anchor": "end" }, String(this.total)),
      svg("polyline", { class: "raw", points: line(this.points) }),
      svg("polyline", { class: "smooth", points: line(means) }),
    );
    fill(this.element, picture, h("figcaption", { class: "small faint" }, words));
    this.element.hidden = false;
  }

  /**
   * Describe the curve by its means: a single step says little.
   * @param {[number, number][]} means
   */
  inWords(means) {
    const [step, loss] = means[means.length - 1];
    const begun = means.length > FIRST ? `; it began at about ${means[FIRST - 1][1].toFixed(3)}` : "";
    return `Loss about ${loss.toFixed(3)} at step ${step} of ${this.total}${begun}.`;
  }
}

/**
 * @param {number} y
 * @param {number} value
 */
function ruled(y, value) {
  return svg(
    "g",
    {},
    svg("line", { class: "rule", x1: LEFT, x2: WIDTH - 8, y1: y, y2: y }),
    svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, value.toFixed(2)),
  );
}

/**
 * @param {[number, number][]} points
 * @returns {[number, number][]}
 */
function smoothed(points) {
  let mean = points[0][1];
  return points.map(([step, loss], i) => {
    const share = Math.min(SMOOTHING, i / (i + 1)); // at first the plain mean
    mean = share * mean + (1 - share) * loss;
    return [step, mean];
  });
}
