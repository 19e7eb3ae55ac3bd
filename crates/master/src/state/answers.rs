//! What was answered, kept for a while: a request that comes again with its id is not done again.
//!
//! Requests and uploads have one row each; the sweep forgets them by age. Refusals are not kept: they changed
//! nothing, so the request is simply tried again.

use planted::{Bug, is_planted};
use proto::ErrorCode;
use redb::ReadableTable;
use uuid::Uuid;

use super::error::{StateError, refuse};
use super::rows::{self, Answer, AnswerRow};
use super::tables::Tables;
use crate::command::ClusterMillis;

/// Whose answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request = 0,
    Upload = 1,
}

impl Tables<'_> {
    /// The answer given before, if there was one.
    pub(super) fn answered(&self, kind: Kind, id: Uuid) -> Result<Option<Answer>, StateError> {
        match self.answers.get((kind as u8, id.as_u128()))? {
            Some(_) if is_planted(Bug::RequestsRepeated) => Ok(None),
            Some(row) => Ok(Some(rows::decode::<AnswerRow>(row.value())?.answer)),
            None => Ok(None),
        }
    }

    /// Keeps an answer, whose age counts from then on.
    pub(super) fn remember(
        &mut self,
        kind: Kind,
        id: Uuid,
        at: ClusterMillis,
        answer: Answer,
    ) -> Result<(), StateError> {
        let (kind, id) = (kind as u8, id.as_u128());
        let row = AnswerRow { at, answer };
        self.answers
            .insert((kind, id), rows::encode(&row).as_slice())?;
        self.answers_by_time.insert((at.0, kind, id), ())?;
        Ok(())
    }

    /// Forgets answers given before then; returns how many.
    pub(super) fn forget_answers(
        &mut self,
        before: ClusterMillis,
        limit: u32,
    ) -> Result<u32, StateError> {
        let mut forgotten = 0;
        while forgotten < limit {
            let Some((at, kind, id)) = self.answers_by_time.first()?.map(|row| row.0.value())
            else {
                break;
            };
            if at >= before.0 {
                break;
            }
            self.answers_by_time.remove((at, kind, id))?;
            self.answers.remove((kind, id))?;
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

/// The refusal of an id that was used for something else.
pub(super) fn used_otherwise<T>(id: Uuid) -> Result<T, StateError> {
    refuse(
        ErrorCode::InvalidArgument,
        format!("the id {id} was used for another request: make a new id for each"),
    )
}
