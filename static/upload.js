// One file on its way: what is done where its name is taken, what when the connection breaks, and how it ends.
//
// It never ends for a reason that passes: it tries again, less and less often, and at once when there is reason to.
// It is stored when the server has said so, after the commit.

import * as api from "./api.js";
import * as batch from "./batch.js";
import { cancel } from "./cancelling.js";
import { announce, ask, withName } from "./dialogs.js";
import { formatSize, nameElement } from "./format.js";
import { attend, CAUTIOUS_REQUEST_MAX, checkReadable, sleep, UNANSWERED_AFTER_MS, WATCH_INTERVAL_MS } from "./patience.js";
import * as remains from "./remains.js";
import * as resumable from "./resumable.js";
import { isRefusing } from "./status.js";
import { FILES, fill, UPLOADS as TEXT } from "./texts.js";
import { isPassing, Rate, Stopped } from "./transfer.js";
import { Row } from "./uploadrow.js";

/** Files above this go by the protocol that can go on in the middle: one more request, and one more write of the master's. */
const LARGE_ABOVE = Number(document.body.dataset.smallFileMax ?? 1 << 20);
const KEEP_BOTH_MAX = 1000;
/** So many sendings of a small file of which nobody heard the end are known; those before them are long over. */
const SENDINGS_MAX = 8;
/** So often the server is asked about a small file that was cancelled, before the row says that nobody knows. */
const CANCEL_TRIES = 4;

let requestMax = Number(document.body.dataset.uploadRequestMax ?? Infinity);
// One question at a time.
let questions = Promise.resolve();

export class Upload {
  /**
   * `path` is where it goes below `folder`, and `source` what finds the file again; `isUnsure` says whether it may be stored already.
   * `onChange` is called when it shows something else, `onAsk` when it waits for an answer, and `tell` with what those may hear who
   * listen; `hasOthers` says whether an answer could be meant for others, too, `mayGo` is over when no folder is on its way elsewhere, and
   * `answers.forAll` is what somebody said about all that were taken together with this one.
   */
  constructor({ file, path, source, isUnsure }, folder, { onChange, onAsk, tell, hasOthers, mayGo, answers }) {
    Object.assign(this, { file, source, isUnsure });
    this.folder = folder;
    this.path = path;
    this.origin = [...folder, ...path];
    this.onChange = onChange;
    this.onAsk = onAsk;
    this.tell = tell;
    this.hasOthers = hasOthers;
    this.mayGo = mayGo;
    this.answers = answers;
    this.sent = 0;
    // What is known of the cluster having it already; of a small one, whether it was only named so far.
    this.naming = {};
    this.isNamed = false;
    // The ids under which it was sent, if it is small, and of which nobody said what became of it.
    this.sendings = [];
    this.show("waiting", TEXT.waiting);
  }

  /** Its row, which is made when it is to be seen. */
  get row() {
    this.ownRow ??= new Row(this);
    return this.ownRow;
  }

  /** What it is, and says, of which sentences may be the server's `english`; no text is how far it is. */
  show(state, text, { copies, english } = {}) {
    Object.assign(this, { state, text, copies, english });
    this.onChange();
  }

  get name() {
    return this.path.at(-1);
  }

  get target() {
    return [...this.folder, ...this.path];
  }

  get size() {
    return this.file.size;
  }

  get isLarge() {
    return this.size > Math.min(LARGE_ABOVE, requestMax - batch.ROOM);
  }

  /** Whether it can only wait until something can be stored. */
  get isHeldUp() {
    const isOnItsWay = this.text === undefined || this.text === TEXT.starting;
    return this.state === "sending" && isOnItsWay && isRefusing();
  }

  /** How much of it need not be sent any more: of a small file that is not stored in the end, nothing. */
  get kept() {
    const isInVain = this.state === "stuck" || this.isHeldUp;
    return isInVain && !this.isLarge ? 0 : this.sent;
  }

  /** Whether the server may have something of it. */
  get wasSent() {
    return this.sent > 0 || this.sendings.length > 0;
  }

  get fingerprint() {
    return remains.fingerprint(this.file, this.origin);
  }

  /** Whether it goes into this folder, however deep. */
  isBelow(folder) {
    // Not by its `target`: many are asked often, and an array for each is slow.
    const above = this.folder.length;
    const nameAt = (depth) => (depth < above ? this.folder[depth] : this.path[depth - above]);
    return above + this.path.length > folder.length && folder.every((name, depth) => nameAt(depth) === name);
  }

