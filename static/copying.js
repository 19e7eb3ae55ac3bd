// Copies of files within the cluster.

import * as api from "./api.js";
import { announce, ask, withName } from "./dialogs.js";
import { currentPath, refresh } from "./listing.js";
import { FILES, PAGE, fill } from "./texts.js";

/** Asks where to, and copies a file. */
export function copy(path) {
  const folder = path.slice(0, -1);
  const name = path.at(-1);
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const suggested = api.pathText([...folder, `${fill(FILES.copyName, { name: stem })}${extension}`]);
  return ask({
    title: FILES.copyTitle,
    text: withName(FILES.copyText, name),
    input: {
      label: FILES.copyLabel,
      value: suggested,
      selectFrom: suggested.lastIndexOf("/") + 1,
      selectTo: suggested.length - extension.length,
    },
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: FILES.copyNow, value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      const to = await copyTo(path, target(text, folder, name));
      const isShown = to.slice(0, -1).join("/") === currentPath().join("/");
      await refresh({ fresh: isShown ? [to.at(-1)] : [] });
      announce(fill(FILES.copied, { path: api.pathText(to) }));
    },
  });
}

/** What was written: from the root down, or in the same folder; into a folder, if it ends with `/`. */
function target(text, folder, name) {
  const names = text.startsWith("/") ? api.pathNames(text) : [...folder, ...api.pathNames(text)];
  return text.endsWith("/") ? [...names, name] : names;
}

/** Where it went: a folder of that name takes the copy in. */
async function copyTo(path, to) {
  try {
    await api.copy(path, to);
    return to;
  } catch (error) {
    if (error.code !== "is_a_folder") throw error;
    const inside = [...to, path.at(-1)];
    await api.copy(path, inside);
    return inside;
  }
}
