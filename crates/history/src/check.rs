//! Whether one cluster that does one thing after another could have told clients what they were told.
//!
//! The search is the one of Wing and Gong with Lowe's memory: take any operation that was called before the first answer that is
//! still to be explained, apply it to the state, and go on; where that leads nowhere, take another one. An operation
//! whose outcome is not known may have its effect at any time after its call, or never.

use std::collections::HashSet;

use crate::model::{Asked, Model, apply};
use crate::record::{Answer, Operation};

/// Bytes of the states that were looked at, before the search is given up: several searches go on at once.
const SEEN_LEN_MAX: usize = 256 << 20;

/// What the search found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains all answers.
    Explained,
    /// There is none.
    Impossible,
    /// It took too long to tell.
    GivenUp,
}

/// Whether there is an order that explains all answers of a group that was empty at first.
pub fn check(operations: &[Operation]) -> Verdict {
    check_within(operations, SEEN_LEN_MAX)
}

fn check_within(operations: &[Operation], seen_len_max: usize) -> Verdict {
    let tells = |operation: &&Operation| match operation.answer {
        Answer::Failed => false,
        Answer::Unknown => operation.action.is_change(),
        _ => true,
    };
    let mut operations: Vec<_> = operations.iter().filter(tells).copied().collect();
    // Those whose answers are known first, by their answers: that order is nearly always the right one.
    operations.sort_by_key(|operation| (operation.answered, operation.called));
    let mut search = Search {
        done: Bits::new(operations.len()),
        asked: Asked::of(&operations),
        operations,
        seen: HashSet::new(),
        seen_len: 0,
        seen_len_max,
    };
    search.explain()
}

/// Which operations are done, a bit each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

struct Search {
    operations: Vec<Operation>,
    asked: Asked,
    done: Bits,
    seen: HashSet<(Bits, Model)>,
    seen_len: usize,
    seen_len_max: usize,
}

/// A step of the search: what there is before, and the next operation to try.
struct Step {
    model: Model,
    next: usize,
    taken: Option<usize>,
}

impl Search {
    fn explain(&mut self) -> Verdict {
        let mut steps = vec![Step {
            model: Model::default(),
            next: 0,
            taken: None,
        }];
        while let Some(step) = steps.last_mut() {
            let Some(first) = self.first_to_explain() else {
                return Verdict::Explained;
            };
            if self.seen_len > self.seen_len_max {
                return Verdict::GivenUp;
            }
            let may_be_next =
                |at: &usize| !self.done.has(*at) && self.operations[*at].called < first;
            let Some(at) = (step.next..self.operations.len()).find(may_be_next) else {
                let taken = step.taken;
                steps.pop();
                if let Some(taken) = taken {
                    self.done.flip(taken);
                }
                continue;
            };
            step.next = at + 1;
            let Some(model) = apply(step.model.clone(), &self.operations[at], &self.asked) else {
                continue;
            };
            self.done.flip(at);
            if self.seen.insert((self.done.clone(), model.clone())) {
                self.seen_len += model.len() + size_of_val(&self.done) + size_of_val(&*self.done.0);
                steps.push(Step {
                    model,
                    next: 0,
                    taken: Some(at),
                });
            } else {
                self.done.flip(at);
            }
        }
        Verdict::Impossible
    }

    /// The first answer that is still to be explained.
    fn first_to_explain(&self) -> Option<u64> {
        let mut operations = self.operations.iter().enumerate();
        operations
            .find(|(at, operation)| !self.done.has(*at) && operation.answered < u64::MAX)
            .map(|(_, operation)| operation.answered)
    }
}

#[cfg(test)]
mod tests {
    use proto::id::VersionId;
    use proto::master::TrashId;

    use super::*;
    use crate::content::Value;
    use crate::record::{Action, NAMES};

    const A: Value = Value(1);
    const B: Value = Value(2);

