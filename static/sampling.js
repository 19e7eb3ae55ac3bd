// How often the server is asked which of the small files it has, before they are sent: a value without any calling.
//
// Files come in runs: a folder that was dropped before is known as a whole, and one that is new is new as a whole. So the first batch
// tells most. Where a good part of it was known, the next one is asked for too: a question costs a few bytes, and saves those of what is
// known. Where little was, as of photos that are new but for one that lies in every folder, or nothing, or the question was lost, it is
// time lost: 1 batch goes without, then 2, 4, 8 and so on, so that new files are held up seldom, and yet a run of known ones among
// them is found before long.

/** Batches that go without asking, at most: of the largest ones, some 100 MiB. */
const UNASKED_MAX = 32;
/** Of what share of its bytes a question has to find that they are known, to pay. */
const SHARE_MIN = 1 / 4;

export class Sampling {
  #asked = 0;
  #hasHeard = false;
  #left = 0;
  // How many go without after the next answer of little; 1 as long as much was known.
  #pause = 1;

  /** What the next batch is to do: "ask", "send", or "wait" for the first answer, without which nobody can tell. */
  next() {
    if (this.#asked > 0 && !this.#hasHeard) return "wait";
    // One question at a time where most are new.
    const isPausing = this.#left > 0 || (this.#asked > 0 && this.#pause > 1);
    if (!isPausing) {
      this.#asked += 1;
      return "ask";
    }
    this.#left = Math.max(0, this.#left - 1);
    return "send";
  }

  /** A question has ended: what share of its bytes was known, from 0 to 1. Nothing is said where the person stopped it. */
  heard(share) {
    this.#asked -= 1;
    if (share === undefined) return;
    this.#hasHeard = true;
    const hasPaid = share >= SHARE_MIN;
    this.#left = hasPaid ? 0 : this.#pause;
    this.#pause = hasPaid ? 1 : Math.min(UNASKED_MAX, this.#pause * 2);
  }
}