  /** Stops it: to "pause" it, to "cancel" it, or to have it wait until its folder has "move"d. */
  stop(why) {
    this.wanted = why;
    this.control.abort(new Stopped(why));
  }

  /** Goes on until it is stored, or cannot be, or is stopped. */
  async run() {
    this.control = new AbortController();
    this.begin();
    this.show("sending", TEXT.starting);
    try {
      if (this.isLarge) await this.claim();
      const stored = await this.tryOn();
      if (stored) this.stored(stored);
      else this.end("skipped", TEXT.skipped);
    } catch (error) {
      await this.failed(error);
    }
  }

  stored({ copies, wanted, wasHere }) {
    this.sent = this.size;
    const isKnown = wanted > 0;
    const stored = wasHere ? TEXT.wasHere : TEXT.stored;
    const text = !isKnown ? TEXT.storedBefore : copies < wanted ? TEXT.storedForNow : stored;
    const values = { size: formatSize(this.size), copies, wanted };
    this.end("done", fill(text, values), { copies: isKnown ? { copies, wanted } : undefined });
    this.tell(fill(TEXT.isStored, { name: this.name }));
  }

  /** Every file has all its copies now. */
  showCopiesMade() {
    if (this.state !== "done" || !this.copies || this.copies.copies >= this.copies.wanted) return;
    const { wanted } = this.copies;
    this.show("done", fill(TEXT.copiesMade, { size: formatSize(this.size) }), { copies: { copies: wanted, wanted } });
  }

  async failed(error) {
    if (!(error instanceof Stopped)) {
      const text = fill(TEXT.failed, { reason: error.message });
      this.end("failed", text, { english: error.english });
      announce(`${this.name}: ${text}`, error.english);
    } else if (error.why === "move") {
      await this.stepAside();
    } else if (error.why === "pause") {
      this.showPaused();
    } else {
      await this.cancelled();
    }
  }

  showPaused() {
    this.show("paused", fill(TEXT.paused, { sent: formatSize(this.sent), size: formatSize(this.size) }));
  }

  /** It goes on somewhere else in a moment, unless it is a file already. */
  async stepAside() {
    this.isUnsure = true;
    // Without an answer it waits as it is: the move asks once more, and is not made without one.
    const isNothing = await this.leave().catch(() => true);
    // Somebody may have stopped it meanwhile.
    if (!isNothing) this.stored({});
    else if (this.wanted !== "move") await this.failed(new Stopped(this.wanted));
    else this.show("waiting", TEXT.waiting);
  }

  /**
   * Gives up what was to become a file of this name. Chunks of a large one stay for a while, and are named when it goes on under another
   * name. Says whether there is no such file; without the server's word for it, it fails.
   */
  async leave() {
    if (this.isLarge ? !remains.find(this.fingerprint) : this.sendings.length === 0) return true;
    const isNothing = await this.takeBack();
    this.naming = { isFromStart: false };
    this.sent = 0;
    if (this.state === "paused") this.showPaused();
    return isNothing;
  }

  /** A folder that it goes into has another name or place now. */
  follow(from, to) {
    remains.release(this.fingerprint, this);
    const moved = (path) => [...to, ...path.slice(from.length)];
    const [target, origin] = [moved(this.target), moved(this.origin)];
    const isInShown = this.folder.every((name, depth) => to[depth] === name);
    if (from.length <= this.folder.length) this.folder = moved(this.folder);
    else if (!isInShown) this.folder = to.slice(0, -1);
    this.path = target.slice(this.folder.length);
    this.origin = origin;
    this.onChange();
  }

  /** Nothing of it is to be left. */
  async cancelled() {
    this.show("sending", TEXT.cancelling);
    const [state, text] = await this.takeBackPatiently().then(
      (isNothing) => (isNothing ? ["cancelled", TEXT.cancelled] : ["done", TEXT.cancelledLate]),
      // Of a small one its commit may go on.
      () => (this.isLarge ? ["cancelled", TEXT.cancelledUnheard] : ["failed", TEXT.cancelledUnsure]),
    );
    this.sent = 0;
    this.naming = {};
    this.end(state, text);
  }

