/** A job, followed live until it has ended: server-sent events, which go on by themselves after a broken line. */

import { ask } from "./http.js";

/** @typedef {{sequence: number, type: string, data: Record<string, any>, created_at: string}} JobEvent */

const ENDS = ["succeeded", "failed", "canceled", "expired"];
const TYPES = ["queued", "started", "progress", "checkpoint", "canceling", ...ENDS];
const PATIENCE_MILLISECONDS = 2000;

/**
 * Say whether nothing more will happen to a job.
 * @param {string} state
 */
export function hasEnded(state) {
  return ENDS.includes(state);
}

/**
 * Wait a while.
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Hear every event of a job from its first one on; return the job when it has ended.
 * @param {string} jobId
 * @param {(event: JobEvent) => void} heard
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function follow(jobId, heard, signal) {
  let last = 0;
  const fresh = (/** @type {JobEvent} */ event) => {
    if (event.sequence > last) heard(event);
    last = Math.max(last, event.sequence);
  };
  for (;;) {
    await untilClosed(`/v1/jobs/${jobId}/events`, fresh, signal);
    const job = await ask("GET", `/v1/jobs/${jobId}`, { signal });
    if (hasEnded(job.state)) return job;
    await pause(PATIENCE_MILLISECONDS);
    signal.throwIfAborted();
  }
}

/**
 * @param {string} path
 * @param {(event: JobEvent) => void} heard
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function untilClosed(path, heard, signal) {
  return new Promise((resolve) => {
    const source = new EventSource(path);
    const close = () => {
      source.close();
      resolve();
    };
    for (const type of TYPES) {
      source.addEventListener(type, (message) => {
        heard(JSON.parse(message.data));
        if (hasEnded(type)) close();
      });
    }
    source.addEventListener("error", () => source.readyState === EventSource.CLOSED && close());
    signal.addEventListener("abort", close, { once: true });
    if (signal.aborted) close();
  });
}
