/** One person's page: their photos, their training, their restorations, and how to take it all back. */

import { fill, h } from "./dom.js";
import { all, ask } from "./http.js";
import { livePurposes, NEEDED } from "./consent.js";
import { farewell } from "./farewell.js";
import { History } from "./history.js";
import { Models } from "./models.js";
import { badge } from "./people.js";
import { Permission } from "./permission.js";
import { Photos } from "./photos.js";
import { renaming } from "./renaming.js";
import { Restoring } from "./restore.js";
import { Training } from "./training.js";

/**
 * What the parts of the page share.
 * @typedef {{id: string, name: string, state: string, signal: AbortSignal, refresh: () => Promise<void>}} Person
 */

/**
 * Show one person.
 * @param {HTMLElement} main
 * @param {string} id
 * @param {AbortSignal} signal
 */
export async function showPerson(main, id, signal) {
  const [identity, consents] = await Promise.all([
    ask("GET", `/v1/identities/${id}`, { signal }),
    all(`/v1/identities/${id}/consents`, 100, signal),
  ]);
  const state = h("span", {}, badge(identity.state));
  const refresh = async () => {
    try {
      person.state = (await ask("GET", `/v1/identities/${id}`, { signal })).state;
      fill(state, badge(person.state));
    } catch (error) {
      if (!signal.aborted) throw error; // the page is left: nobody reads it any more
    }
  };
  /** @type {Person} */
  const person = { id, name: identity.name, state: identity.state, signal, refresh };
  fill(main, renaming(person, state), ...(await parts(person, consents)));
}

/**
 * @param {Person} person
 * @param {any[]} consents
 * @returns {Promise<HTMLElement[]>}
 */
async function parts(person, consents) {
  const end = farewell(person, consents);
  if (["erasing", "erased"].includes(person.state)) return [end];
  const live = livePurposes(consents);
  const missing = NEEDED.filter((purpose) => !live.has(purpose));
  const permission = new Permission(person, missing);
  if (missing.length === NEEDED.length) return [permission.element, end];
  const shown = await working(person, (purpose) => (live.has(purpose) ? null : permission.inPlaceOf(purpose)));
  return missing.length ? [...shown, permission.element, end] : [...shown, end];
}

/**
 * Return the parts that work with photos; where a purpose is missing, what says so stands in their place.
 * @param {Person} person
 * @param {(purpose: string) => HTMLElement | null} without
 * @returns {Promise<HTMLElement[]>}
 */
async function working(person, without) {
  const history = new History(person);
  const restoring = new Restoring(person, () => history.load());
  const models = new Models(person, (used) => restoring.wishes.allowTrained(used));
  const training = new Training(person, () => models.load());
  const photos = new Photos(person, (count) => training.allow(count));
  await Promise.all([photos, training, history, models, restoring].map((part) => part.load()));
  const untrained = without("train");
  const learning = untrained ? [untrained] : [photos.element, training.element];
  return [...learning, models.element, without("restore") ?? restoring.element, history.element];
}
