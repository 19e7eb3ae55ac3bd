// What the page says, in its language: texts/*.json, which the server reads as well. `{name}` stands for a name, `{…}` for what else
// is filled in; of what is counted there is a form for each plural category of the language.

/** The page's language, and the same as this person's browser has it: `en` may be `en-GB`. */
const LANGUAGE = document.documentElement.lang;
export const LOCALE = navigator.languages.find((tag) => tag.split("-")[0] === LANGUAGE) ?? LANGUAGE;

const PLURALS = new Intl.PluralRules(LANGUAGE);
const NUMBER = new Intl.NumberFormat(LANGUAGE);
const TENTHS = new Intl.NumberFormat(LANGUAGE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

// The page has asked for it already (drive.html).
const address = new URL(`texts/${LANGUAGE}.json`, import.meta.url);
// Without them no script of the page runs: once more, where the network was gone for a moment.
const texts = await read().catch(() => read({ cache: "reload" }));

async function read(options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

export const {
  cluster: CLUSTER,
  cutOff: CUT_OFF,
  files: FILES,
  page: PAGE,
  problems: PROBLEMS,
  reasons: REASONS,
  receiver: RECEIVER,
  search: SEARCH,
  shares: SHARES,
  spans: SPANS,
  status: STATUS,
  times: TIMES,
  trash: TRASH,
  units: UNITS,
  uploads: UPLOADS,
  versions: VERSIONS,
  viewer: VIEWER,
} = texts;

/** Whether it is the language in which the server itself speaks. */
export const IS_SERVERS = LANGUAGE === "en";

export const formatNumber = (number) => NUMBER.format(number);
/** With one digit behind the point. */
export const formatTenths = (number) => TENTHS.format(number);

/** The text with what its `{…}` stand for. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, key) => {
    const value = values[key] ?? whole;
    return typeof value === "number" ? formatNumber(value) : value;
  });
}

/** `1 file` or `2 files`: the form for this number, which stands for `{count}`. */
export function count(number, forms, values = {}) {
  return fill(forms[PLURALS.select(number)] ?? forms.other, { ...values, count: number });
}
