// Copies of files within the cluster.

import * as api from "./api.js";
import { announce, ask, withName } from "./dialogs.js";
import { currentPath, refresh } from "./listing.js";

/** Asks where to, and copies a file. */
export function copy(path) {
  const folder = path.slice(0, -1);
  const name = path.at(-1);
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const suggested = api.pathText([...folder, `${stem} (copy)${extension}`]);
  return ask({
    title: "Copy",
    text: withName("{name} gets a copy, which takes no more space.", name),
    input: {
      label: "New name, or a folder to copy it into",
      value: suggested,
      selectFrom: suggested.lastIndexOf("/") + 1,
      selectTo: suggested.length - extension.length,
    },
    actions: [{ label: "Cancel", value: "cancel" }, { label: "Copy", value: "ok", style: "primary" }],
    submit: async ({ text }) => {
      const to = await copyTo(path, target(text, folder, name));
      const isShown = to.slice(0, -1).join("/") === currentPath().join("/");
      await refresh({ fresh: isShown ? [to.at(-1)] : [] });
      announce(`Copied to ${api.pathText(to)}.`);
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
