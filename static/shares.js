// The page of share links: ends them.

import { ask, announce, clearNotice, showNotice, withName } from "./dialogs.js";
import { showTimeWithin } from "./format.js";
import { connectMenus, placeOf } from "./rows.js";
import { revokeShare } from "./sharing.js";
import * as status from "./status.js";
import { PAGE, SHARES } from "./texts.js";

const byId = (id) => document.getElementById(id);

async function revoke(row) {
  const { share, name } = row.dataset;
  const chosen = await ask({
    title: SHARES.revokeTitle,
    text: withName(SHARES.revokeText, name),
    actions: [{ label: PAGE.cancel, value: "cancel" }, { label: SHARES.revokeNow, value: "ok", style: "danger" }],
    submit: () => revokeShare(share).catch((error) => {
      // Somebody was quicker.
      if (error.code !== "not_found") throw error;
    }),
  });
  if (!chosen) return;
  const place = placeOf(row);
  row.remove();
  const rows = document.querySelectorAll("#rows .entry");
  byId("table").hidden = rows.length === 0;
  byId("empty").hidden = rows.length > 0;
  const next = rows[Math.min(place, rows.length - 1)];
  (next?.querySelector("button") ?? byId("title")).focus({ preventScroll: true });
  clearNotice();
  announce(SHARES.revoked);
}

document.querySelectorAll("#rows time").forEach(showTimeWithin);
connectMenus();
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-action=revoke]");
  if (button) revoke(button.closest(".entry")).catch((error) => showNotice(error));
});
status.start({ onReady: () => location.reload(), onGreen: () => {} });
