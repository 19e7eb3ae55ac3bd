//! When everything is surveyed: at the start, when nodes change, soon after copies did, and now and then.
//!
//! A plain value. However long a survey takes, at most a twentieth of the time goes into surveys, except that a
//! node's death or return begins one at once. A survey goes on to its end also when there is no room for what it finds, since
//! what is most urgent may come last; what had no room is read again, from the first page with such on, when there is.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::View;
use super::survey::{Page, Survey};

const PAUSE_CHANGED: Duration = Duration::from_millis(500);
const PAUSE_QUIET: Duration = Duration::from_secs(60);
/// After a survey that could not be read to its end.
const PAUSE_CUT_OFF: Duration = Duration::from_secs(5);

/// The survey that runs, and when the next one does.
#[derive(Debug, Default)]
pub(super) struct SurveySchedule {
    /// The one that runs.
    pub(super) current: Option<Survey>,
    /// The last one, from the first page on that found more than there was room for.
    rest: Option<Survey>,
    /// Another one is wanted at once.
    pub(super) again: bool,
    /// Something is other than the last survey found it.
    pub(super) changed: bool,
    /// When the last one ended, and how long to wait after it at least.
    last: Option<(Instant, Duration)>,
    turn: bool,
}

impl SurveySchedule {
    /// When the next one is to begin, `now` at the earliest; nothing while one runs. `wanted` says that there is a reason for it.
    pub(super) fn due(&self, wanted: bool, now: Instant) -> Option<Instant> {
        if self.current.is_some() {
            return None;
        }
        let Some((ended, pause)) = self.last.filter(|_| !self.again) else {
            return Some(now);
        };
        let usual = if wanted || self.changed {
            PAUSE_CHANGED
        } else {
            PAUSE_QUIET
        };
        Some(now.max(ended + usual.max(pause)))
    }

    pub(super) fn begin(&mut self, view: &View, now: Instant) {
        self.current = Some(Survey::new(view, now));
        self.rest = None;
        self.again = false;
        self.changed = false;
    }

    /// Begins one; if one runs, nodes that died since are looked at next, and another one follows.
    pub(super) fn nodes_changed(&mut self, view: &View, now: Instant) {
        match &mut self.current {
            Some(survey) => {
                survey.add_dead(view);
                self.again = true;
            }
            None => self.begin(view, now),
        }
    }

    /// The page to read next, if any: `has_room` says that there is room for what it finds.
    pub(super) fn page(&self, has_room: bool) -> Option<Page> {
        match &self.current {
            Some(survey) => survey.page(),
            None => self.rest.as_ref().filter(|_| has_room)?.page(),
        }
    }

    /// The survey whose page that is.
    pub(super) fn reading(&mut self) -> Option<&mut Survey> {
        self.current.as_mut().or(self.rest.as_mut())
    }

    /// A page was taken in; `before` is the survey as it was before, to which it goes back if not all of the page fitted.
    pub(super) fn note_page(&mut self, before: Survey, all_fit: bool) {
        let is_rest = self.current.is_none();
        if !all_fit && (is_rest || self.rest.is_none()) {
            self.rest = Some(before);
        }
        if is_rest && self.page(true).is_none() {
            self.rest = None;
        }
    }

    /// The survey, once it has come to its end.
    pub(super) fn take_whole(&mut self, now: Instant) -> Option<Survey> {
        let survey = self.current.take_if(|survey| survey.page().is_none())?;
        self.last = Some((now, (now - survey.began) * 20));
        Some(survey)
    }

    /// It could not be read.
    pub(super) fn cut_off(&mut self, now: Instant) {
        self.current = None;
        self.rest = None;
        self.again = false;
        self.changed = true;
        self.last = Some((now, PAUSE_CUT_OFF));
    }