  /** A small one may be getting its name, which is not decided before the master answers, or it is dead. */
  async takeBackPatiently() {
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.takeBack();
      } catch (error) {
        if (this.isLarge || failures + 1 >= CANCEL_TRIES) throw error;
        await sleep(failures, new AbortController().signal);
      }
    }
  }

  /** Has the server forget what was sent; says whether there is nothing of it. */
  async takeBack() {
    if (this.isLarge) return this.discard();
    const isSent = this.sendings.length > 0;
    const { isStored, isUnsure } = isSent ? await cancel(this.sendings) : { isUnsure: this.isUnsure };
    const isNothing = !isStored && !(isUnsure && (await api.isThere(this.target, this.file)));
    // Not before it is known: it is asked again else.
    this.sendings = [];
    return isNothing;
  }

  end(state, text, what) {
    remains.release(this.fingerprint, this);
    // One that failed may still be on its way.
    if (state !== "failed") this.sendings = [];
    this.endedAt = performance.now();
    this.show(state, text, what);
  }

  /** Has the server delete what was sent; says whether there is nothing any more. */
  async discard() {
    const before = remains.find(this.fingerprint);
    return before ? resumable.discard(before) : true;
  }

  /** Two that go on with one upload, here or in another tab, would only stop each other. */
  async claim() {
    const isFree = remains.claim(this.fingerprint, this);
    const others = isFree && remains.find(this.fingerprint) && (await remains.askOthers());
    if (!isFree || (others && others.uploads.has(this.fingerprint))) throw new Error(TEXT.elsewhere);
  }

  async tryOn() {
    const { signal } = this.control;
    for (let failures = 0; ;) {
      const before = this.sent;
      try {
        return await this.store();
      } catch (error) {
        if (!this.passes(error)) throw error;
        await checkReadable(this.isLarge ? this.file.slice(0, 1) : this.file);
        failures = this.sent > before ? 0 : failures + 1;
        const isLost = isSilent(error) && !isRefusedOnTheWay(error);
        if (isLost) this.stuck(TEXT.lost);
        else this.stuck(fill(TEXT.again, { reason: error.message }), error.english);
        await sleep(failures, signal);
        this.begin();
      }
    }
  }

  /** It tries again by itself. */
  stuck(text, english) {
    this.show("stuck", text, { english });
    this.tell(`${this.name}: ${text}`, english);
  }

  passes(error) {
    // Something on the way takes no request of this length, and it was not the server that said so.
    if (error.status === 413 && !error.code && this.triedMax > CAUTIOUS_REQUEST_MAX) {
      requestMax = Math.min(requestMax, CAUTIOUS_REQUEST_MAX);
      return true;
    }
    // It may have refused this one for what goes in the same form: it goes again, with no others.
    if (isRefusedOnTheWay(error) && this.isAlone && !this.triedAlone) return true;
    // It rested for too long, and begins anew.
    const isGone = error.status === 404 && this.isLarge && remains.find(this.fingerprint);
    return isGone || isPassing(error);
  }

  /** Sends it as a new file; where the name is taken, does what the person says. Gives nothing if that is to skip it. */
  async store() {
    this.pickUp();
    while (true) {
      try {
        return await this.send();
      } catch (error) {
        if (error.code !== "precondition_failed") {
          // It may be there although nobody heard of it, and it may be what spoils a request that has others.
          this.isUnsure ||= !this.isLarge;
          this.isAlone ||= !this.isLarge && isSilent(error) && !(error instanceof Stopped);
          throw error;
        }
      }
      this.sendings = [];
      if (!this.isLarge) this.sent = 0;
      if (this.isUnsure && !this.isLarge && (await api.isThere(this.target, this.file))) return {};
      if (!(await this.decide())) return null;
      this.begin();
    }
  }

  /** Goes where an earlier page sent it to. */
  pickUp() {
    const path = this.isLarge && remains.find(this.fingerprint)?.metadata?.path;
    if (!path) return;
    const names = api.pathNames(path).slice(this.folder.length);
    if (names.length > 0) this.path = names;
  }

  /** What to do with a name that is taken; says whether it is to be sent. */
  async decide() {
    if (this.answer !== "both") {
      const seen = await api.versionOf(this.target);
      this.show("asking", TEXT.asking);
      this.onAsk();
      // One that was to be replaced and is another one by now was not meant by an answer for all.
      this.answer = await decide(this, this.answer === "replace");
      this.replaced = seen;
      // Its folder may be on its way elsewhere.
      await this.mayGo();
      this.control.signal.throwIfAborted();
      this.show("sending", TEXT.starting);
    }
    // What was sent was to become another file, or none that replaces one. Its chunks stay for a while, and are named.
    await this.discard();
    this.naming = { isFromStart: this.sent > 0 ? false : undefined };
    if (this.answer === "skip") return false;
    if (this.answer === "both") await this.takeFreeName();
    return true;
  }

  async takeFreeName() {
    const original = this.origin.at(-1);
    const dot = original.lastIndexOf(".");
    const [stem, extension] = dot > 0 ? [original.slice(0, dot), original.slice(dot)] : [original, ""];
    do {
      this.number = (this.number ?? 1) + 1;
      if (this.number > KEEP_BOTH_MAX) throw new Error(TEXT.tooMany);
      this.path = [...this.path.slice(0, -1), `${stem} (${this.number})${extension}`];
    } while (await api.fileExists(this.target));
  }

  /** One try, which is given up when it does not move. */
  send() {
    const isStill = (longest) => {
      // However long those before it take: they are watched themselves.
      if (this.isInLine) this.movedAt = Date.now();
      const most = this.isNamed || this.sent >= this.size ? UNANSWERED_AFTER_MS : longest;
      const still = Date.now() - this.movedAt;
      if (still > WATCH_INTERVAL_MS) this.speed = undefined;
      return still > most;
    };
    const watch = (longest) => {
      const isOver = isStill(longest);
      this.onChange();
      return isOver;
    };
    return attend(this.control.signal, watch, (signal) => this.sendBy(signal));
  }

  sendBy(signal) {
    const options = {
      condition: this.condition,
      signal,
      onProgress: (sent) => {
        if (!signal.aborted) this.progressed(sent);
      },
    };
    this.triedMax = requestMax;
    this.triedAlone = this.isAlone;
    const { origin, target, naming } = this;
    const onMove = () => { this.movedAt = Date.now(); };
    const onCheck = () => {
      onMove();
      if (!signal.aborted) this.show("sending", TEXT.checking);
    };
    if (this.isLarge) return resumable.send(this.file, { ...options, origin, target, naming, requestMax, onCheck });
    const onWait = () => { this.isInLine = true; };
    const onBegin = () => {
      this.isInLine = false;
      this.isNamed = false;
      onMove();
    };
    const onSend = (id, isNamed) => {
      this.isNamed = isNamed;
      // What became of the last one nobody heard.
      if (this.sendings.length > 0) this.isUnsure = true;
      this.sendings = [...this.sendings, id].slice(-SENDINGS_MAX);
    };
    const onNothing = (id) => { this.sendings = this.sendings.filter((sending) => sending !== id); };
    const events = { onWait, onBegin, onSend, onNothing, onMove };
    return batch.send(this.file, { ...options, target, requestMax, isAlone: this.isAlone, ...events });
  }

  /** What must hold for the name when it is given: it replaces nothing that the person was not asked about. */
  get condition() {
    const replaces = this.answer === "replace" && this.replaced;
    return replaces ? { "If-Match": this.replaced } : { "If-None-Match": "*" };
  }

  /** Nothing is under way yet. */
  begin() {
    if (!this.isLarge) this.sent = 0;
    this.rate = new Rate();
    this.speed = undefined;
    this.movedAt = Date.now();
    this.isNamed = false;
  }

  progressed(sent) {
    if (sent !== this.sent) this.movedAt = Date.now();
    this.sent = sent;
    this.speed = this.rate.update(sent);
    this.show("sending");
  }
}

