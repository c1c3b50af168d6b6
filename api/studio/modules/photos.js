/** Reference photos: dropped, judged one by one, each with its verdict, its quality and what would help next. */

import { fill, h, say } from "./dom.js";
import { dropZone } from "./drop.js";
import { patiently, pause } from "./follow.js";
import { all, ask, discard, Problem } from "./http.js";
import { attempt, busy, confirmed, outage } from "./notices.js";
import { section } from "./section.js";
import { sending, whyNotSent } from "./sending.js";
import { copyOf, picture, refused, spoken, verdict } from "./verdict.js";
import { sentence, whatToDo } from "./words.js";

/** @typedef {import("./person.js").Person} Person */
/** @typedef {{file: File, source: string, card: HTMLElement}} Given */

const MOST = 200;
const WANTED = 5;
const PATIENCE_MILLISECONDS = 700;
const AT_ONCE = 2; // uploads under way
const COUNT = /^\d+ of \d+ photos: /; // in the service's advice: of the moment at which it was given

/** The photos of one person; `counted` is told how many are accepted. */
export class Photos {
  /**
   * @param {Person} person
   * @param {(accepted: number) => void} counted
   */
  constructor(person, counted) {
    this.person = person;
    this.counted = counted;
    /** @type {Map<string, any>} */
    this.known = new Map();
    this.list = h("ul", { class: "photos", role: "list" });
    this.problems = h("div");
    this.outage = outage();
    this.summary = h("p", { class: "small", id: "photos-summary" });
    /** @type {Given[]} */
    this.waiting = [];
    this.underWay = 0;
    this.asking = false;
    this.element = section(
      "photos",
      "Photos of this person",
      "About five, of different days. Blurred or tiny ones help too: their faults are told apart from the face.",
      dropZone({
        title: "Drop photos here, or choose them",
        hint: "JPEG, PNG, WebP or HEIC, up to 20 MB each, one face in each",
        several: true,
        given: (files) => this.receive(files),
      }),
      this.problems,
      this.outage.element,
      this.summary,
      this.list,
    );
  }

  /** Show the photos that are there already. */
  async load() {
    const photos = await this.all();
    for (const photo of photos.reverse()) this.show(photo, this.card(), copyOf(photo));
    this.awaitVerdicts();
    this.count();
  }

  all() {
    return all(`/v1/identities/${this.person.id}/references`, MOST, this.person.signal);
  }

  /** @param {File[]} files */
  receive(files) {
    say(files.length === 1 ? "One photo is being added." : `${files.length} photos are being added.`);
    for (const file of files) this.queue({ file, source: URL.createObjectURL(file), card: this.card() });
  }

  /** @param {Given} given */
  queue(given) {
    const problem = whyNotSent(given.file);
    if (problem) {
      this.refuse(given, problem);
      return;
    }
    const words = h("p", { class: "busy" }, "Sending\u2026");
    fill(given.card, picture(given.source, given.file.name, ""), h("div", { class: "about" }, words));
    this.waiting.push(given);
    if (this.underWay < AT_ONCE) this.sendNext();
  }

