/** Reference photos: dropped, judged one by one, each with its verdict, its quality and what would help next. */

import { fill, h, say } from "./dom.js";
import { dropZone } from "./drop.js";
import { pause } from "./follow.js";
import { all, ask } from "./http.js";
import { attempt, busy, confirmed, notice } from "./notices.js";
import { section } from "./person.js";
import { reason, sentence } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

const MOST = 200;
const PATIENCE_MILLISECONDS = 700;
const AT_ONCE = 2; // uploads under way

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
    this.summary = h("p", { class: "small", id: "photos-summary" });
    /** @type {File[]} */
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
      this.summary,
      this.list,
    );
  }

  /** Show the photos that are there already. */
  async load() {
    const photos = await this.all();
    for (const photo of photos.reverse()) this.show(photo, this.card(), `/v1/references/${photo.id}/image`);
    this.awaitVerdicts();
    this.count();
  }

  all() {
    return all(`/v1/identities/${this.person.id}/references`, MOST, this.person.signal);
  }

  /** @param {File[]} files */
  receive(files) {
    this.waiting.push(...files);
    say(files.length === 1 ? "One photo is being added." : `${files.length} photos are being added.`);
    while (this.underWay < AT_ONCE && this.waiting.length) this.sendNext();
  }

  async sendNext() {
    const file = /** @type {File} */ (this.waiting.shift());
    const source = URL.createObjectURL(file);
    const card = this.card();
    fill(
      card,
      picture(source, file.name),
      h("div", { class: "about" }, h("p", { class: "busy" }, "Being looked at\u2026")),
    );
    this.underWay += 1;
    try {
      const photo = await this.send(file);
      this.show(photo, card, source);
      this.awaitVerdicts();
    } catch (error) {
      if (this.person.signal.aborted) return;
      fill(card, picture(source, file.name), h("div", { class: "about" }, notice(error)));
    } finally {
      this.underWay -= 1;
      if (this.waiting.length) this.sendNext();
    }
  }

  /** @param {File} file */
  async send(file) {
    const form = new FormData();
    form.append("files", file);
    const path = `/v1/identities/${this.person.id}/references`;
    return (await ask("POST", path, { form, signal: this.person.signal })).data[0];
  }

  /** Ask again and again, by one request for all photos, until every verdict is there. */
  async awaitVerdicts() {
    if (this.asking) return;
    this.asking = true;
    await attempt(this.problems, async () => {
      while ([...this.known.values()].some((one) => one.photo.state === "checking")) {
        await pause(PATIENCE_MILLISECONDS);
        for (const photo of await this.all()) this.update(photo);
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
    this.person.refresh();
  }

  count() {
    const photos = [...this.known.values()].map((one) => one.photo);
    const accepted = photos.filter((photo) => photo.state === "accepted");
    const latest = accepted.filter((photo) => photo.advice).sort((a, b) => (a.created_at < b.created_at ? 1 : -1))[0];
    const advice = accepted.length < 5 && latest ? ` ${latest.advice}` : "";
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
    fill(card, picture(source, name), h("div", { class: "about" }, ...verdict(photo), again), this.removal(photo, name));
  }

  /**
   * Return a button that has a photo judged again whose judging failed.
   * @param {any} photo
   * @param {string} name
   */
  again(photo, name) {
    const button = h("button", { type: "button", class: "plain", "aria-label": `Try again to check ${name}` }, "Try again");
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

  /**
   * @param {any} photo
   * @param {string} name
   */
  removal(photo, name) {
    const remove = async () => {
      const text = "It is deleted at once. A model that was trained with it stays until you train again.";
      if (!(await confirmed({ title: "Delete this photo?", text, yes: "Delete it" }))) return;
      await attempt(this.problems, async () => {
        await ask("DELETE", `/v1/references/${photo.id}`, { signal: this.person.signal });
        this.known.get(photo.id).card.remove();
        this.known.delete(photo.id);
        this.count();
        say("The photo was deleted.");
        this.element.querySelector("input").focus();
      });
    };
    return h("button", { type: "button", class: "remove", "aria-label": `Delete ${name}`, onclick: remove }, "\u00d7");
  }
}

/**
 * @param {string} source
 * @param {string} name
 */
function picture(source, name) {
  return h("img", { src: source, alt: `Reference photo ${name}`, loading: "lazy", decoding: "async" });
}

/** @param {any} photo */
function spoken(photo) {
  if (photo.state === "accepted") return "A photo was accepted.";
  if (photo.state === "failed") return "A photo could not be checked. You can try again.";
  return `A photo is not used: ${photo.reasons.map(reason).join(", ")}.`;
}

/** @param {any} photo */
function verdict(photo) {
  if (photo.state === "checking") return [h("p", { class: "busy" }, "Being looked at\u2026")];
  if (photo.state === "failed") {
    return [h("p", { class: "verdict no" }, "Not checked"), h("p", { class: "small" }, "Not the photo's fault.")];
  }
  if (photo.state === "rejected") {
    return [
      h("p", { class: "verdict no" }, "Not used"),
      h("p", { class: "small" }, sentence(photo.advice ?? photo.reasons.map(reason).join(", "))),
    ];
  }
  const percent = Math.round((photo.quality_score ?? 0) * 100);
  return [
    h("p", { class: "verdict yes" }, "Used"),
    h(
      "label",
      { class: "quality small" },
      `Quality ${percent} of 100`,
      h("meter", { min: 0, max: 100, low: 35, high: 65, optimum: 100, value: percent }),
    ),
    h(
      "p",
      { class: "words" },
      ...photo.quality_words.map((/** @type {string} */ word) => h("span", { class: "word" }, word)),
    ),
  ];
}
