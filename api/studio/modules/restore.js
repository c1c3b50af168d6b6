/** Restoring: photos chosen one after the other, and what was begun before and still goes on. */

import { fill, h, say } from "./dom.js";
import { BadPhoto, besides } from "./badphoto.js";
import { dropZone } from "./drop.js";
import { hasEnded } from "./follow.js";
import { ask } from "./http.js";
import { attempt, jobNotice, spokenTo } from "./notices.js";
import { Progress } from "./progress.js";
import { section } from "./section.js";
import { Wishes } from "./wishes.js";
import { exactly } from "./words.js";

/** @typedef {import("./person.js").Person} Person */

const MOST = 20; // of the tenant's latest restorations are searched for this person's unfinished ones

/** Restorations of one person; `done` is told of each that succeeded. */
export class Restoring {
  /**
   * @param {Person} person
   * @param {() => Promise<void>} done
   */
  constructor(person, done) {
    this.person = person;
    this.done = done;
    this.wishes = new Wishes();
    /** @type {BadPhoto | null} */
    this.photo = null;
    this.place = h("div");
    this.others = h("div", { class: "stack" });
    this.element = section(
      "restore",
      "Restore a photo",
      "Only this person's face changes; everybody and everything else in the photo stays as it is.",
      dropZone({
        title: "Drop one bad photo here, or choose it",
        hint: "It may hold other people too",
        several: false,
        given: ([file]) => this.choose(file),
      }),
      this.place,
      this.others,
    );
  }

  /** Go on with what was begun before this page was opened. */
  async load() {
    const latest = (await ask("GET", `/v1/restorations?limit=${MOST}`, { signal: this.person.signal })).data;
    const theirs = (/** @type {any} */ { faces }) =>
      faces.some((/** @type {any} */ face) => face.identity_id === this.person.id);
    for (const one of latest) if (theirs(one) && !hasEnded(one.state)) this.resume(one);
  }

  /** @param {any} restoration */
  resume(restoration) {
    const progress = new Progress("Restoring", "", this.person.signal);
    const item = besides(exactly(restoration.created_at), progress.element);
    this.others.append(item);
    return attempt(progress.problems, async () => {
      const job = await progress.follow(restoration.job_id);
      if (job.state === "failed") spokenTo(item, jobNotice(job.error, "The photo was not restored. Choose it again"));
      else item.remove();
      if (job.state !== "succeeded") return;
      await this.done();
      say("The photo is restored: it is under \u201cRestored so far\u201d.");
    });
  }

  /** @param {File} file */
  choose(file) {
    this.photo?.giveWay(this.others);
    this.photo = new BadPhoto(this.person, file, this.wishes, this.done);
    fill(this.place, this.photo.element);
    say("The photo is ready to be restored.");
    this.photo.button.focus();
  }
}
