//! The heads of a list's columns: links to the same folder in another order, which the page's address says as `sort`: `name`,
//! `size` or `time`, with `-` before it for the other way round. sorting.js draws the same.

use proto::master::{BrowseOrder, SortedBy};

use crate::texts::Texts;

/// What the address calls a column, what is compared then, and the key of its title.
const COLUMNS: [(&str, SortedBy, &str); 3] = [
    ("name", SortedBy::Name, "files.columnName"),
    ("size", SortedBy::Size, "files.columnSize"),
    ("time", SortedBy::Modified, "files.columnTime"),
];

/// One column.
pub(super) struct Head {
    pub(super) column: &'static str,
    pub(super) title: &'static str,
    /// Present where the list is in its order: which way round.
    pub(super) direction: Option<&'static str>,
    /// Of the list in its order, or the other way round; not of what a search finds.
    pub(super) address: Option<String>,
}

/// The order that an address says; by name if it says nothing that is one.
pub(super) fn order_of(sort: Option<&str>) -> BrowseOrder {
    let by = |column: &str| {
        let found = COLUMNS.iter().find(|(name, ..)| *name == column);
        found.map(|(_, by, _)| *by)
    };
    let order = sort.and_then(|sort| BrowseOrder::read(sort, by));
    order.unwrap_or_default()
}

/// An address with what it says of a place and of an order.
pub(super) fn with_order(address: &str, after: Option<&str>, order: BrowseOrder) -> String {
    let mut fields = Vec::new();
    if let Some(after) = after {
        fields.push(format!("after={after}"));
    }
    if !order.is_default() {
        let column = COLUMNS.iter().find(|(_, by, _)| *by == order.by);
        let (name, ..) = column.expect("all are in the table");
        fields.push(format!("sort={}", order.write(name)));
    }
    if fields.is_empty() {
        return address.to_owned();
    }
    format!("{address}?{}", fields.join("&"))
}

/// Heads of a list that has no other order.
pub(super) fn plain(texts: &'static Texts) -> Vec<Head> {
    let heads = COLUMNS.iter().map(|(column, _, title)| Head {
        column,
        title: texts.say(title),
        direction: None,
        address: None,
    });
    heads.collect()
}

/// Heads of the folder at this address. A link leads to the order from the largest on, for names from the first; once more, to
/// the other way round.
pub(super) fn of_folder(texts: &'static Texts, address: &str, order: BrowseOrder) -> Vec<Head> {
    let heads = COLUMNS.iter().map(|(column, by, title)| {
        let is_sorted = order.by == *by;
        let first = BrowseOrder {
            by: *by,
            is_descending: *by != SortedBy::Name,
        };
        let other = BrowseOrder {
            is_descending: !first.is_descending,
            ..first
        };
        let next = if order == first { other } else { first };
        let direction = if order.is_descending {
            "descending"
        } else {
            "ascending"
        };
        Head {
            column,
            title: texts.say(title),
            direction: is_sorted.then_some(direction),
            address: Some(with_order(address, None, next)),
        }
    });
    heads.collect()
}