/** Whether it says nothing that a person could use. */
const isSilent = (error) => error instanceof api.ConnectionError || error.code === "offset_mismatch" || !error.code;

/** Whether something in the server's place, a filter for example, refuses it: the server says by a code why. */
const isRefusedOnTheWay = (error) => error instanceof api.ApiError && !error.code && error.status < 500;

/** What to do where the name is taken: "replace", "both" or "skip". With `isAgain`, whatever was said for all. */
function decide(upload, isAgain) {
  const answer = questions.then(async () => {
    if (upload.answers.forAll && !isAgain) return upload.answers.forAll;
    if (upload.control.signal.aborted) return "skip";
    const choice = await ask({
      title: TEXT.takenTitle,
      text: withName(TEXT.takenText, upload.name, { folder: nameElement(upload.target.slice(0, -1).join(" / ") || FILES.root) }),
      checkbox: upload.hasOthers() && TEXT.forAll,
      actions: [
        { label: TEXT.skip, value: "skip" },
        { label: TEXT.both, value: "both" },
        { label: TEXT.replace, value: "replace", style: "primary" },
      ],
    });
    if (choice?.checked) upload.answers.forAll = choice.value;
    return choice?.value ?? "skip";
  });
  questions = answer.catch(() => {});
  return answer;
}
