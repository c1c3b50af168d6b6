/** How to restore: the way, how long, how close to the photo, in which format. */

import { choice } from "./choice.js";
import { h } from "./dom.js";

/** The wishes of whoever restores. */
export class Wishes {
  constructor() {
    this.tier = choice(
      "tier",
      "Way",
      [
        ["auto", "Best there is"],
        ["instant", "Instant"],
        ["personalized", "Trained"],
      ],
      "auto",
    );
    this.preset = choice("restore-preset", "How much care", [
      ["fast", "Fast"],
      ["balanced", "Balanced"],
      ["best", "Best"],
    ]);
    this.format = choice(
      "format",
      "Save as",
      [
        ["png", "PNG"],
        ["jpeg", "JPEG"],
        ["webp", "WebP"],
      ],
      "png",
    );
    this.own = h("input", { type: "checkbox", id: "own-fidelity" });
    this.fidelity = h("input", {
      type: "range",
      id: "fidelity",
      min: 0,
      max: 1,
      step: 0.05,
      value: 0.5,
      disabled: true,
    });
    this.own.addEventListener("change", () => (this.fidelity.disabled = !this.own.checked));
    this.element = h(
      "div",
      { class: "stack" },
      this.tier.element,
      h("details", {}, h("summary", {}, "More choices"), h("div", { class: "stack" }, ...this.more())),
    );
  }

  /**
   * Allow the trained way where there is a model.
   * @param {boolean} yes
   */
  allowTrained(yes) {
    this.tier.allow("personalized", yes, "\u201cTrained\u201d needs a trained model that is in use.");
  }

  more() {
    const balance = h(
      "div",
      { class: "field" },
      h("label", { class: "tick" }, this.own, "Choose the balance myself"),
      h("label", { class: "small", for: "fidelity" }, "From most like the reference photos to most like this photo"),
      this.fidelity,
    );
    return [this.preset.element, this.format.element, balance];
  }

  /** Return the fields of the request. */
  values() {
    return {
      tier: this.tier.value(),
      preset: this.preset.value(),
      format: this.format.value(),
      ...(this.own.checked ? { fidelity: Number(this.fidelity.value) } : {}),
    };
  }
}
