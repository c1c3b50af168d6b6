/** How it works, on one page: what happens to a photo, what the figures mean, what to expect and what not. */

import { fill, h } from "./dom.js";

/** @type {[string, string][]} */
const STEPS = [
  [
    "The person agrees",
    "Nothing happens to anybody's photos without a record of who agreed to what. It can be withdrawn at any time.",
  ],
  [
    "About five photos",
    "They may be blurred or tiny. Each one is looked at: is there one face, and what is wrong with it? What is wrong is " +
      "learned beside the face, and left out later. Somebody else among them is noticed only where the face is clearly " +
      "another one, about half the time: look through them yourself.",
  ],
  [
    "Training",
    "A small addition to a large model learns this one face, in a minute or a few. Without it a photo can be restored " +
      "at once from the references alone; whether training brought it closer is measured each time.",
  ],
  [
    "Restoring",
    "The face is found in the photo, painted anew as this person, and put back. Every other pixel stays as it was, " +
      "and so does every other face.",
  ],
];

/** @type {[string, string][]} */
const QUESTIONS = [
  [
    "What does the likeness say?",
    "A second network, which took no part in the painting, compares the face with the reference photos, before and " +
      "after: 0 is a stranger, 1 the very same picture. If training made it worse, that is said, and the better result is kept.",
  ],
  [
    "Is the result true?",
    "It is a likely picture of the person, made by a model, and says so in its file. What the photo does not show, " +
      "such as a scar or a ring, may be made up or left out. It is no evidence of anything.",
  ],
  [
    "Which photos help most?",
    "One that is sharp, and others of different days, light and directions; after each photo you see which one would " +
      "help next. Glasses and make-up are learned as a part of the face if they are in every photo.",
  ],
  [
    "Who can see the photos?",
    "Each person's photos, models and results are sealed with keys of their own. Erasing a person destroys the keys, " +
      "deletes the files, and gives you a signed receipt.",
  ],
];

/**
 * Show the page.
 * @param {HTMLElement} main
 */
export async function showHow(main) {
  fill(
    main,
    h("div", { class: "heading" }, h("h1", { tabindex: -1 }, "How it works")),
    h("p", { class: "lead" }, "A bad photo of a person becomes a good one of that person, not of somebody like them."),
    h("ol", { class: "steps", role: "list" }, ...STEPS.map(step)),
    ...QUESTIONS.map(([question, answer]) => h("section", {}, h("h2", {}, question), h("p", {}, answer))),
  );
}

/** @param {[string, string]} step */
function step([title, text]) {
  return h(
    "li",
    { class: "card part" },
    h("div", { class: "part-title" }, h("span", { class: "number", "aria-hidden": "true" }), h("h2", {}, title)),
    h("p", {}, text),
  );
}