  async sendNext() {
    const given = this.waiting.shift();
    if (!given) return;
    this.underWay += 1;
    try {
      this.show(await sending(() => this.send(given.file)), given.card, given.source);
      this.awaitVerdicts();
      this.count();
    } catch (error) {
      if (this.person.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.refuse(given, error);
    } finally {
      this.underWay -= 1;
      this.sendNext();
    }
  }

  /** @param {File} file */
  async send(file) {
    const form = new FormData();
    form.append("files", file);
    const path = `/v1/identities/${this.person.id}/references`;
    return (await ask("POST", path, { form, signal: this.person.signal })).data[0];
  }

  /**
   * Show that a file was not taken, and why; there is no picture of it, so its name stands for it.
   * @param {Given} given
   * @param {Problem} problem
   */
  refuse(given, problem) {
    const { file, card } = given;
    const why = `${sentence(problem.title)} ${whatToDo(problem.code) ?? ""}`;
    const retry = h("button", { type: "button", class: "plain", onclick: () => this.queue(given) }, "Try again");
    retry.setAttribute("aria-label", `Try again to add ${file.name}`);
    card.dataset.state = "refused";
    const told = [named(file.name), ...refused("Not added", why)];
    fill(
      card,
      h("div", { class: "about" }, ...told, problem.retryable && retry),
      cross(`Remove ${file.name}`, () => this.drop(card)),
    );
    say(`${file.name} was not added: ${why}`);
  }

  /** @param {HTMLElement} card */
  drop(card) {
    card.remove();
    this.element.querySelector("input").focus();
  }

  /** Ask again and again, by one request for all photos, until every verdict is there. */
  async awaitVerdicts() {
    if (this.asking) return;
    this.asking = true;
    await attempt(this.problems, async () => {
      while ([...this.known.values()].some((one) => one.photo.state === "checking")) {
        await pause(PATIENCE_MILLISECONDS);
        const photos = await patiently(() => this.all(), this.outage.connected, this.person.signal);
        for (const photo of photos) this.update(photo);
      }
    });
    this.asking = false;
  }

  /** @param {any} photo */
  update(photo) {
    const shown = this.known.get(photo.id);
    if (shown?.photo.state !== "checking" || photo.state === "checking") return;
    this.show(photo, shown.card, shown.source);
    this.judged(photo);
  }

  /** @param {any} photo */
  judged(photo) {
    say(spoken(photo));
    this.count();
    attempt(this.problems, () => this.person.refresh());
  }

  count() {
    const photos = [...this.known.values()].map((one) => one.photo);
    const accepted = photos.filter((photo) => photo.state === "accepted");
    const latest = accepted.filter((photo) => photo.advice).sort((a, b) => (a.created_at < b.created_at ? 1 : -1))[0];
    const advice = accepted.length < WANTED && latest ? ` ${sentence(latest.advice.replace(COUNT, ""))}` : "";
    this.summary.textContent = photos.length ? `${accepted.length} of ${photos.length} photos are used.${advice}` : "";
    this.counted(accepted.length);
  }

  /** @returns {HTMLElement} */
  card() {
    const card = h("li", { class: "photo" });
    this.list.append(card);
    return card;
  }

  /**
   * @param {any} photo
   * @param {HTMLElement} card
   * @param {string} source
   */
  show(photo, card, source) {
    this.known.set(photo.id, { photo, card, source });
    card.dataset.state = photo.state;
    const name = photo.filename ?? "photo";
    const again = photo.state === "failed" && this.again(photo, name);
    fill(
      card,
      source && picture(source, name, copyOf(photo)),
      h("div", { class: "about" }, !source && named(name), ...verdict(photo), again),
      cross(`Delete ${name}`, () => this.remove(photo)),
    );
  }

  /**
   * Return a button that has a photo judged again whose judging failed.
   * @param {any} photo
   * @param {string} name
   */
  again(photo, name) {
    const button = h(
      "button",
      { type: "button", class: "plain", "aria-label": `Try again to check ${name}` },
      "Try again",
    );
    button.addEventListener("click", () =>
      busy(button, this.problems, async () => {
        await ask("POST", `/v1/jobs/${photo.job_id}/retry`, { signal: this.person.signal });
        const { card, source } = this.known.get(photo.id);
        this.show({ ...photo, state: "checking" }, card, source);
        this.awaitVerdicts();
      }),
    );
    return button;
  }

  /** @param {any} photo */
  async remove(photo) {
    const text = "It is deleted at once. A model that was trained with it stays until you train again.";
    if (!(await confirmed({ title: "Delete this photo?", text, yes: "Delete it" }))) return;
    await attempt(this.problems, async () => {
      await discard(`/v1/references/${photo.id}`, this.person.signal);
      const { card } = this.known.get(photo.id);
      this.known.delete(photo.id);
      this.count();
      say("The photo was deleted.");
      this.drop(card);
    });
  }
}

/** @param {string} name */
function named(name) {
  return h("p", { class: "small name" }, name);
}

/**
 * @param {string} label
 * @param {() => void} pressed
 */
function cross(label, pressed) {
  return h("button", { type: "button", class: "remove", "aria-label": label, onclick: pressed }, "\u00d7");
}
