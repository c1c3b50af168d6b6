/** An erasure on its way, and its signed receipt: a page with an address of its own, to come back to. */

import { fill, h, put, say } from "./dom.js";
import { patiently, pause } from "./follow.js";
import { ask } from "./http.js";
import { attempt, outage } from "./notices.js";
import { badge } from "./people.js";

const PATIENCE_MILLISECONDS = 1000;

/** @type {Record<string, string>} */
const DOING = {
  queued: "The keys are destroyed: nothing can be read any more. The files follow\u2026",
  running: "Files are being deleted\u2026",
  verifying: "The storage is being looked through once more\u2026",
  completed: "Everything is erased.",
  failed: "The erasure failed. It is tried again by itself; whoever runs the service should look at the log.",
};

/**
 * Return the address of an erasure's page.
 * @param {string} id
 */
export function erasureAddress(id) {
  return `#/erasures/${id}`;
}

/**
 * Show an erasure until it has ended.
 * @param {HTMLElement} main
 * @param {string} id
 * @param {AbortSignal} signal
 */
export async function showErasure(main, id, signal) {
  const read = () => ask("GET", `/v1/erasures/${id}`, { signal });
  const view = new ErasureView();
  view.show(await read());
  fill(main, view.element);
  attempt(view.problems, async () => {
    while (!view.hasEnded) {
      await pause(PATIENCE_MILLISECONDS);
      view.show(await patiently(read, view.outage.connected, signal));
    }
  });
}

/** What is seen of an erasure. */
class ErasureView {
  constructor() {
    this.state = "";
    this.badge = h("span");
    this.line = h("p");
    this.outage = outage();
    this.problems = h("div");
    this.links = h("div", { class: "row" }, h("a", { class: "button plain", href: "#/" }, "Back to everybody"));
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "heading" }, h("h1", { tabindex: -1 }, "Erasure"), this.badge),
      h("div", { class: "card stack" }, this.line, this.outage.element, this.problems, this.links),
    );
  }

  get hasEnded() {
    return ["completed", "failed"].includes(this.state);
  }

  /** @param {any} erasure */
  show(erasure) {
    if (erasure.state === this.state) return;
    this.state = erasure.state;
    this.line.textContent = DOING[erasure.state] ?? erasure.state;
    fill(this.badge, badge({ completed: "erased", failed: "failed" }[this.state] ?? "erasing"));
    say(this.line.textContent);
    if (!erasure.receipt) return;
    put(
      this.line.parentElement,
      h("p", { class: "small faint" }, "This page keeps its address: the receipt can be fetched here again."),
    );
    this.links.prepend(receiptLink(erasure));
  }
}

/** @param {any} erasure */
function receiptLink(erasure) {
  const text = JSON.stringify(erasure.receipt, null, 2);
  const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  return h("a", { class: "button primary", href, download: `${erasure.id}.json` }, "Download the signed receipt");
}
