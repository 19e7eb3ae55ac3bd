// What the page says of the trash and of versions. `{name}` stands for a name, `{…}` for what else is filled in.

export const TRASH = {
  title: "Trash",
  deleted: "{name} is in the trash.",
  deletedSpoken: "{name} is in the trash. Control Z brings it back.",
  undo: "Undo",
  restored: "{name} is back.",
  restoredSpoken: "{name} is back, as {path}.",
  show: "Show it",
  gone: "{name} is gone for good.",
  emptied: "The trash is empty.",
  refreshed: "The list is up to date.",
  where: "Where to?",
  whereTaken: "{name} cannot go back to where it was: {reason}",
  whereFreely: "Folders that are missing on the way are made.",
  whereLabel: "Where, with the name",
  removeTitle: "Delete {name} for good?",
  removeFile: "Nobody can bring the file back then, nor what it was before.",
  removeFolder: "Nobody can bring the folder back then, nor anything that is in it.",
  emptyTitle: "Empty the trash?",
  emptyText: "All that lies in it is gone for good then, also what other people deleted.",
  wasIn: "was in ",
  root: "All files",
  folder: "Folder ",
  more: "More for {name}",
  restore: "Restore",
  restoreOne: "Restore {name}",
  restoreElsewhere: "Restore elsewhere…",
  remove: "Delete for good…",
  removeNow: "Delete for good",
  emptyNow: "Empty the trash",
  cancel: "Cancel",
  nothing: ["The trash is empty", "Files and folders that you delete come here."],
  nothingOlder: ["That was all", "There is nothing older in the trash."],
  here: "Here: {files} and {folders}, {size}.",
  former: "Former versions of files take {size} besides; they are kept for {span}.",
  files: ["{count} file", "{count} files"],
  folders: ["{count} folder", "{count} folders"],
};

export const VERSIONS = {
  title: "Versions of {name}",
  about: "Whatever replaces the content of a file leaves the former one here for a while.",
  loading: "Asking for them…",
  only: "There are no former versions.",
  current: "Current",
  left: "goes in about {span}",
  open: "Version stored {time}, opens in a new tab",
  download: "Download",
  downloadOne: "Download the version stored {time}",
  restore: "Restore",
  restoreOne: "Restore the version stored {time}",
  remove: "Delete",
  removeOne: "Delete the version stored {time} for good",
  removeTitle: "Delete this version for good?",
  removeText: "The version stored {time}, {size}. Nobody can bring it back then.",
  removed: "The version is gone for good.",
  restored: "The version stored {time} is the current one now. What it was until now is kept, too.",
  more: "Show older ones",
  close: "Close",
};

/** The text with what its `{…}` stand for. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

/** `1 file` or `2 files`. */
export function count(number, [one, many]) {
  return fill(number === 1 ? one : many, { count: number.toLocaleString("en") });
}
