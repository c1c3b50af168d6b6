/** How far a job is: a bar, a line of words, and a button that stops it. */

import { h } from "./dom.js";
import { follow } from "./follow.js";
import { ask } from "./http.js";
import { busy, outage } from "./notices.js";

/** What is seen of one job while it runs. */
export class Progress {
  /**
   * @param {string} name
   * @param {string} words
   * @param {AbortSignal} signal
   */
  constructor(name, words, signal) {
    this.signal = signal;
    this.jobId = "";
    this.problems = h("div");
    this.outage = outage();
    this.bar = h("progress", { "aria-label": name });
    this.stop = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.cancel() }, "Stop");
    this.bars = h("div", { class: "row" }, this.bar, this.stop);
    this.line = h("p", { class: "small", tabindex: -1 }, words);
    this.element = h("div", { class: "stack" }, this.bars, this.line, this.outage.element, this.problems);
  }

  /**
   * Follow a job until it has ended; `heard` is told of each event besides.
   * @param {string} jobId
   * @param {(event: import("./follow.js").JobEvent) => void} [heard]
   */
  async follow(jobId, heard = () => {}) {
    this.jobId = jobId;
    this.stop.hidden = false;
    this.line.textContent = "Waiting for its turn\u2026";
    const both = (/** @type {import("./follow.js").JobEvent} */ event) => {
      this.hear(event);
      heard(event);
    };
    const job = await follow(jobId, { heard: both, connected: this.outage.connected }, this.signal);
    this.bars.hidden = true;
    return job;
  }

  /** @param {import("./follow.js").JobEvent} event */
  hear({ type, data }) {
    if (type === "canceling") this.line.textContent = "Stopping\u2026";
    if (type !== "progress") return;
    this.bar.max = data.total;
    this.bar.value = data.step;
    this.line.textContent = `Step ${data.step} of ${data.total}`;
  }

  cancel() {
    return busy(this.stop, this.problems, async () => {
      await ask("POST", `/v1/jobs/${this.jobId}/cancel`, { signal: this.signal });
      this.stop.hidden = true;
      this.line.textContent = "Stopping\u2026";
      this.line.focus(); // the button is gone
    });
  }
}
