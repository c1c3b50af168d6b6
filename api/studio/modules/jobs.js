/** Jobs: what waits, what runs, what has become of the rest. */

import { fill, h, say } from "./dom.js";
import { hasEnded } from "./follow.js";
import { all, ask } from "./http.js";
import { choice } from "./choice.js";
import { attempt, busy } from "./notices.js";
import { badge } from "./people.js";
import { duration, kindWord, sentence, whatToDo, when } from "./words.js";

const EVERY_MILLISECONDS = 3000;
const RETRYABLE = ["failed", "canceled", "expired"];

/**
 * Show the jobs, and keep them up to date while there is something to see.
 * @param {HTMLElement} main
 * @param {string} _
 * @param {AbortSignal} signal
 */
export async function showJobs(main, _, signal) {
  const people = new Map((await all("/v1/identities", 500, signal)).map((one) => [one.id, one.name]));
  const problems = h("div");
  const list = h("ol", { class: "jobs", role: "list" });
  const more = h("button", { type: "button", class: "plain", hidden: true }, "Show more");
  const filter = choice(
    "kind",
    "Which",
    [
      ["", "All"],
      ["train", "Trainings"],
      ["restore", "Restorations"],
      ["assess", "Photo checks"],
    ],
    "",
  );
  let limit = 20;
  const load = async () => {
    const query = new URLSearchParams({ limit: String(limit), ...(filter.value() ? { kind: filter.value() } : {}) });
    const page = await ask("GET", `/v1/jobs?${query}`, { signal });
    const items = page.data.map((/** @type {any} */ job) => item(job, people, problems, load, signal));
    keepFocus(list, () =>
      fill(list, ...(items.length ? items : [h("li", { class: "card empty" }, "There are no jobs yet.")])),
    );
    more.hidden = !page.has_more || limit >= 100;
    list.dataset.live = String(page.data.some((/** @type {any} */ job) => !hasEnded(job.state)));
  };
  filter.listen(() => attempt(problems, load));
  more.addEventListener("click", () => {
    limit = Math.min(100, limit + 20);
    busy(more, problems, load);
  });
  fill(main, h("div", { class: "heading" }, h("h1", { tabindex: -1 }, "Jobs")), filter.element, problems, list, more);
  await load();
  const timer = setInterval(() => list.dataset.live === "true" && attempt(problems, load), EVERY_MILLISECONDS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/**
 * Redraw a list; a button that had the focus has it again.
 * @param {HTMLElement} list
 * @param {() => void} redraw
 */
function keepFocus(list, redraw) {
  const id = list.contains(document.activeElement) ? document.activeElement?.id : "";
  redraw();
  if (id) document.getElementById(id)?.focus();
}

/**
 * @param {any} job
 * @param {Map<string, string>} people
 * @param {HTMLElement} problems
 * @param {() => Promise<void>} load
 * @param {AbortSignal} signal
 */
function item(job, people, problems, load, signal) {
  const name = people.get(job.identity_id);
  const title = name
    ? h("a", { href: `#/people/${job.identity_id}` }, `${kindWord(job.kind)} for ${name}`)
    : kindWord(job.kind);
  const act = (/** @type {string} */ verb, /** @type {string} */ text, /** @type {string} */ said) => {
    const button = h(
      "button",
      {
        type: "button",
        class: "plain",
        id: `${verb}-${job.id}`,
        "aria-label": `${text}: ${kindWord(job.kind)} of ${when(job.created_at)}`,
      },
      text,
    );
    button.addEventListener("click", () =>
      busy(button, problems, async () => {
        await ask("POST", `/v1/jobs/${job.id}/${verb}`, { signal });
        say(said);
        await load();
      }),
    );
    return button;
  };
  return h(
    "li",
    { class: "card job" },
    h("div", { class: "grow" }, h("p", {}, h("strong", {}, title)), h("p", { class: "small faint" }, timing(job))),
    badge(job.state),
    job.progress &&
      !hasEnded(job.state) &&
      h("progress", { max: job.progress.total, value: job.progress.step, "aria-label": "Progress" }),
    job.error && h("p", { class: "small wide" }, whatWentWrong(job.error)),
    ["queued", "running"].includes(job.state) && act("cancel", "Stop", "The job is being stopped."),
    RETRYABLE.includes(job.state) &&
      job.error?.retryable !== false &&
      act("retry", "Try again", "The job is queued again."),
  );
}

/** @param {{code: string, detail: string}} error */
function whatWentWrong(error) {
  const advice = whatToDo(error.code);
  return [advice && h("strong", {}, `${advice} `), sentence(error.detail)];
}

/** @param {any} job */
function timing(job) {
  const begun = when(job.created_at);
  if (job.queue) return `${begun}, ${job.queue.position} before it`;
  if (!job.started_at || !job.finished_at) return begun;
  return `${begun}, took ${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`;
}
