// The part of the HTTP API that is about the past: the trash, and versions of files.

import { call, encodePath, fileAddress, viewAddress } from "./api.js";

const versionsAddress = (path) => `/api/v1/versions${encodePath(path)}`;

function page(before, limit) {
  const query = new URLSearchParams({ limit });
  if (before) query.set("before", before);
  return query;
}

export const listTrash = (before, limit) => call("GET", `/api/v1/trash?${page(before, limit)}`);
/** Puts something back: to where it was, or to a path as text. */
export const restore = (trash, to) => call("POST", `/api/v1/trash/${trash}/restore`, to === undefined ? {} : { to });
export const remove = (trash) => call("DELETE", `/api/v1/trash/${trash}`);
export const empty = () => call("DELETE", "/api/v1/trash");

export const listVersions = (path, before, limit) => call("GET", `${versionsAddress(path)}?${page(before, limit)}`);
export const restoreVersion = (path, version) => call("POST", versionsAddress(path), { version });
export const removeVersion = (path, version) => call("DELETE", `${versionsAddress(path)}?version=${version}`);
/** Where a version can be looked at. */
export const versionView = (path, version) => `${viewAddress(path)}?version=${version}`;
/** Where its content is. */
export const versionAddress = (path, version) => `${fileAddress(path)}?version=${version}`;
