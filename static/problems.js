// What the server says in English, for pages in other languages: found by its code, since codes keep their meaning. What has no text
// of its own is shown as it is, and marked as English. said.rs does the same for what the server draws.

import { IS_SERVERS, PAGE, PROBLEMS, REASONS, UNITS, count, fill } from "./texts.js";

/** What an answer of the API says of a problem: its `text`, and its `lang` where that is not the page's. */
export function saidOf(problem, status) {
  const english = sentence(problem.detail || problem.title || fill(PAGE.answered, { status }));
  if (IS_SERVERS || !(problem.detail || problem.title)) return { text: english, lang: "" };
  if (problem.reasons?.length > 0) {
    const said = problem.reasons.map((reason) => reasonOf(reason, null));
    // All of it in one language, which it is marked with.
    if (said.every(({ lang }) => !lang)) return { text: said.map(({ text }) => text).join(" "), lang: "" };
    return { text: problem.reasons.map(({ message }) => message).join(" "), lang: "en" };
  }
  // Numbers and names of just this one are in the English sentence alone.
  const text = PROBLEMS[problem.code];
  return known(text && fill(text, { detail: problem.detail ?? english }), english);
}

/** Why the cluster is not as it should be, likewise; `status` is what the API says of it, if it does. */
export function reasonOf({ code, message }, status) {
  if (IS_SERVERS) return { text: message, lang: "" };
  const text = REASONS[code];
  // Without a status its numbers are not known.
  if (!text?.includes("{")) return known(text, message);
  return known(status && fill(text, valuesOf(status)), message);
}

/** Says of an element in which language it is, where that is not the page's. */
export function markLanguage(element, lang) {
  if (lang) element.lang = lang;
  else element.removeAttribute("lang");
}

const known = (text, english) => (text ? { text, lang: "" } : { text: english, lang: "en" });

/** The API's details are for logs and command lines, too, which put no full stop. */
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What may stand in a sentence about the cluster. */
function valuesOf({ nodes, chunks, rules }) {
  return {
    total: nodes.total,
    writable: nodes.writable,
    silent: Math.max(0, nodes.total - nodes.live),
    needed: rules.min_write_replicas,
    wanted: rules.replication_factor,
    lost: count(chunks.unavailable, UNITS.chunks),
    missing: count(Math.max(0, chunks.missing_copies - chunks.unavailable), UNITS.chunks),
  };
}
