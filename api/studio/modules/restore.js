/** Restoring: one bad photo in, whose face it is if that is not clear, the restored photo out. */

import { fill, h, say } from "./dom.js";
import { dropZone } from "./drop.js";
import { evidenceOf } from "./evidence.js";
import { boxesOf, chooseFace } from "./faces.js";
import { follow } from "./follow.js";
import { ask } from "./http.js";
import { markFace } from "./marker.js";
import { busy, jobNotice } from "./notices.js";
import { section } from "./person.js";
import { slider } from "./slider.js";
import { Wishes } from "./wishes.js";

/** @typedef {import("./person.js").Person} Person */
/** @typedef {import("./faces.js").Box} Box */

/** Restorations of one person; `done` is told of each that succeeded. */
export class Restoring {
  /**
   * @param {Person} person
   * @param {() => void} done
   */
  constructor(person, done) {
    this.person = person;
    this.done = done;
    this.wishes = new Wishes();
    /** @type {File | null} */
    this.file = null;
    this.source = "";
    this.problems = h("div");
    this.result = h("div", { class: "stack", id: "result" });
    this.chosen = h("div", { class: "chosen", hidden: true });
    this.button = h("button", { type: "button", class: "primary", id: "restore" }, "Restore");
    this.button.addEventListener("click", () => this.restore(null));
    this.mark = h(
      "button",
      { type: "button", class: "plain", onclick: () => this.markItself() },
      "Mark the face myself",
    );
    this.element = section(
      "restore",
      "Restore a photo",
      "Only this person's face changes; everybody and everything else in the photo stays as it is.",
      dropZone({
        title: "Drop one bad photo here, or choose it",
        hint: "It may hold other people too",
        several: false,
        given: ([file]) => this.choose(file),
      }),
      this.chosen,
      this.problems,
      this.result,
    );
  }

  /** @param {File} file */
  choose(file) {
    this.file = file;
    this.source = URL.createObjectURL(file);
    this.upload = null;
    this.problems.replaceChildren();
    this.result.replaceChildren();
    fill(
      this.chosen,
      h("img", { src: this.source, alt: `The photo to restore, ${file.name}` }),
      h("div", { class: "stack" }, this.wishes.element, h("div", { class: "row" }, this.button, this.mark)),
    );
    this.chosen.hidden = false;
    say("The photo is ready to be restored.");
    this.button.focus();
  }

  /** Send the photo ahead, once for all tries. */
  async sent() {
    if (this.upload) return;
    const form = new FormData();
    form.append("file", /** @type {File} */ (this.file));
    this.upload = await ask("POST", "/v1/uploads", { form, signal: this.person.signal });
  }

  photo() {
    return { source: this.source, width: this.upload.width, height: this.upload.height };
  }

  markItself() {
    return busy(this.mark, this.problems, async () => {
      await this.sent();
      markFace(this.result, this.photo(), this.person.name, (box) => this.restore(box));
    });
  }

  /** @param {Box | null} box */
  restore(box) {
    return busy(this.button, this.problems, async () => {
      const bar = h("progress", { "aria-label": "Restoring" });
      const line = h("p", { class: "small" }, "Sending the photo\u2026");
      fill(this.result, h("div", { class: "stack" }, bar, line));
      say("The photo is being restored.");
      try {
        const job = await this.run(box, bar, line);
        if (job.state === "succeeded") await this.show(job.restoration_id);
        else this.explain(job);
      } catch (error) {
        this.result.replaceChildren();
        throw error;
      }
    });
  }

  /**
   * @param {Box | null} box
   * @param {any} bar
   * @param {HTMLElement} line
   */
  async run(box, bar, line) {
    const { signal } = this.person;
    await this.sent();
    const face = { identity_id: this.person.id, ...(box ? { box } : {}) };
    const json = { upload_id: this.upload.id, faces: [face], ...this.wishes.values() };
    const restoration = await ask("POST", "/v1/restorations", { json, signal });
    line.textContent = "Waiting for its turn\u2026";
    const heard = (/** @type {import("./follow.js").JobEvent} */ { type, data }) => {
      if (type === "started") line.textContent = "Looking for the face\u2026";
      if (type !== "progress") return;
      bar.max = data.total;
      bar.value = data.step;
      line.textContent = `Step ${data.step} of ${data.total}`;
    };
    return follow(restoration.job_id, heard, signal);
  }

  /** @param {any} job */
  explain(job) {
    if (job.state !== "failed") {
      fill(this.result, h("p", { class: "notice" }, "The restoration was stopped."));
      return;
    }
    const boxes = boxesOf(job.error.detail);
    if (job.error.code === "several_faces" && boxes.length) {
      chooseFace(this.result, this.photo(), boxes, this.person.name, (box) => this.restore(box));
    } else fill(this.result, jobNotice(job.error, "The photo was not restored"));
  }

  /** @param {string} id */
  async show(id) {
    const restoration = await ask("GET", `/v1/restorations/${id}`, { signal: this.person.signal });
    const boxes = restoration.faces.map((/** @type {any} */ face) => face.box).filter(Boolean);
    const { source, width, height } = this.photo();
    const untouched = restoration.faces.every((/** @type {any} */ face) => face.evidence.tier === "untouched");
    const heading = h("h3", { tabindex: -1 }, untouched ? "Left as it was" : "Restored");
    const view = slider({ before: source, after: restoration.image_url, width, height, boxes, name: this.person.name });
    fill(
      this.result,
      heading,
      h(
        "div",
        { class: "result" },
        view,
        h("div", { class: "stack" }, evidenceOf(restoration), downloads(restoration)),
      ),
    );
    heading.focus();
    this.done();
  }
}

/**
 * Return the links that take a restoration along.
 * @param {any} restoration
 */
export function downloads(restoration) {
  return h(
    "div",
    { class: "row" },
    h("a", { class: "button primary", href: restoration.image_url, download: "restored" }, "Download"),
    h(
      "a",
      { class: "button plain", href: restoration.comparison_url, download: "before-and-after" },
      "Download comparison",
    ),
  );
}
