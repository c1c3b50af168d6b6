/** One bad photo: sent, restored, whose face it is asked if that is not clear, and what came of it. */

import { fill, h, say } from "./dom.js";
import { evidenceOf } from "./evidence.js";
import { boxesOf, chooseFace } from "./faces.js";
import { ask } from "./http.js";
import { markFace } from "./marker.js";
import { attempt, busy, jobNotice, spokenTo } from "./notices.js";
import { Progress } from "./progress.js";
import { sending, whyNotSent } from "./sending.js";
import { slider } from "./slider.js";
import { fileName, stem } from "./words.js";

/** @typedef {import("./person.js").Person} Person */
/** @typedef {import("./faces.js").Box} Box */

/** A photo that was chosen to be restored; `done` is told when it has been. */
export class BadPhoto {
  /**
   * @param {Person} person
   * @param {File} file
   * @param {import("./wishes.js").Wishes} wishes
   * @param {() => Promise<void>} done
   */
  constructor(person, file, wishes, done) {
    this.person = person;
    this.file = file;
    this.source = URL.createObjectURL(file);
    this.wishes = wishes;
    this.done = done;
    this.isRestoring = false;
    /** @type {HTMLElement | null} where it goes on once another photo is chosen */
    this.aside = null;
    /** @type {Promise<any> | null} */
    this.sent = null;
    this.problems = h("div");
    this.result = h("div", { class: "stack", id: "result" });
    this.button = h("button", { type: "button", class: "primary", id: "restore" }, "Restore");
    this.mark = h("button", { type: "button", class: "plain" }, "Mark the face myself");
    this.button.addEventListener("click", () => this.restore(null));
    this.mark.addEventListener("click", () => this.markItself());
    this.element = h("div", { class: "stack" }, this.chosen(), this.problems, this.result);
  }

  chosen() {
    const unseen = h(
      "p",
      { class: "small faint" },
      "This browser cannot show such a photo. It is restored all the same.",
    );
    const picture = h("img", { src: this.source, alt: `The photo to restore, ${this.file.name}` });
    picture.addEventListener("error", () => picture.replaceWith(unseen)); // HEIC, for one
    const buttons = h("div", { class: "row" }, this.button, this.mark);
    return h("div", { class: "chosen" }, picture, h("div", { class: "stack" }, this.wishes.element, buttons));
  }

  /**
   * Make room for another photo; what is under way goes on in a place of its own.
   * @param {HTMLElement} others
   */
  giveWay(others) {
    if (!this.isRestoring) return;
    this.result.removeAttribute("id");
    this.aside = besides(this.file.name, this.problems, this.result);
    others.append(this.aside);
  }

  /** Send the photo ahead, once for all tries. */
  async upload() {
    const problem = whyNotSent(this.file);
    if (problem) throw problem;
    const form = new FormData();
    form.append("file", this.file);
    const send = () => ask("POST", "/v1/uploads", { form, signal: this.person.signal });
    this.sent ??= sending(send).catch((error) => {
      this.sent = null;
      throw error;
    });
    return this.sent;
  }

  /**
   * Do something with the photo while nothing else can be begun with it.
   * @param {HTMLButtonElement} button
   * @param {() => Promise<void>} work
   */
  async alone(button, work) {
    const other = button === this.mark ? this.button : this.mark;
    other.disabled = true;
    try {
      await busy(button, this.problems, work);
    } finally {
      other.disabled = false;
    }
  }

  markItself() {
    return this.alone(this.mark, async () => {
      const { width, height } = await this.upload();
      markFace(this.result, { source: this.source, width, height }, this.person.name, {
        chosen: (box) => this.restore(box),
        canceled: () => this.mark.focus(),
      });
    });
  }

  /** @param {Box | null} box */
  restore(box) {
    return this.alone(this.button, async () => {
      const progress = new Progress("Restoring", "Sending the photo\u2026", this.person.signal);
      this.isRestoring = true;
      fill(this.result, progress.element);
      progress.line.focus();
      say("The photo is being restored.");
      try {
        await this.settle(await this.run(box, progress));
      } catch (error) {
        this.result.replaceChildren();
        throw error;
      } finally {
        this.isRestoring = false;
      }
    });
  }

  /**
   * @param {Box | null} box
   * @param {Progress} progress
   */
  async run(box, progress) {
    const wishes = this.wishes.values(); // as they are now: the next photo may have others
    const upload = await this.upload();
    const face = { identity_id: this.person.id, ...(box ? { box } : {}) };
    const json = { upload_id: upload.id, faces: [face], ...wishes };
    const restoration = await ask("POST", "/v1/restorations", { json, signal: this.person.signal });
    return progress.follow(restoration.job_id, ({ type }) => {
      if (type === "started") progress.line.textContent = "Looking for the face\u2026";
    });
  }

  /** @param {any} job */
  async settle(job) {
    if (job.state === "succeeded") await (this.aside ? this.vanish() : this.show(job.restoration_id));
    else if (job.state === "failed") await this.explain(job.error);
    else spokenTo(this.result, h("p", { class: "notice" }, "The restoration was stopped."));
    if (job.state === "succeeded") attempt(this.problems, this.done);
  }

  vanish() {
    this.aside?.remove();
    say(`${this.file.name} is restored: it is under \u201cRestored so far\u201d.`);
  }

  /** @param {{code: string, detail: string}} error */
  async explain(error) {
    const boxes = boxesOf(error.detail);
    if (error.code !== "several_faces" || !boxes.length) {
      spokenTo(this.result, jobNotice(error, "The photo was not restored"));
      return;
    }
    const { width, height } = await this.upload();
    const none = h("p", { class: "notice" }, "Then mark the face yourself, or choose another photo.");
    chooseFace(this.result, { source: this.source, width, height }, boxes, this.person.name, {
      chosen: (box) => this.restore(box),
      none: () => spokenTo(this.result, none),
    });
  }

  /** @param {string} id */
  async show(id) {
    const restoration = await ask("GET", `/v1/restorations/${id}`, { signal: this.person.signal });
    const { width, height } = await this.upload();
    const boxes = restoration.faces.map((/** @type {any} */ face) => face.box).filter(Boolean);
    const untouched = restoration.faces.every((/** @type {any} */ face) => face.evidence.tier === "untouched");
    const heading = h("h3", { tabindex: -1 }, untouched ? "Left as it was" : "Restored");
    const pictures = { before: this.source, after: restoration.image_url, width, height, boxes };
    const view = slider({ ...pictures, name: this.person.name });
    const told = h("div", { class: "stack" }, evidenceOf(restoration), this.downloads(restoration));
    fill(this.result, heading, h("div", { class: "result" }, view, told));
    heading.focus();
  }

  /** @param {any} restoration */
  downloads(restoration) {
    const name = (/** @type {string} */ what) => fileName(this.person.name, stem(this.file.name), what);
    const link = (
      /** @type {string} */ kind,
      /** @type {string} */ href,
      /** @type {string} */ what,
      /** @type {string} */ text,
    ) => h("a", { class: `button ${kind}`, href, download: name(what) }, text);
    return h(
      "div",
      { class: "row" },
      link("primary", restoration.image_url, "restored", "Download"),
      link("plain", restoration.comparison_url, "before and after", "Download comparison"),
    );
  }
}

/**
 * Return a place for a restoration that goes on beside the photo that is chosen now.
 * @param {string} name
 * @param {...HTMLElement} children
 * @returns {HTMLElement}
 */
export function besides(name, ...children) {
  return h("div", { class: "stack other" }, h("h3", {}, `Begun before: ${name}`), ...children);
}
