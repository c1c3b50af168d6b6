/** What trainings made of a person: which one restorations use, to take along, to delete. */

import { fill, h, say } from "./dom.js";
import { all, ask, discard } from "./http.js";
import { attempt, busy, confirmed } from "./notices.js";
import { section } from "./section.js";
import { exactly } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

const MOST = 100;

/** The trained models of one person; `told` is told whether one of them is in use. */
export class Models {
  /**
   * @param {Person} person
   * @param {(used: boolean) => void} told
   */
  constructor(person, told) {
    this.person = person;
    this.told = told;
    this.problems = h("div");
    this.list = h("ul", { class: "models", role: "list" });
    this.element = section(
      "models",
      "Trained models",
      "One of them is used; the others are kept, so that you can go back to them.",
      this.problems,
      this.list,
    );
  }

  /** Read the list anew. */
  async load() {
    const models = await all(`/v1/identities/${this.person.id}/adapters`, MOST, this.person.signal);
    const there = models.filter((model) => model.state !== "building");
    fill(this.list, ...there.map((model) => this.item(model)));
    this.element.hidden = there.length === 0;
    this.told(there.some((model) => model.state === "active"));
  }

  /** @param {any} model */
  item(model) {
    const made = exactly(model.created_at);
    const used = model.state === "active";
    return h(
      "li",
      { class: "model" },
      h("div", { class: "grow" }, h("p", {}, h("strong", {}, made)), h("p", { class: "small faint" }, about(model))),
      used && h("span", { class: "badge succeeded" }, "In use"),
      h(
        "div",
        { class: "row" },
        !used && this.use(model, made),
        h(
          "a",
          {
            class: "button plain",
            href: `/v1/adapters/${model.id}/download`,
            download: "",
            "aria-label": `Download the model of ${made}`,
          },
          "Download",
        ),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "aria-label": `Delete the model of ${made}`,
            onclick: () => this.remove(model, used),
          },
          "Delete",
        ),
      ),
    );
  }

  /**
   * @param {any} model
   * @param {string} made
   */
  use(model, made) {
    const button = h(
      "button",
      { type: "button", class: "plain", "aria-label": `Use it: the model of ${made}` },
      "Use it",
    );
    button.addEventListener("click", () =>
      busy(button, this.problems, async () => {
        await ask("POST", `/v1/adapters/${model.id}/activate`, { signal: this.person.signal });
        await this.changed(`The model of ${made} is used from now on.`);
      }),
    );
    return button;
  }

  /**
   * @param {any} model
   * @param {boolean} used
   */
  async remove(model, used) {
    const next = used
      ? " Until you train again or use another one, photos are restored from the references alone."
      : "";
    const text = `Its file is deleted. What was restored with it stays, and so does what you downloaded.${next}`;
    if (!(await confirmed({ title: "Delete this model?", text, yes: "Delete it" }))) return;
    await attempt(this.problems, async () => {
      await discard(`/v1/adapters/${model.id}`, this.person.signal);
      await this.changed("The model was deleted.");
    });
  }

  /**
   * Show what has become of the list, and say it; the button that was pressed is gone, so the title has the focus.
   * @param {string} said
   */
  async changed(said) {
    await Promise.all([this.load(), this.person.refresh()]);
    say(said);
    const title = this.element.hidden ? document.querySelector("main h1") : this.element.querySelector("h2");
    title.tabIndex = -1;
    title.focus();
  }
}

/** @param {any} model */
function about(model) {
  const steps = model.metrics.steps ? `${model.metrics.steps} steps, ` : model.job_id ? "" : "brought along, ";
  return `${steps}${(model.size_bytes / 1e6).toFixed(1)} MB, on the backbone ${model.bundle}`;
}
