// What the server says in English, for pages in other languages: found by its code, since codes keep their meaning. What has no text
// of its own is shown as it is, and marked as English. said.rs does the same for what the server draws.

import { element } from "./rows.js";
import { IS_SERVERS, PAGE, PROBLEMS, REASONS, UNITS, count, fill } from "./texts.js";

/** What an answer of the API says of a problem: its `text`, its `lang` where that is not the page's, and what of it is `english` then. */
export function saidOf(problem, status) {
  const english = sentence(problem.detail || problem.title || fill(PAGE.answered, { status }));
  if (IS_SERVERS || !(problem.detail || problem.title)) return own(english);
  if (problem.reasons?.length > 0) {
    const said = problem.reasons.map((reason) => reasonOf(reason, null));
    // All of it in one language, which it is marked with.
    if (said.every(({ lang }) => !lang)) return own(said.map(({ text }) => text).join(" "));
    return foreign(problem.reasons.map(({ message }) => message).join(" "));
  }
  // Numbers and names of just this one are in the English sentence alone.
  const text = PROBLEMS[problem.code];
  if (!text) return foreign(english);
  const detail = problem.detail || english;
  return { ...own(fill(text, { detail })), english: text.includes("{detail}") ? [detail] : [] };
}

/** Why the cluster is not as it should be, likewise; `status` is what the API says of it, if it does. */
export function reasonOf({ code, message }, status) {
  if (IS_SERVERS) return own(message);
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

/** Nodes of a text in which these sentences, in their order, are the server's: each is marked as English. */
export function inLanguages(text, english = []) {
  const nodes = [];
  let left = text;
  for (const said of english) {
    const at = left.indexOf(said);
    if (at < 0) continue;
    nodes.push(left.slice(0, at), element("span", { lang: "en" }, said));
    left = left.slice(at + said.length);
  }
  return [...nodes, left];
}

const own = (text) => ({ text, lang: "", english: [] });
const foreign = (text) => ({ text, lang: "en", english: [text] });
const known = (text, english) => (text ? own(text) : foreign(english));

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
