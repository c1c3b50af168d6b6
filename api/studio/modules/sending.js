/** Photos on their way to the service: whoever leaves the page before they have arrived is asked first. */

import { Problem } from "./http.js";

const LARGEST_BYTES = 20 * 2 ** 20; // the service's own limit for a photo

let underWay = 0;

/**
 * Send something; until it has arrived, leaving the page would lose it.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function sending(work) {
  underWay += 1;
  try {
    return await work();
  } finally {
    underWay -= 1;
  }
}

/** Say whether something has not arrived yet. */
export function isSending() {
  return underWay > 0;
}

/**
 * Say why a file need not be sent at all, or null.
 * @param {File} file
 */
export function whyNotSent(file) {
  const megabytes = Math.ceil(file.size / 2 ** 20);
  if (file.size === 0) return new Problem({ code: "unreadable_image", title: "The file is empty" });
  if (file.size > LARGEST_BYTES) return new Problem({ code: "too_large", title: `The file has ${megabytes} MB` });
  return null;
}
