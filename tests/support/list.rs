//! The list of files in the page: what a person does in it with mouse and keyboard, what it shows then, and what it asks the server.

use super::Page;

/// Keys, as `WebDriver` names them: <https://www.w3.org/TR/webdriver2/#keyboard-actions>.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const SHIFT: char = '\u{e008}';
pub(crate) const CONTROL: char = '\u{e009}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const END: char = '\u{e010}';
pub(crate) const RIGHT: char = '\u{e014}';
pub(crate) const DOWN: char = '\u{e015}';
pub(crate) const DELETE: char = '\u{e017}';
pub(crate) const F2: char = '\u{e032}';
pub(crate) const F10: char = '\u{e03a}';

/// The names of all rows, the one that has the focus, what is selected, and what went wrong.
pub(crate) const NAMES: &str =
    "Array.from(document.querySelectorAll('#rows .entry'), row => row.dataset.name)";
pub(crate) const FOCUSED: &str = "document.activeElement.closest('.entry')?.dataset.name";
pub(crate) const SELECTED: &str = "document.getElementById('selection-text').textContent";
pub(crate) const NOTICE: &str = "document.getElementById('notice-text').textContent";

/// The script has made the list its own, and all of it is here.
pub(crate) const READY: &str =
    "Number(document.getElementById('table').getAttribute('aria-rowcount')) > 0";

/// Opens a list at its address, and waits until the script has made it its own.
pub(crate) async fn open_list(page: &Page, url: &str) {
    page.open(url).await;
    page.until(READY).await;
}

/// The list shows just these, in this order.
pub(crate) async fn until_listed(page: &Page, names: &[&str]) {
    let wanted = serde_json::to_string(names).unwrap();
    page.until(&format!(
        "JSON.stringify({NAMES}) === JSON.stringify({wanted})"
    ))
    .await;
}

/// A text is this one, whatever its spaces are.
pub(crate) async fn until_equal(page: &Page, expression: &str, expected: &str) {
    page.until(&format!(
        "({expression})?.replaceAll('\\u00a0', ' ') === {expected:?}"
    ))
    .await;
}

/// Gives the focus to the row of this name.
pub(crate) async fn focus(page: &Page, name: &str) {
    page.script(&format!(
        "document.querySelector(\".entry[data-name='{name}'] .open\").focus()"
    ))
    .await;
}

/// Gives the entry of this name another one, where it stands.
pub(crate) async fn rename(page: &Page, name: &str, new: &str) {
    focus(page, name).await;
    page.press(F2).await;
    page.until(&format!("document.activeElement.value === '{name}'"))
        .await;
    page.press(format!("{new}{ENTER}")).await;
}

/// Chooses from the menu of the row of this name.
pub(crate) async fn choose(page: &Page, name: &str, action: &str) {
    choose_in(page, &format!(".entry[data-name='{name}']"), action).await;
}

/// Chooses from the menu of the row that a selector finds.
pub(crate) async fn choose_in(page: &Page, row: &str, action: &str) {
    page.click(&format!("{row} .menu summary")).await;
    page.click(&format!("{row} .menu [data-action={action}]"))
        .await;
}

/// Something happens to the row of this name, as the browser would tell it.
pub(crate) async fn happens(page: &Page, name: &str, event: &str) {
    page.script(&format!(
        "document.querySelector(\".entry[data-name='{name}'] .size\").dispatchEvent({event})"
    ))
    .await;
}

pub(crate) async fn click_with(page: &Page, name: &str, modifier: &str) {
    let event = format!("new MouseEvent('click', {{ bubbles: true, {modifier} }})");
    happens(page, name, &event).await;
}

/// A click with the other button, which opens a menu under the pointer.
pub(crate) async fn click_with_other_button(page: &Page, name: &str) {
    let event = "new PointerEvent('contextmenu', { bubbles: true, cancelable: true, button: 2, clientX: 300, clientY: 300 })";
    happens(page, name, event).await;
}

/// From now on requests for which this expression of `address` and `method` is true wait in `window.held` while `window.isHolding`, and
/// go on when they are called.
pub(crate) async fn hold(page: &Page, is_meant: &str) {
    page.script(&format!(
        "const fetchNow = window.fetch;
         Object.assign(window, {{ held: [], isHolding: true }});
         window.fetch = async (address, options) => {{
           const method = options?.method ?? 'GET';
           if (window.isHolding && ({is_meant})) await new Promise((go) => window.held.push(go));
           return fetchNow(address, options);
         }};"
    ))
    .await;
}

/// Those that were held go on, and the next are held.
pub(crate) const LET_GO: &str = "window.held.splice(0).forEach((go) => go())";
/// Those that were held go on, and no other is held.
pub(crate) const LET_ALL_GO: &str = "window.isHolding = false; window.held.forEach((go) => go())";
