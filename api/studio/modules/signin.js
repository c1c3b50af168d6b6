/** Signing in: the key is exchanged for a cookie that scripts cannot read, and is then forgotten. */

import { h, fill } from "./dom.js";
import { keepDraftsOf } from "./draft.js";
import { ask, Problem, useSession } from "./http.js";
import { busy } from "./notices.js";

const PRINTABLE = /^[\x21-\x7e]+$/; // what a key consists of, and all that a header can carry

/**
 * Go on with the session that the cookie holds, if it still holds one.
 * @returns {Promise<boolean>}
 */
export async function resumed() {
  try {
    goOnWith(await ask("GET", "/v1/session"));
    return true;
  } catch (error) {
    if (error instanceof Problem && error.code === "unauthenticated") return false;
    throw error;
  }
}

/** End the session. */
export async function signOut() {
  sessionStorage.clear(); // drafts are not for whoever sits here next
  await ask("DELETE", "/v1/session");
}

/**
 * Show the sign-in page; `opened` is called when the session is there.
 * @param {HTMLElement} main
 * @param {string} why
 * @param {() => void} opened
 */
export function showSignIn(main, why, opened) {
  const field = h("input", {
    id: "key",
    name: "key",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": "key-hint",
  });
  const button = h("button", { type: "submit", class: "primary" }, "Sign in");
  const problems = h("div");
  const form = h(
    "form",
    { class: "card stack" },
    why && h("p", { class: "notice" }, why),
    h("div", { class: "field" }, h("label", { for: "key" }, "Your key"), field, hint()),
    problems,
    button,
  );
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    busy(button, problems, async () => {
      await exchange(field.value.trim());
      field.value = "";
      opened();
    });
  });
  fill(main, h("div", { class: "welcome" }, greeting(), form));
  field.focus();
}

function greeting() {
  return h(
    "div",
    { class: "stack" },
    h("img", { src: "/favicon.svg", alt: "", width: 56, height: 56 }),
    h("h1", { tabindex: -1 }, "Bad photos of somebody, mended as that somebody"),
    h(
      "p",
      { class: "lead" },
      "A few photos of a person teach the model who they are. From then on it restores their blurred, noisy and tiny " +
        "photos with their own face, not with anybody\u2019s.",
    ),
  );
}

function hint() {
  return h(
    "p",
    { class: "small faint", id: "key-hint" },
    "It begins with ",
    h("code", {}, "idr_live_"),
    ". The service printed it when it first started; it is not kept in this browser.",
  );
}

/** @param {string} key */
async function exchange(key) {
  if (!PRINTABLE.test(key)) throw new Problem({ code: "unauthenticated", title: "This is no key" });
  const headers = { Authorization: `Bearer ${key}` };
  goOnWith(await ask("POST", "/v1/session", { headers }));
}

/** @param {import("./http.js").Session} opened */
function goOnWith(opened) {
  keepDraftsOf(opened.tenant_id);
  useSession(opened);
}
