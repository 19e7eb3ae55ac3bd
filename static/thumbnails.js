// Small pictures of images in lists, which the server makes; where there is none, the icon.

import { fileAddress } from "./api.js";
import { element, icon } from "./rows.js";

/** Names of what small pictures are made of, as in preview.rs. */
const PICTURE = /\.(jpg|jpeg|png|gif|webp|bmp)$/i;

export const hasThumbnail = (entry) => entry.kind === "file" && PICTURE.test(entry.name);

/** Of one version, so that a browser need not ask again. */
export const thumbnailAddress = (path, version) =>
  `${fileAddress(path).replace("/api/v1/files/", "/api/v1/thumbnails/")}?version=${version}`;

/** What stands before a name: the small picture of a file, or the icon of what it is. */
export function pictureOrIcon(path, entry) {
  if (!hasThumbnail(entry)) return icon(entry.kind);
  return element("img", { className: "icon picture", loading: "lazy", decoding: "async", alt: "", src: thumbnailAddress(path, entry.version) });
}

/** Puts the icon in the place of pictures that cannot be had, wherever they are. */
export function start() {
  const mend = (image) => image.replaceWith(icon("file"));
  document.addEventListener("error", ({ target }) => {
    if (target.matches?.("img.picture")) mend(target);
  }, true);
  document.querySelectorAll("img.picture").forEach((image) => {
    if (image.complete && image.naturalWidth === 0 && image.currentSrc) mend(image);
  });
}