    fn write(name: usize, value: Value) -> Action {
        Action::Upload { name, value }
    }

    fn read(name: usize) -> Action {
        Action::Read { name }
    }

    /// Each as (action, answer, called, answered).
    fn numbered(operations: &[(Action, Answer, u64, u64)]) -> Vec<Operation> {
        let operations = operations.iter().enumerate();
        let operations =
            operations.map(|(number, &(action, answer, called, answered))| Operation {
                number,
                group: 0,
                action,
                called,
                answered,
                answer,
            });
        operations.collect()
    }

    fn judge(operations: &[(Action, Answer, u64, u64)]) -> Verdict {
        check(&numbered(operations))
    }

    #[test]
    fn what_was_acknowledged_is_read() {
        let good = [
            (write(0, A), Answer::Done, 1, 2),
            (read(0), Answer::Content(A), 3, 4),
        ];
        assert_eq!(judge(&good), Verdict::Explained);
        let lost = [
            (write(0, A), Answer::Done, 1, 2),
            (read(0), Answer::NotFound, 3, 4),
        ];
        assert_eq!(judge(&lost), Verdict::Impossible);
        let stale = [
            (write(0, A), Answer::Done, 1, 2),
            (write(0, B), Answer::Done, 3, 4),
            (read(0), Answer::Content(A), 5, 6),
        ];
        assert_eq!(judge(&stale), Verdict::Impossible);
    }

    #[test]
    fn what_overlaps_may_come_in_either_order_but_only_in_one() {
        let both = |first, second| {
            judge(&[
                (write(0, A), Answer::Done, 1, 5),
                (write(0, B), Answer::Done, 2, 6),
                (read(0), Answer::Content(first), 7, 8),
                (read(0), Answer::Content(second), 9, 10),
            ])
        };
        assert_eq!(both(A, A), Verdict::Explained);
        assert_eq!(both(B, B), Verdict::Explained);
        assert_eq!(both(A, B), Verdict::Impossible);
    }

    #[test]
    fn what_is_not_known_happens_once_late_or_never() {
        let unknown = (write(0, B), Answer::Unknown, 3, u64::MAX);
        let reads = |values: &[Value]| {
            let mut all = vec![(write(0, A), Answer::Done, 1, 2), unknown];
            for (at, value) in values.iter().enumerate() {
                let at = at as u64 * 2 + 10;
                all.push((read(0), Answer::Content(*value), at, at + 1));
            }
            judge(&all)
        };
        assert_eq!(reads(&[A, A]), Verdict::Explained);
        assert_eq!(reads(&[A, B]), Verdict::Explained);
        assert_eq!(reads(&[A, B, A]), Verdict::Impossible);
    }

    #[test]
    fn a_move_is_seen_whole() {
        let moved = Action::Move {
            from: 0,
            to: 1,
            replace: false,
        };
        let names = |names| {
            judge(&[
                (write(0, A), Answer::Done, 1, 2),
                (moved, Answer::Done, 3, 8),
                (Action::List, Answer::Names(names), 4, 5),
            ])
        };
        assert_eq!(names([true, false, false]), Verdict::Explained);
        assert_eq!(names([false, true, false]), Verdict::Explained);
        assert_eq!(names([true, true, false]), Verdict::Impossible);
        assert_eq!(names([false; NAMES]), Verdict::Impossible);
    }

    /// A list that did not find the folder was believed whenever the folder was empty.
    #[test]
    fn a_folder_that_is_empty_is_still_there() {
        let list = |answer| {
            judge(&[
                (Action::List, Answer::NotFound, 1, 2),
                (write(0, A), Answer::Done, 3, 4),
                (Action::Delete { name: 0 }, Answer::Done, 5, 6),
                (Action::List, answer, 7, 8),
            ])
        };
        assert_eq!(list(Answer::Names([false; NAMES])), Verdict::Explained);
        assert_eq!(list(Answer::NotFound), Verdict::Impossible);
    }

