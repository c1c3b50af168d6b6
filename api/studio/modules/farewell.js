/** Taking it back: consent withdrawn, or a person erased. */

import { h } from "./dom.js";
import { purposeWord } from "./consent.js";
import { erasureAddress } from "./erasure.js";
import { ask } from "./http.js";
import { busy, confirmed } from "./notices.js";
import { section } from "./section.js";
import { when } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

/**
 * Return the last part of a person's page.
 * @param {Person} person
 * @param {any[]} consents
 * @returns {HTMLElement}
 */
export function farewell(person, consents) {
  const problems = h("div");
  const erasing = ["erasing", "erased"].includes(person.state);
  const children = erasing
    ? [h("p", {}, "This person is being erased, or has been: photos, models, restorations and keys.")]
    : [records(person, consents, problems), h("div", { class: "row" }, eraseButton(person, problems))];
  return section(
    "farewell",
    "Consent and erasure",
    "Taking it back erases the photos, the models and the restorations for good.",
    ...children,
    problems,
  );
}

/**
 * @param {Person} person
 * @param {any[]} consents
 * @param {HTMLElement} problems
 */
function records(person, consents, problems) {
  return h(
    "ul",
    { class: "consents", role: "list" },
    ...consents.map((one) =>
      h(
        "li",
        { class: "row" },
        h("span", { class: "grow" }, described(one)),
        !one.withdrawn_at && withdrawButton(person, one, problems),
      ),
    ),
  );
}

/** @param {any} consent */
function described(consent) {
  const purposes = consent.purposes.map(purposeWord).join(", ");
  const agreed = `Agreed on ${when(consent.created_at)}${purposes && ` to this: ${purposes}`}.`;
  const end = consent.withdrawn_at ? ` Withdrawn ${when(consent.withdrawn_at)}.` : "";
  return `${agreed} Known to you as ${consent.subject}; attested by ${consent.attested_by}.${end}`;
}

/**
 * @param {Person} person
 * @param {any} consent
 * @param {HTMLElement} problems
 */
function withdrawButton(person, consent, problems) {
  const button = h("button", { type: "button", class: "plain" }, "Withdraw");
  button.setAttribute("aria-label", `Withdraw the consent of ${when(consent.created_at)}`);
  button.addEventListener("click", async () => {
    const text = `Running work for ${person.name} stops, and everything made from their photos is erased.`;
    if (!(await confirmed({ title: "Withdraw this consent?", text, yes: "Withdraw it" }))) return;
    await busy(button, problems, async () => {
      const path = `/v1/consents/${consent.id}/withdraw`;
      const { erasure_id } = await ask("POST", path, { json: {}, signal: person.signal });
      if (erasure_id) follow(erasure_id);
      else window.dispatchEvent(new Event("show-again")); // the page anew: something else still covers the rest
    });
  });
  return button;
}

/**
 * @param {Person} person
 * @param {HTMLElement} problems
 */
function eraseButton(person, problems) {
  const button = h("button", { type: "button", class: "danger", id: "erase" }, "Erase this person");
  button.addEventListener("click", async () => {
    const title = `Erase ${person.name}?`;
    const text = "Photos, models and restorations are erased for good. Files that were downloaded cannot be recalled.";
    if (!(await confirmed({ title, text, yes: "Erase for good" }))) return;
    await busy(button, problems, async () => {
      const erasure = await ask("DELETE", `/v1/identities/${person.id}`, { signal: person.signal });
      follow(erasure.id);
    });
  });
  return button;
}

/**
 * Go to the erasure's page instead of this one: going back would lead to nobody.
 * @param {string} erasureId
 */
function follow(erasureId) {
  location.replace(erasureAddress(erasureId));
}
