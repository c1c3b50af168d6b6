/** The service's codes and numbers, in words that a person can act on. */

/** @type {Record<string, string>} */
const WHAT_TO_DO = {
  unauthenticated: "Check the key, or ask whoever runs the service for a new one.",
  forbidden: "This key may not do that. Sign in with one that may.",
  csrf_required: "Somebody else has signed in in this browser. Reload the page and try again.",
  consent_required: "Record the person's consent to it on their page first.",
  no_usable_reference: "Add at least one photo in which the person's face can be seen.",
  no_adapter: "Train first, or choose the instant way.",
  adapter_mismatch: "Train again: the model has changed since.",
  too_large: "Choose a photo of at most 20 MB.",
  image_too_large: "Choose a smaller photo: at most 40 megapixels (HEIC: 25) and 8192 pixels a side.",
  unreadable_image: "Choose a JPEG, PNG, WebP or HEIC photo.",
  no_face: "Choose a photo in which the face can be seen, or mark the face yourself.",
  several_faces: "Choose whose face it is.",
  face_too_small: "Choose a larger version of the photo.",
  identity_mismatch: "Choose another photo, or mark the face yourself to insist.",
  rate_limited: "Wait a moment, then try again.",
  quota_exceeded: "Wait until earlier jobs have ended, then try again.",
  worker_lost: "Try again: the worker stopped on the way.",
  out_of_memory: "Try again later, or choose the fast way.",
  invalid_request: "Look through what was filled in, then try again.",
  unreachable: "Check that the service runs and that you are online, then try again.",
  busy: "Try again in a moment.",
  not_found: "It may have been deleted.",
  gone: "There is nothing left of it to show.",
  internal: "Try again. If it happens again, tell whoever runs the service what stands under Details.",
};

/**
 * Return what a person can do about a problem, or null where its own words must do.
 * @param {string} code
 */
export function whatToDo(code) {
  return WHAT_TO_DO[code] ?? null;
}

/** @type {Record<string, string>} */
const REASONS = {
  no_face: "No face was found",
  multiple_faces: "There are several faces",
  different_person: "It shows somebody else",
  too_small: "The face is too small",
  too_blurry_to_find_landmarks: "Eyes, nose and mouth cannot be found",
  duplicate: "It is there already",
};

/**
 * Return why a photo was rejected, in words.
 * @param {string} code
 */
export function reason(code) {
  return REASONS[code] ?? code.replaceAll("_", " ");
}

/** @type {Record<string, string>} */
const STATES = {
  draft: "Needs photos",
  ready: "Ready to train",
  training: "Training",
  personalized: "Trained",
  suspended: "On hold",
  erasing: "Being erased",
  erased: "Erased",
  queued: "Waiting",
  running: "Running",
  canceling: "Stopping",
  canceled: "Stopped",
  succeeded: "Done",
  failed: "Failed",
  expired: "Expired",
};

/**
 * Return a state of a person or a job, in words.
 * @param {string} state
 */
export function stateWord(state) {
  return STATES[state] ?? state;
}

/** @type {Record<string, string>} */
const KINDS = { assess: "Photo check", train: "Training", restore: "Restoration" };

/**
 * Return a kind of job, in words.
 * @param {string} kind
 */
export function kindWord(kind) {
  return KINDS[kind] ?? kind;
}

/** @type {Record<string, string>} */
const TIERS = {
  untouched: "left as it was",
  base: "plain model",
  instant: "instant, from the photos",
  personalized: "personalized, trained",
};

/**
 * Return how a face was restored, in words.
 * @param {string | null} tier
 */
export function tierWord(tier) {
  return tier === null ? "nothing yet" : (TIERS[tier] ?? tier);
}

/**
 * Return a text with a capital at the start and a full stop at the end.
 * @param {string} text
 */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/**
 * Return a name for a file to take along: of what is given, letters and digits only.
 * @param {...string} parts
 */
export function fileName(...parts) {
  return parts
    .map((part) =>
      part
        .replace(/[^\p{L}\p{N}]+/gu, " ")
        .trim()
        .replaceAll(" ", "-"),
    )
    .filter(Boolean)
    .join("-");
}

/**
 * Return a file's name without its ending.
 * @param {string} name
 */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "");
}

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/**
 * Return a moment as the reader's own calendar and clock write it.
 * @param {string} moment
 */
export function when(moment) {
  return MOMENT.format(new Date(moment));
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/**
 * Return the day of a moment.
 * @param {string} moment
 */
export function day(moment) {
  return DAY.format(new Date(moment));
}

const SECOND = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/**
 * Return a moment to the second, where two things may be of the same minute.
 * @param {string} moment
 */
export function exactly(moment) {
  return SECOND.format(new Date(moment));
}

/**
 * Return a length of time, as short as it can be said.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
