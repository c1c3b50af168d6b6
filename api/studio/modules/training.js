/** Training: started, followed live with its loss, stopped if one likes. */

import { fill, h, say } from "./dom.js";
import { LossCurve } from "./curve.js";
import { hasEnded } from "./follow.js";
import { ask } from "./http.js";
import { attempt, busy, jobNotice } from "./notices.js";
import { choice } from "./choice.js";
import { Progress } from "./progress.js";
import { section } from "./section.js";
import { duration } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

/** The training of one person; `trained` is told of each that succeeded. */
export class Training {
  /**
   * @param {Person} person
   * @param {() => Promise<void>} trained
   */
  constructor(person, trained) {
    this.person = person;
    this.trained = trained;
    this.photos = 0;
    this.running = false;
    this.problems = h("div");
    this.live = h("div", { class: "stack", hidden: true });
    this.preset = choice("train-preset", "How long to learn", [
      ["fast", "Fast"],
      ["balanced", "Balanced"],
      ["best", "Best"],
    ]);
    this.steps = h("input", { id: "steps", type: "number", min: 1, max: 5000, step: 1, inputmode: "numeric" });
    this.more = h("details", {}, h("summary", {}, "More choices"), steps(this.steps));
    this.button = h("button", { type: "button", class: "primary", id: "train", disabled: true }, "Train");
    this.button.addEventListener("click", () => this.start());
    this.why = h("span", { class: "small faint" });
    this.element = section(
      "training",
      "Training",
      "The model learns this one face. It takes a minute or a few on a small machine, and can be repeated when photos are added.",
      this.preset.element,
      this.more,
      h("div", { class: "row" }, this.button, this.why),
      this.problems,
      this.live,
    );
  }

  /** Show the last training; follow it if it still runs. */
  async load() {
    const path = `/v1/identities/${this.person.id}/trainings?limit=1`;
    const [job] = (await ask("GET", path, { signal: this.person.signal })).data;
    if (job) attempt(this.problems, () => this.watch(job));
  }

  /**
   * Allow to train once there are photos.
   * @param {number} photos
   */
  allow(photos) {
    this.photos = photos;
    this.settle();
  }

  settle() {
    const without = !this.photos;
    this.button.disabled = without || Boolean(this.running);
    this.button.textContent = this.person.state === "personalized" ? "Train again" : "Train";
    this.why.textContent = without ? "Needs at least one photo that is used." : "";
  }

  /** Say whether the steps can be asked for; show the field where the browser says why not. */
  isFilledIn() {
    if (this.steps.checkValidity()) return true;
    this.more.open = true;
    return this.steps.reportValidity();
  }

  async start() {
    if (!this.isFilledIn()) return;
    await busy(this.button, this.problems, async () => {
      const json = { preset: this.preset.value(), ...(this.steps.value ? { steps: Number(this.steps.value) } : {}) };
      const path = `/v1/identities/${this.person.id}/trainings`;
      const job = await ask("POST", path, { json, signal: this.person.signal });
      say("The training was started.");
      this.person.refresh();
      attempt(this.problems, () => this.watch(job));
    });
    this.settle();
  }

  /** @param {any} job */
  async watch(job) {
    this.running = !hasEnded(job.state);
    this.settle();
    const view = new TrainingView(this.person.signal);
    fill(this.live, view.element);
    this.live.hidden = false;
    const ended = await view.follow(job.id);
    const fresh = this.running;
    this.running = false;
    await this.person.refresh();
    this.settle();
    view.end(ended);
    if (!fresh || ended.state !== "succeeded") return;
    await this.trained();
    say(`The training of ${this.person.name} is done.`);
  }
}

/** @param {HTMLInputElement} field */
function steps(field) {
  const label = h("label", { for: field.id }, "Steps, if not as many as above");
  return h("div", { class: "field short" }, label, field);
}

/** What is seen of one training: its progress, the time that is left, and the loss. */
class TrainingView {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.progress = new Progress("Training", "Waiting for its turn\u2026", signal);
    this.curve = new LossCurve(1);
    this.element = h("div", { class: "stack" }, this.progress.element, this.curve.element);
  }

  /** @param {string} jobId */
  follow(jobId) {
    return this.progress.follow(jobId, (event) => this.hear(event));
  }

  /** @param {import("./follow.js").JobEvent} event */
  hear(event) {
    if (event.type === "started") this.begun = Date.parse(event.created_at);
    if (event.type !== "progress") return;
    const { step, total, loss } = event.data;
    this.progress.line.append(this.left(event));
    if (typeof loss === "number") this.curve.add(step, loss, total);
  }

  /** @param {import("./follow.js").JobEvent} event */
  left(event) {
    const { step, total } = event.data;
    if (!this.begun || !step) return "";
    const seconds = (Date.parse(event.created_at) - this.begun) / 1000;
    return `, about ${duration((seconds / step) * (total - step))} left`;
  }

  /** @param {any} job */
  end(job) {
    const { line } = this.progress;
    if (job.state === "failed") line.replaceWith(jobNotice(job.error, "The training failed"));
    else line.textContent = lastWord(job);
  }
}

/** @param {any} job */
function lastWord(job) {
  if (job.state !== "succeeded")
    return job.state === "canceled" ? "The training was stopped." : "The training expired.";
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return `Trained in ${duration(seconds)}.`;
}
