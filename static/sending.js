// One file on its way to a folder that asks for some: by the tus protocol, with the stock client, so that it goes on in the middle. It
// tries again whatever may pass, and has arrived when the server has said so, after the commit.
//
// What was begun by a link is kept in the browser under that link, and found by no other: chosen again, the same file goes on.

import { ConnectionError } from "./api.js";
import { attend, CAUTIOUS_REQUEST_MAX, checkReadable, sleep, UNANSWERED_AFTER_MS } from "./patience.js";
import { checkWhereItIs, client, discard, entries, explain, Kept } from "./stock.js";
import { fill, RECEIVER, UPLOADS } from "./texts.js";
import { isPassing, modifiedMs, Rate, Stopped } from "./transfer.js";

const SENT = "dfs::sent::";
/** The server keeps what was begun no longer than about this after somebody went on with it. */
const KEPT_MS = 8 * 86400 * 1000;

/** A link by which files are sent: `endpoint` is where, no request is longer than `requestMax`, and it may ask for a password. */
export class Link {
  constructor(endpoint, requestMax, hasPassword) {
    this.endpoint = endpoint;
    this.requestMax = requestMax;
    this.hasPassword = hasPassword;
    this.kept = new Kept(`${SENT}${endpoint}::`);
  }

  /** The names of what was begun here and did not arrive; what nobody keeps any more, by whichever link, is forgotten. */
  unfinished() {
    const isKept = ({ usedMs, creationTime }) => Date.now() - (usedMs ?? Date.parse(creationTime)) < KEPT_MS;
    const old = entries(SENT).filter((upload) => !isKept(upload));
    old.forEach(({ urlStorageKey }) => this.kept.removeUpload(urlStorageKey));
    return this.kept.all().map(({ metadata }) => metadata?.filename ?? "").filter(Boolean);
  }
}

export class Sending {
  /** `onChange` is called when it shows something else: its `state` and `text`, of which sentences may be the server's `english`. */
  constructor(file, link, onChange) {
    Object.assign(this, { file, link, onChange, sent: 0 });
    this.fingerprint = JSON.stringify([file.name, file.size, modifiedMs(file)]).replaceAll(":", "\\u003a");
    this.show("waiting", RECEIVER.waiting);
  }

  /** No text is how far it is. */
  show(state, text, english) {
    Object.assign(this, { state, text, english });
    this.onChange(this);
  }

  /** Goes on until it has arrived, or cannot, or is cancelled. */
  async run() {
    this.control = new AbortController();
    this.begin();
    try {
      await this.alone(() => this.tryOn());
      this.sent = this.file.size;
      this.show("done", RECEIVER.arrived);
    } catch (error) {
      if (error instanceof Stopped) await this.cancelled();
      else if (this.isLocked(error)) this.show("failed", RECEIVER.passwordAgain);
      else this.show("failed", error.message, error.english);
    }
  }

  /** Whether the password is needed again. The answer to a question without a body does not say why it is refused. */
  isLocked({ status, code }) {
    return status === 403 && (code === "password_needed" || (!code && this.link.hasPassword));
  }

  cancel() {
    if (this.state === "waiting") this.show("cancelled", RECEIVER.cancelled);
    else this.control.abort(new Stopped("cancel"));
  }

  /** Two tabs that go on with one upload would only stop each other. */
  async alone(work) {
    if (!navigator.locks) return work();
    return navigator.locks.request(`dfs-sent::${this.link.endpoint}::${this.fingerprint}`, { ifAvailable: true }, (lock) => {
      if (!lock) throw new Error(UPLOADS.elsewhere);
      return work();
    });
  }

  async tryOn() {
    const { signal } = this.control;
    const isStill = (longest) => {
      const most = this.sent >= this.file.size ? UNANSWERED_AFTER_MS : longest;
      return Date.now() - this.movedAt > most;
    };
    for (let failures = 0; ;) {
      const before = this.sent;
      try {
        await attend(signal, isStill, (trying) => this.send(trying));
        return;
      } catch (error) {
        if (!this.passes(error)) throw error;
        await checkReadable(this.file.slice(0, 1));
        failures = this.sent > before ? 0 : failures + 1;
        if (error instanceof ConnectionError) this.show("stuck", UPLOADS.lost);
        else this.show("stuck", fill(UPLOADS.again, { reason: error.message }), error.english);
        await sleep(failures, signal);
        this.begin();
      }
    }
  }

  begin() {
    this.rate = new Rate();
    this.speed = undefined;
    this.movedAt = Date.now();
    this.show("sending", RECEIVER.sending);
  }

  /** Has the client send what is not there yet. */
  async send(signal) {
    const { Upload } = await client();
    const { file, link: { endpoint, kept, requestMax } } = this;
    this.triedMax = requestMax;
    await new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const upload = new Upload(file, {
        endpoint,
        metadata: { filename: file.name, modified_ms: modifiedMs(file) },
        fingerprint: async () => this.fingerprint,
        urlStorage: kept,
        removeFingerprintOnSuccess: true,
        chunkSize: requestMax,
        retryDelays: null,
        onAfterResponse: checkWhereItIs,
        onProgress: (sent) => {
          if (!signal.aborted) this.progressed(sent);
        },
        onError: (error) => reject(explain(error)),
        // Whatever answers in the server's place has stored nothing.
        onSuccess: ({ lastResponse }) => (lastResponse.getHeader("Tus-Resumable") ? resolve() : reject(new ConnectionError())),
      });
      signal.addEventListener("abort", () => {
        upload.abort();
        reject(signal.reason);
      }, { once: true });
      const before = kept.find(this.fingerprint);
      if (before) {
        kept.touch(before);
        upload.resumeFromPreviousUpload(before);
      }
      upload.start();
    });
  }

  progressed(sent) {
    if (sent !== this.sent) this.movedAt = Date.now();
    this.sent = sent;
    this.speed = this.rate.update(sent);
    this.show("sending");
  }

  passes(error) {
    if (error instanceof Stopped) return false;
    // Something on the way takes no request of this length, and it was not the server that said so.
    if (error.status === 413 && !error.code && this.triedMax > CAUTIOUS_REQUEST_MAX) {
      this.link.requestMax = Math.min(this.link.requestMax, CAUTIOUS_REQUEST_MAX);
      return true;
    }
    // It rested for too long, and begins anew; or its folder was moved, and it follows.
    const isGone = error.status === 404 && this.link.kept.find(this.fingerprint);
    return isGone || error.code === "upload_interrupted" || isPassing(error);
  }

  /** Nothing of it is to be left. */
  async cancelled() {
    this.show("sending", UPLOADS.cancelling);
    const before = this.link.kept.find(this.fingerprint);
    const isNothing = !before || await discard(before, this.link.kept).catch(() => null);
    this.sent = 0;
    if (isNothing === false) this.show("done", RECEIVER.arrived);
    else this.show("cancelled", isNothing ? RECEIVER.cancelled : UPLOADS.cancelledUnheard);
  }
}
