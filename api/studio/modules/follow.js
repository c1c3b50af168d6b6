/** A job, followed live until it has ended: server-sent events, which go on by themselves after a broken line. */

import { ask, Problem } from "./http.js";

/** @typedef {{sequence: number, type: string, data: Record<string, any>, created_at: string}} JobEvent */
/** @typedef {{heard: (event: JobEvent) => void, connected: (yes: boolean) => void}} Listener */

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
 * Ask again and again while the service does not answer or says that it may answer later: an outage passes.
 * @template T
 * @param {() => Promise<T>} work
 * @param {(yes: boolean) => void} connected
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
export async function patiently(work, connected, signal) {
  for (;;) {
    try {
      const found = await work();
      connected(true);
      return found;
    } catch (error) {
      if (!(error instanceof Problem && error.retryable)) throw error;
    }
    connected(false);
    await pause(PATIENCE_MILLISECONDS);
    signal.throwIfAborted();
  }
}

/**
 * Hear every event of a job from its first one on, and of each outage; return the job when it has ended.
 * @param {string} jobId
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function follow(jobId, { heard, connected }, signal) {
  let last = 0;
  const fresh = (/** @type {JobEvent} */ event) => {
    if (event.sequence > last) heard(event);
    last = Math.max(last, event.sequence);
  };
  for (;;) {
    await untilClosed(`/v1/jobs/${jobId}/events`, { heard: fresh, connected }, signal);
    const job = await patiently(() => ask("GET", `/v1/jobs/${jobId}`, { signal }), connected, signal);
    if (hasEnded(job.state)) return job;
    await pause(PATIENCE_MILLISECONDS);
    signal.throwIfAborted();
  }
}

/**
 * @param {string} path
 * @param {Listener} listener
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function untilClosed(path, { heard, connected }, signal) {
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
    source.addEventListener("open", () => connected(true));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) close();
      else connected(false); // the browser tries again by itself
    });
    signal.addEventListener("abort", close, { once: true });
    if (signal.aborted) close();
  });
}
