/** A person's restorations so far: before and after, how alike, to take along or to delete. */

import { fill, h, say } from "./dom.js";
import { wayOf } from "./evidence.js";
import { all, discard } from "./http.js";
import { attempt, confirmed } from "./notices.js";
import { section } from "./section.js";
import { exactly, fileName, sentence } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

const MOST = 200; // of the tenant's restorations are searched for this person's

/** The restorations of one person. */
export class History {
  /** @param {Person} person */
  constructor(person) {
    this.person = person;
    this.problems = h("div");
    this.list = h("ul", { class: "restorations", role: "list" });
    this.element = section(
      "history",
      "Restored so far",
      "Kept until you delete them or their time is over.",
      this.problems,
      this.list,
    );
  }

  /** Read the list anew. */
  async load() {
    const restorations = await all("/v1/restorations", MOST, this.person.signal);
    const theirs = restorations.filter(
      (one) => one.image_url && one.faces.some((/** @type {any} */ face) => face.identity_id === this.person.id),
    );
    fill(this.list, ...theirs.map((one) => this.item(one)));
    this.element.hidden = theirs.length === 0;
  }

  /** @param {any} restoration */
  item(restoration) {
    const made = exactly(restoration.created_at);
    const links = h(
      "div",
      { class: "row" },
      h(
        "a",
        {
          class: "button plain",
          href: restoration.image_url,
          download: fileName(this.person.name, "restored", made),
          "aria-label": `Download the photo restored ${made}`,
        },
        "Download",
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet",
          "aria-label": `Delete the photo restored ${made}`,
          onclick: () => this.remove(restoration),
        },
        "Delete",
      ),
    );
    return h(
      "li",
      {},
      h("img", {
        src: restoration.comparison_url,
        alt: `Before and after, restored ${made}`,
        loading: "lazy",
        decoding: "async",
      }),
      h("p", {}, h("strong", {}, made)),
      h(
        "p",
        { class: "small faint" },
        restoration.faces.map((/** @type {any} */ face) => sentence(wayOf(restoration, face))).join(" "),
        gain(restoration),
      ),
      ...doubts(restoration),
      links,
    );
  }

  /** @param {any} restoration */
  async remove(restoration) {
    const text = "Its files are deleted and its key is destroyed. What you downloaded stays with you.";
    if (!(await confirmed({ title: "Delete this restoration?", text, yes: "Delete it" }))) return;
    await attempt(this.problems, async () => {
      await discard(`/v1/restorations/${restoration.id}`, this.person.signal);
      await this.load();
      say("The restoration was deleted.");
    });
  }
}

/**
 * Return what speaks against a restoration: a figure alone would look like a proof.
 * @param {any} restoration
 */
function doubts({ faces }) {
  const found = faces.flatMap((/** @type {any} */ { evidence }) => [evidence.doubt, evidence.warning]).filter(Boolean);
  return found.map((/** @type {string} */ one) => h("p", { class: "notice bad small" }, sentence(one)));
}

/** @param {any} restoration */
function gain({ faces }) {
  const evidence = faces[0]?.evidence ?? {};
  if (typeof evidence.similarity_after !== "number" || typeof evidence.similarity_before !== "number") return null;
  return ` Likeness ${evidence.similarity_before.toFixed(2)} \u2192 ${evidence.similarity_after.toFixed(2)}.`;
}
