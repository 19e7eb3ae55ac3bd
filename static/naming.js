// What the cluster has already is not sent: the next chunks of a file are hashed here and named to the server, which adds those that
// it has to the upload. Those that it has not are sent, and behind them it goes on with names: a large file of which a byte changed
// costs a chunk.
//
// Most files are new, and each try stops the bytes for a moment. So of a file of which nothing is known a good part is sent before it is
// tried again, and twice as much each time that this was in vain.
//
// Small files, which go many in a request, are named as a whole in the same way (batch.js).

import * as api from "./api.js";

/** Chunks in one request: few at first, since most files are new. */
const NAMED_FIRST = 1;
const NAMED_MAX = 64;
const NAMED_GROWTH = 8;
/** No more chunks than in the request before where that took so long: the disk is slow, and somebody waits to see it move. */
const SLOW_AFTER_MS = 5000;
/** Chunks that are sent before it is tried again: of what seems to be new at least so many, or this part of it, and never more. */
const AHEAD_MIN = 8;
const AHEAD_PART = 8;
const AHEAD_MAX = 256;
const HASHING = new URL("hashing.js", import.meta.url).href;
let chunkSize;
let policy;

/**
 * Names chunks of a file to the upload at `address`, which is at `offset`, as long as the cluster has them. Gives `stored`, what a commit
 * was answered, or `until`, up to where bytes are to be sent before this is called again. `naming` keeps what was found, from call to
 * call; `onProgress` is told how far it is, and `onCheck` is called with each chunk that was hashed.
 */
export async function nameChunks(file, { address, offset, hasher, naming, onProgress, onCheck, signal }) {
  await knowChunkSize();
  const { size } = file;
  if (offset >= size || offset < naming.next) return { until: Math.min(size, naming.next ?? size) };
  // Bytes that came before end within a chunk: only bytes can go on.
  const within = offset % chunkSize;
  if (within > 0) return { until: Math.min(size, offset - within + chunkSize) };
  const begin = offset;
  for (let count = NAMED_FIRST; ;) {
    const begun = performance.now();
    const end = Math.min(size, offset + count * chunkSize);
    const chunks = await hasher.hash(file, offset, end, onCheck);
    if (!chunks) {
      naming.next = size;
      return { until: size };
    }
    const state = await api.call("POST", `${address}/chunks`, { offset, chunks }, { signal });
    onProgress(state.offset);
    if (state.version > 0) return { stored: { copies: state.copies, wanted: state.copies_wanted } };
    offset = state.offset;
    if (offset < end) break;
    if (performance.now() - begun < SLOW_AFTER_MS) count = Math.min(NAMED_MAX, count * NAMED_GROWTH);
  }
  naming.ahead = chunksAhead(naming.ahead, offset > begin, (size - offset) / chunkSize);
  naming.next = Math.min(size, offset + naming.ahead * chunkSize);
  return { until: naming.next };
}

/** The chunks of whole files, of each a list; nothing in its place where that cannot be told. `onCheck` is called with each chunk. */
export async function chunksOf(files, { onCheck, signal }) {
  const hasher = new Hasher(signal);
  try {
    await knowChunkSize();
    const all = [];
    for (const file of files) all.push(await hasher.hash(file, 0, file.size, onCheck));
    return all;
  } finally {
    hasher.end();
  }
}

async function knowChunkSize() {
  chunkSize ??= (await api.status()).rules.chunk_size;
}

/** How many chunks are sent before the next try, where there were `before` before this one, which found some or not. */
function chunksAhead(before, hasFound, left) {
  if (hasFound) return 1;
  const wanted = before ? before * 2 : Math.max(AHEAD_MIN, Math.ceil(left / AHEAD_PART));
  return Math.min(AHEAD_MAX, wanted);
}

/** Hashes chunks in a worker of its own, one file after another, until `signal` stops it. */
export class Hasher {
  constructor(signal) {
    this.signal = signal;
    this.stop = () => this.finish?.();
    signal.addEventListener("abort", this.stop);
  }

  /** The hashes of the chunks between two places of a file; nothing if it cannot tell. `onCheck` is called with each. */
  async hash(file, begin, end, onCheck) {
    const { signal } = this;
    signal.throwIfAborted();
    this.worker ??= work();
    const { worker } = this;
    if (!worker || this.isBroken) return null;
    const answer = await new Promise((resolve) => {
      this.finish = resolve;
      worker.onmessage = ({ data }) => (data.done ? onCheck() : resolve(data));
      worker.onerror = (event) => {
        this.isBroken = true;
        resolve(event);
      };
      worker.postMessage({ file, begin, end, chunkSize });
    });
    signal.throwIfAborted();
    if (!answer.hashes) console.debug("the file could not be hashed", answer.reason);
    return answer.hashes;
  }

  end() {
    this.signal.removeEventListener("abort", this.stop);
    this.worker?.terminate();
  }
}

/** A worker that hashes; nothing, where the browser gives none. */
function work() {
  try {
    policy ??= globalThis.trustedTypes?.createPolicy("hashing", { createScriptURL: () => HASHING });
    return new Worker(policy?.createScriptURL("") ?? HASHING, { type: "module" });
  } catch (error) {
    console.debug(error);
    return null;
  }
}
