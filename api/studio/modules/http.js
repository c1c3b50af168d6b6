/** Requests to the service: the session's token goes along, and every refusal becomes a Problem. */

/** @typedef {{json?: unknown, form?: FormData, headers?: Record<string, string>, signal?: AbortSignal}} Request */

/** A refusal, as the service words it (RFC 9457), or as we do where it does not answer. */
export class Problem extends Error {
  /** @param {Record<string, any>} body */
  constructor(body) {
    super(body.detail ?? "");
    this.code = String(body.code ?? "internal");
    this.title = String(body.title ?? "Something went wrong");
    this.retryable = Boolean(body.retryable);
    this.requestId = String(body.request_id ?? "");
  }
}

const UNREACHABLE = {
  code: "unreachable",
  title: "The service does not answer",
  retryable: true,
};

/** @typedef {{tenant_id: string, csrf_token: string}} Session */

/** @type {Session} */
let session = { tenant_id: "", csrf_token: "" };

/**
 * Let every unsafe request from now on carry a session's token.
 * @param {Session} opened
 */
export function useSession(opened) {
  session = opened;
}

/**
 * Ask the service; return the answer's JSON, or throw a Problem.
 * @param {string} method
 * @param {string} path
 * @param {Request} [request]
 * @returns {Promise<any>}
 */
export async function ask(method, path, request = {}) {
  const { csrf_token } = session;
  const answer = await sent(method, path, request);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await problemOf(answer, path);
  if (problem.code !== "csrf_required" || !(await renewed(csrf_token))) throw problem;
  return ask(method, path, request);
}

/**
 * Take the token of the session that another tab has opened meanwhile; say whether it is another one than was sent.
 * @param {string} sentToken
 */
async function renewed(sentToken) {
  const opened = await ask("GET", "/v1/session");
  if (opened.tenant_id !== session.tenant_id) return false; // what is on this page is not theirs
  session = opened;
  return opened.csrf_token !== sentToken;
}

/**
 * Delete something; that it is gone already, by another tab for one, is as good.
 * @param {string} path
 * @param {AbortSignal} signal
 */
export async function discard(path, signal) {
  try {
    await ask("DELETE", path, { signal });
  } catch (error) {
    if (!(error instanceof Problem && ["not_found", "gone"].includes(error.code))) throw error;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Request} request
 */
async function sent(method, path, request) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...request.headers };
  if (method !== "GET") headers["X-CSRF-Token"] = session.csrf_token;
  if (request.json !== undefined) headers["Content-Type"] = "application/json";
  const body = request.json === undefined ? request.form : JSON.stringify(request.json);
  try {
    return await fetch(path, { method, headers, body, signal: request.signal, credentials: "same-origin" });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new Problem(UNREACHABLE);
  }
}

/**
 * @param {Response} answer
 * @param {string} path
 */
async function problemOf(answer, path) {
  /** @type {Record<string, any>} */
  let body = { title: `The service answered ${answer.status}`, detail: answer.statusText };
  if (answer.headers.get("content-type")?.includes("json")) body = await answer.json();
  if (answer.status === 401 && path !== "/v1/session") window.dispatchEvent(new Event("signed-out"));
  return new Problem(body);
}

/**
 * Yield every item of a list, page after page, up to so many.
 * @param {string} path
 * @param {number} most
 * @param {AbortSignal} signal
 * @returns {Promise<any[]>}
 */
export async function all(path, most, signal) {
  const items = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(100, most)), ...(cursor ? { cursor } : {}) });
    const page = await ask("GET", `${path}?${query}`, { signal });
    items.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items.slice(0, most);
}
