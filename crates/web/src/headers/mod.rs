//! What HTTP's headers mean, as pure functions: values in, a decision out, no clock and no cluster.

pub(crate) mod conditional;
pub(crate) mod content_type;
pub(crate) mod disposition;
pub(crate) mod range;
pub(crate) mod tus;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Kind, Problem};

/// The value of a header that makes sense once only; a caller who sends two of them does not get one of both.
pub(crate) fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        let detail = format!("{name} is there more than once");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    Ok(value)
}
