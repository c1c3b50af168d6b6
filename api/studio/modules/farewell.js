/** Taking it back: consent withdrawn, a person erased, and the receipt that says so. */

import { fill, h, say } from "./dom.js";
import { pause } from "./follow.js";
import { ask } from "./http.js";
import { busy, confirmed } from "./notices.js";
import { section } from "./person.js";
import { sentence, when } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

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
 * Return the last part of a person's page.
 * @param {Person} person
 * @param {any[]} consents
 * @returns {HTMLElement}
 */
export function farewell(person, consents) {
  const problems = h("div");
  const progress = h("div", { class: "stack" });
  const gone = (/** @type {string} */ erasureId) => watch(person, erasureId, progress);
  const erasing = ["erasing", "erased"].includes(person.state);
  const children = erasing
    ? [h("p", {}, "This person is being erased, or has been: photos, models, restorations and keys.")]
    : [records(person, consents, problems, gone), h("div", { class: "row" }, eraseButton(person, problems, gone))];
  return section(
    "farewell",
    "Consent and erasure",
    "Taking it back erases the photos, the models and the restorations for good.",
    ...children,
    problems,
    progress,
  );
}

/**
 * @param {Person} person
 * @param {any[]} consents
 * @param {HTMLElement} problems
 * @param {(erasureId: string) => Promise<void>} gone
 */
function records(person, consents, problems, gone) {
  return h(
    "ul",
    { class: "consents", role: "list" },
    ...consents.map((one) =>
      h(
        "li",
        { class: "row" },
        h("span", { class: "grow" }, described(one)),
        !one.withdrawn_at && withdrawButton(person, one, problems, gone),
      ),
    ),
  );
}

/** @param {any} consent */
function described(consent) {
  const end = consent.withdrawn_at ? ` Withdrawn ${when(consent.withdrawn_at)}.` : "";
  const text = `${consent.subject} agreed to ${consent.purposes.join(", ")} on ${when(consent.created_at)}`;
  return `${sentence(`${text}, attested by ${consent.attested_by}`)}${end}`;
}

/**
 * @param {Person} person
 * @param {any} consent
 * @param {HTMLElement} problems
 * @param {(erasureId: string) => Promise<void>} gone
 */
function withdrawButton(person, consent, problems, gone) {
  const button = h("button", { type: "button", class: "plain" }, "Withdraw");
  button.addEventListener("click", async () => {
    const text = `Running work for ${person.name} stops, and everything made from their photos is erased.`;
    if (!(await confirmed({ title: "Withdraw this consent?", text, yes: "Withdraw it" }))) return;
    await busy(button, problems, async () => {
      const path = `/v1/consents/${consent.id}/withdraw`;
      const { erasure_id } = await ask("POST", path, { json: {}, signal: person.signal });
      say("The consent was withdrawn.");
      if (erasure_id) await gone(erasure_id);
    });
  });
  return button;
}

/**
 * @param {Person} person
 * @param {HTMLElement} problems
 * @param {(erasureId: string) => Promise<void>} gone
 */
function eraseButton(person, problems, gone) {
  const button = h("button", { type: "button", class: "danger", id: "erase" }, "Erase this person");
  button.addEventListener("click", async () => {
    const title = `Erase ${person.name}?`;
    const text = "Photos, models and restorations are erased for good. Files that were downloaded cannot be recalled.";
    if (!(await confirmed({ title, text, yes: "Erase for good" }))) return;
    await busy(button, problems, async () => {
      const erasure = await ask("DELETE", `/v1/identities/${person.id}`, { signal: person.signal });
      await gone(erasure.id);
    });
  });
  return button;
}

/**
 * Show how far an erasure is until it has ended; everything else on the page goes.
 * @param {Person} person
 * @param {string} erasureId
 * @param {HTMLElement} progress
 */
async function watch(person, erasureId, progress) {
  const own = progress.closest("section");
  document.querySelectorAll("main section.part").forEach((part) => part !== own && part.remove());
  own?.querySelectorAll(".consents, #erase").forEach((part) => part.remove());
  for (;;) {
    const erasure = await ask("GET", `/v1/erasures/${erasureId}`, { signal: person.signal });
    const line = h("p", { tabindex: -1 }, DOING[erasure.state] ?? erasure.state);
    fill(
      progress,
      line,
      erasure.receipt && receiptLink(erasure),
      h("a", { class: "button plain", href: "#/" }, "Back to everybody"),
    );
    line.focus();
    if (["completed", "failed"].includes(erasure.state)) break;
    await pause(PATIENCE_MILLISECONDS);
  }
  await person.refresh();
}

/** @param {any} erasure */
function receiptLink(erasure) {
  const text = JSON.stringify(erasure.receipt, null, 2);
  const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  return h("a", { class: "button primary", href, download: `${erasure.id}.json` }, "Download the signed receipt");
}