    /// The search took gigabytes before it was given up. Reads of what nobody wrote, behind so many uploads that overlap that
    /// all orders of them are too many.
    #[test]
    fn a_search_is_given_up_before_it_takes_all_memory() {
        let uploads = (0..40).map(|at| {
            (
                write(0, Value(at)),
                Answer::Done,
                u64::from(at) + 1,
                u64::from(at) + 100,
            )
        });
        let mut operations: Vec<_> = uploads.collect();
        operations.push((read(0), Answer::Content(Value(99)), 200, 201));
        let verdict = check_within(&numbered(&operations), 1 << 20);
        assert_eq!(verdict, Verdict::GivenUp);
    }

    #[test]
    fn what_was_deleted_does_not_come_back() {
        let deleted = [
            (write(0, A), Answer::Done, 1, 2),
            (Action::Delete { name: 0 }, Answer::Done, 3, 4),
            (read(0), Answer::Content(A), 5, 6),
        ];
        assert_eq!(judge(&deleted), Verdict::Impossible);
    }

    /// The deletion that is the second operation brought back as the third.
    fn restore(to: usize) -> Action {
        Action::Restore {
            deletion: 1,
            trash: TrashId(1),
            to,
        }
    }

    #[test]
    fn what_was_deleted_comes_back_once_and_with_its_versions() {
        let version = |value| Action::ReadVersion {
            name: 1,
            value,
            version: VersionId(1),
        };
        let judge_after = |restored, action, answer| {
            judge(&[
                (write(0, A), Answer::Done, 1, 2),
                (Action::Delete { name: 0 }, Answer::Done, 3, 4),
                (restore(1), restored, 5, 6),
                (action, answer, 7, 8),
            ])
        };
        let done = |action, answer| judge_after(Answer::Done, action, answer);
        assert_eq!(done(read(1), Answer::Content(A)), Verdict::Explained);
        assert_eq!(done(read(0), Answer::NotFound), Verdict::Explained);
        assert_eq!(done(version(A), Answer::Content(A)), Verdict::Explained);
        assert_eq!(done(read(1), Answer::NotFound), Verdict::Impossible);
        assert_eq!(done(read(1), Answer::Content(B)), Verdict::Impossible);
        assert_eq!(done(version(A), Answer::NotFound), Verdict::Impossible);
        assert_eq!(done(restore(2), Answer::NotFound), Verdict::Explained);
        assert_eq!(done(restore(2), Answer::Done), Verdict::Impossible);
        let lost = judge_after(Answer::NotFound, read(1), Answer::NotFound);
        assert_eq!(lost, Verdict::Impossible);
        let taken = judge_after(Answer::AlreadyExists, Action::List, Answer::NotFound);
        assert_eq!(taken, Verdict::Impossible);
    }

    #[test]
    fn a_former_version_is_of_its_file_wherever_that_is() {
        let moved = Action::Move {
            from: 0,
            to: 2,
            replace: false,
        };
        let version = |name, value, answer| {
            let action = Action::ReadVersion {
                name,
                value,
                version: VersionId(1),
            };
            judge(&[
                (write(0, A), Answer::Done, 1, 2),
                (write(0, B), Answer::Done, 3, 4),
                (moved, Answer::Done, 5, 6),
                (action, answer, 7, 8),
            ])
        };
        assert_eq!(version(2, A, Answer::Content(A)), Verdict::Explained);
        assert_eq!(version(2, B, Answer::Content(B)), Verdict::Explained);
        assert_eq!(version(0, A, Answer::NotFound), Verdict::Explained);
        assert_eq!(version(2, A, Answer::Content(B)), Verdict::Impossible);
        assert_eq!(version(2, A, Answer::NotFound), Verdict::Impossible);
        assert_eq!(version(0, A, Answer::Content(A)), Verdict::Impossible);
    }
}