    /// Every other time, so that neither events nor the survey are left waiting by the other.
    pub(super) fn take_turn(&mut self) -> bool {
        self.turn = !self.turn;
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Candidates;
    use crate::repair::survey::Tally;
    use proto::id::ChunkId;
    use std::collections::BTreeMap;

    fn empty_view() -> View {
        View {
            replication_factor: 3,
            candidates: Candidates::default(),
            nodes: BTreeMap::new(),
        }
    }

    fn run(surveys: &mut SurveySchedule, began: Instant, took: Duration) {
        surveys.begin(&empty_view(), began);
        assert_eq!(surveys.due(true, began), None, "one runs");
        let survey = surveys.current.as_mut().unwrap();
        survey.take(&empty_view(), &[], None);
        let whole = surveys.take_whole(began + took).unwrap();
        assert_eq!(whole.tally(), Tally::default());
    }

    /// What was due at once was due at a moment after the one with which whoever asked compared it: so it never was, after nodes had come
    /// back at the same time, and the status stayed as the last survey had found it.
    #[test]
    fn the_first_is_due_at_once_and_the_next_when_something_changed() {
        let began = Instant::now();
        let mut surveys = SurveySchedule::default();
        assert_eq!(surveys.due(false, began), Some(began));
        let took = Duration::from_millis(1);
        run(&mut surveys, began, took);
        let ended = began + took;
        assert_eq!(surveys.due(false, ended), Some(ended + PAUSE_QUIET));
        surveys.changed = true;
        assert_eq!(surveys.due(false, ended), Some(ended + PAUSE_CHANGED));
        let later = ended + PAUSE_QUIET;
        assert_eq!(surveys.due(false, later), Some(later));
        surveys.again = true;
        assert_eq!(surveys.due(false, ended), Some(ended));
    }

    #[test]
    fn surveys_take_a_small_share_of_the_time() {
        let began = Instant::now();
        let mut surveys = SurveySchedule::default();
        run(&mut surveys, began, Duration::from_secs(10));
        let due = Some(began + Duration::from_secs(210));
        assert_eq!(surveys.due(true, began), due);
    }

    #[test]
    fn a_change_of_nodes_begins_one_or_adds_one() {
        let now = Instant::now();
        let mut surveys = SurveySchedule::default();
        surveys.nodes_changed(&empty_view(), now);
        assert!(surveys.current.is_some() && !surveys.again);
        surveys.nodes_changed(&empty_view(), now);
        assert!(surveys.again);
    }
    /// More was to be repaired than there was room for: the rest was found again by a whole survey each time, of which the
    /// next one had to begin at once so that there was something to do.
    #[test]
    fn what_had_no_room_is_read_again_from_its_page_on() {
        let now = Instant::now();
        let view = empty_view();
        let page = |number: u8| ChunkId::from_bytes([number; 32]);
        let mut surveys = SurveySchedule::default();
        let take = |surveys: &mut SurveySchedule, last: Option<u8>, all_fit: bool| {
            let survey = surveys.reading().unwrap();
            let before = survey.clone();
            survey.take(&view, &[], last.map(page));
            surveys.note_page(before, all_fit);
        };
        surveys.begin(&view, now);
        for (last, all_fit) in [
            (Some(1), true),
            (Some(2), false),
            (Some(3), false),
            (None, true),
        ] {
            take(&mut surveys, last, all_fit);
        }
        assert!(surveys.take_whole(now).is_some());
        assert_eq!(surveys.page(false), None, "it waits for room");
        let first = Some(Page::Needs(Some(page(1))));
        assert_eq!(surveys.page(true), first);
        take(&mut surveys, Some(2), true);
        take(&mut surveys, Some(3), false);
        assert_eq!(surveys.page(true), Some(Page::Needs(Some(page(2)))));
        assert!(
            surveys.due(true, now).unwrap() > now,
            "no survey is begun for it"
        );
        take(&mut surveys, None, true);
        assert_eq!(surveys.page(true), None);
        assert!(surveys.reading().is_none());
    }
}
