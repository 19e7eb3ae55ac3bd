// What the cluster has already is not sent: the next chunks of a file are hashed here and named to the server, which adds those that
// it has to the upload. At the first that it has not this ends, and the file is sent from there on.
//
// Only for files that go by the protocol that can go on in the middle. A small one would need a request more to find out, and most
// are new: its bytes are sent, and stored once all the same.

import * as api from "./api.js";

/** Chunks in one request: few at first, since most files are new. */
const NAMED_FIRST = 1;
const NAMED_MAX = 64;
const NAMED_GROWTH = 8;
let chunkSize;
let policy;

/**
 * Names chunks of a file to the upload at `address`, which is at `offset`. Gives what a commit was answered, or nothing where bytes have
 * to be sent, or nothing can be hashed here. `onProgress` is told how far it is.
 */
export async function nameChunks(file, { address, offset, onProgress, signal }) {
  chunkSize ??= (await api.status()).rules.chunk_size;
  // Bytes that came before end within a chunk: only bytes can go on.
  if (offset % chunkSize !== 0 || offset >= file.size) return null;
  const hasher = new Hasher(file, signal);
  try {
    for (let count = NAMED_FIRST; ; count = Math.min(NAMED_MAX, count * NAMED_GROWTH)) {
      const end = Math.min(file.size, offset + count * chunkSize);
      const chunks = await hasher.hash(offset, end);
      if (!chunks) return null;
      const state = await api.call("POST", `${address}/chunks`, { offset, chunks }, signal);
      onProgress(state.offset);
      if (state.version > 0) return { copies: state.copies, wanted: state.copies_wanted };
      if (state.offset < end) return null;
      offset = state.offset;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    hasher.end();
  }
}

/** Hashes chunks of one file in a worker of its own, until `signal` stops it. */
class Hasher {
  constructor(file, signal) {
    this.file = file;
    this.signal = signal;
    this.stop = () => this.finish?.();
    signal.addEventListener("abort", this.stop);
    try {
      policy ??= globalThis.trustedTypes?.createPolicy("hashing", { createScriptURL: () => "/static/hashing.js" });
      this.worker = new Worker(policy?.createScriptURL("") ?? "/static/hashing.js", { type: "module" });
    } catch (error) {
      console.debug(error);
    }
  }

  /** The hashes of the chunks between two places; nothing if it cannot tell. */
  async hash(begin, end) {
    const { file, worker, signal } = this;
    signal.throwIfAborted();
    if (!worker) return null;
    const answer = await new Promise((resolve) => {
      this.finish = resolve;
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = resolve;
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
