//! How repair learns what is to be done: chunks that are announced, nodes that came or went, and pages of surveys.

use proto::id::ChunkId;
use proto::master::NodeState;
use tokio::time::Instant;
use tracing::warn;

use super::controller::Controller;
use super::copy::CopyFailure;
use super::plan::Need;
use super::survey::{Found, Page, Survey};
use crate::state::ChunkRow;

const SURVEY_PAGE: usize = 512;

impl Controller {
    pub(super) async fn look_at(&mut self, chunks: Vec<ChunkId>) {
        let ids = chunks.clone();
        let rows = self
            .control
            .read(move |snapshot| snapshot.chunks(&ids))
            .await;
        let view = self.view();
        for (chunk, row) in chunks.into_iter().zip(rows.unwrap_or_default()) {
            let Some(row) = row.filter(|row| row.references > 0) else {
                continue;
            };
            match view.need(&row) {
                Need::Copy(_) => self.queue.push(chunk, view.present(&row.replicas).len()),
                Need::Trim(_) => self.trims.add(chunk),
                Need::Nothing | Need::Wait | Need::Unavailable => {}
            }
        }
        self.surveys.changed = true;
    }

    pub(super) fn nodes_changed(&mut self) {
        for node in std::mem::take(&mut *self.control.repair.returned.lock()) {
            self.loads.forgive(node);
        }
        let view = self.view();
        let lost: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                let is_dead = |node| view.state(node) == NodeState::Dead;
                is_dead(flight.order.target) || is_dead(flight.order.sources[0])
            })
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.land(id, Err(CopyFailure::Obsolete));
        }
        self.surveys.nodes_changed(&view, Instant::now());
    }

    pub(super) async fn read_survey_page(&mut self) {
        let Some(page) = self.surveys.current.as_ref().and_then(Survey::page) else {
            return;
        };
        let read = self.control.read(move |snapshot| {
            Ok(match page {
                Page::Needs(after) => {
                    let rows = snapshot.needs_copies_page(after.as_ref(), SURVEY_PAGE)?;
                    let last = rows.last().filter(|_| rows.len() == SURVEY_PAGE);
                    (last.map(|row| row.0), rows)
                }
                Page::Dead(node, after) => {
                    let ids = snapshot.node_chunks_page(node, after.as_ref(), SURVEY_PAGE)?;
                    let last = ids.last().copied().filter(|_| ids.len() == SURVEY_PAGE);
                    let rows = ids.iter().copied().zip(snapshot.chunks(&ids)?);
                    (
                        last,
                        rows.filter_map(|(id, row)| Some((id, row?))).collect(),
                    )
                }
            })
        });
        match read.await {
            Ok((last, rows)) => self.take_survey_page(&rows, last),
            Err(error) => {
                warn!(%error, "a survey of the chunks was cut off; it begins again");
                self.surveys.cut_off(Instant::now());
            }
        }
    }

    fn take_survey_page(&mut self, rows: &[(ChunkId, ChunkRow)], last: Option<ChunkId>) {
        let view = self.view();
        let Some(survey) = &mut self.surveys.current else {
            return;
        };
        let Found { copy, trim } = survey.take(&view, rows, last);
        for (chunk, copies) in copy {
            self.queue.push(chunk, copies);
        }
        for chunk in trim {
            self.trims.add(chunk);
        }
        if let Some(tally) = self.surveys.take_whole(Instant::now()) {
            self.control.repair.report.lock().tally = Some(tally);
        }
    }
}
