/** What was typed into a form, kept in this tab until it is sent: a reload, or a look at another page, loses nothing. */

const TENANT = "tenant"; // whose the drafts are

/**
 * Fill a form with its draft, and keep that up to date. Ticks are no part of it: consent is given anew each time.
 * @param {HTMLFormElement} form
 * @param {string} name
 */
export function keepDraft(form, name) {
  const fields = () => [...form.querySelectorAll("input:not([type=checkbox]), textarea, select")];
  const draft = JSON.parse(sessionStorage.getItem(name) ?? "{}");
  for (const field of /** @type {HTMLInputElement[]} */ (fields())) field.value = draft[field.name] ?? field.value;
  form.addEventListener("input", () => {
    const typed = /** @type {HTMLInputElement[]} */ (fields()).map((field) => [field.name, field.value]);
    sessionStorage.setItem(name, JSON.stringify(Object.fromEntries(typed)));
  });
}

/**
 * Forget the drafts of anybody but this tenant: a session ends by itself, and somebody else signs in.
 * @param {string} tenantId
 */
export function keepDraftsOf(tenantId) {
  if (sessionStorage.getItem(TENANT) !== tenantId) sessionStorage.clear();
  sessionStorage.setItem(TENANT, tenantId);
}

/**
 * Forget a draft.
 * @param {string} name
 */
export function dropDraft(name) {
  sessionStorage.removeItem(name);
}
