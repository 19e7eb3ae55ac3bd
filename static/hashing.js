// A worker that hashes the chunks of files, one after another, so that the page does not stutter meanwhile. Of a file no more is in memory
// than the chunk that is hashed and the next one, which is read at the same time.

import { sha256 } from "./vendor/sha256.min.js";

// Browsers have it only for pages that come by HTTPS or from this very machine.
const digest = globalThis.crypto.subtle
  ? async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  : async (bytes) => sha256(new Uint8Array(bytes));

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The SHA-256 of each chunk between two places of a file. */
async function hashes(file, begin, end, chunkSize) {
  const found = [];
  const read = (at) => {
    const reading = at < end ? file.slice(at, Math.min(end, at + chunkSize)).arrayBuffer() : null;
    // Whoever waits for it hears of it.
    reading?.catch(() => {});
    return reading;
  };
  let next = read(begin);
  for (let at = begin; at < end; at += chunkSize) {
    const bytes = await next;
    next = read(at + chunkSize);
    found.push(hex(await digest(bytes)));
    // Whoever waits sees that it moves.
    postMessage({ done: found.length });
  }
  return found;
}

addEventListener("message", async ({ data: { file, begin, end, chunkSize } }) => {
  try {
    postMessage({ hashes: await hashes(file, begin, end, chunkSize) });
  } catch (error) {
    postMessage({ reason: String(error) });
  }
});
