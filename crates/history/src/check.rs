//! What clients asked for and were told, and whether one cluster that does one thing after another could have told it.
//!
//! Names are in groups, and everything happens within a group, moves too: so each group is checked by itself. The search
//! is the one of Wing and Gong with Lowe's memory: take any operation that was called before the first answer that is
//! still to be explained, apply it to the state, and go on; where that leads nowhere, take another one. An operation
//! whose outcome is not known may have its effect at any time after its call, or never.

use std::collections::HashSet;

use crate::content::Value;

/// Names in a group.
pub const NAMES: usize = 3;
/// States that are looked at before the search is given up.
const STATES_MAX: usize = 2_000_000;

/// Which file has which content, in a group.
pub type State = [Option<Value>; NAMES];

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A file is to have this content, whether there is one or not.
    Upload {
        /// Which of the group's names.
        name: usize,
        /// The content.
        value: Value,
    },
    /// A file is to go.
    Delete {
        /// Which of the group's names.
        name: usize,
    },
    /// A file is to have another name.
    Move {
        /// Its name.
        from: usize,
        /// Its new name.
        to: usize,
        /// Whether a file that has the new name goes.
        replace: bool,
    },
    /// What is in a file?
    Read {
        /// Which of the group's names.
        name: usize,
    },
    /// Which files are there?
    List,
}

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// There is no such file.
    NotFound,
    /// There is a file where one is to be moved to.
    AlreadyExists,
    /// The file's content.
    Content(Value),
    /// Which names there are.
    Names([bool; NAMES]),
    /// Bytes that no upload had: never right.
    WrongBytes,
    /// Names that nobody gave: never right.
    WrongNames,
    /// Nothing was done, for a reason that says nothing of the names.
    Failed,
    /// Done or not, now or later.
    Unknown,
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// In which group of names.
    pub group: usize,
    /// What was asked for.
    pub action: Action,
    /// When it was called; each call and each answer has a number of its own.
    pub called: u64,
    /// When it was answered.
    pub answered: u64,
    /// What was said.
    pub answer: Answer,
}

/// All operations.
#[derive(Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    now: u64,
}

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

impl History {
    /// A client calls. Until it is answered, the outcome is not known.
    pub fn call(&mut self, group: usize, action: Action) -> usize {
        self.now += 1;
        self.operations.push(Operation {
            group,
            action,
            called: self.now,
            answered: u64::MAX,
            answer: Answer::Unknown,
        });
        self.operations.len() - 1
    }

    /// It is answered.
    pub fn answer(&mut self, operation: usize, answer: Answer) {
        self.now += 1;
        let operation = &mut self.operations[operation];
        operation.answer = answer;
        if answer != Answer::Unknown {
            operation.answered = self.now;
        }
    }

    /// What happened in a group, in the order of the calls.
    pub fn group(&self, group: usize) -> Vec<Operation> {
        let operations = self.operations.iter().copied();
        operations
            .filter(|operation| operation.group == group)
            .collect()
    }
}

/// Whether there is an order that explains all answers of a group that was empty at first.
pub fn check(operations: &[Operation]) -> Verdict {
    let tells = |operation: &&Operation| match operation.answer {
        Answer::Failed => false,
        Answer::Unknown => !matches!(operation.action, Action::Read { .. } | Action::List),
        _ => true,
    };
    let mut operations: Vec<_> = operations.iter().filter(tells).copied().collect();
    // Those whose answers are known first, by their answers: that order is nearly always the right one.
    operations.sort_by_key(|operation| (operation.answered, operation.called));
    let mut search = Search {
        done: vec![false; operations.len()],
        operations,
        seen: HashSet::new(),
    };
    search.explain()
}

struct Search {
    operations: Vec<Operation>,
    done: Vec<bool>,
    seen: HashSet<(Vec<bool>, State)>,
}

/// A step of the search: the state before, and the next operation to try.
struct Step {
    state: State,
    next: usize,
    taken: Option<usize>,
}

impl Search {
    fn explain(&mut self) -> Verdict {
        let mut steps = vec![Step {
            state: [None; NAMES],
            next: 0,
            taken: None,
        }];
        while let Some(step) = steps.last_mut() {
            let Some(first) = self.first_to_explain() else {
                return Verdict::Explained;
            };
            if self.seen.len() > STATES_MAX {
                return Verdict::GivenUp;
            }
            let may_be_next = |at: &usize| !self.done[*at] && self.operations[*at].called < first;
            let Some(at) = (step.next..self.operations.len()).find(may_be_next) else {
                let taken = step.taken;
                steps.pop();
                if let Some(taken) = taken {
                    self.done[taken] = false;
                }
                continue;
            };
            step.next = at + 1;
            let Some(state) = apply(step.state, &self.operations[at]) else {
                continue;
            };
            self.done[at] = true;
            if self.seen.insert((self.done.clone(), state)) {
                steps.push(Step {
                    state,
                    next: 0,
                    taken: Some(at),
                });
            } else {
                self.done[at] = false;
            }
        }
        Verdict::Impossible
    }

    /// The first answer that is still to be explained.
    fn first_to_explain(&self) -> Option<u64> {
        let open = self.operations.iter().zip(&self.done);
        open.filter(|(operation, done)| !**done && operation.answered < u64::MAX)
            .map(|(operation, _)| operation.answered)
            .next()
    }
}

/// The state after an operation, if it can have this answer in this state.
fn apply(mut state: State, operation: &Operation) -> Option<State> {
    use Answer::{AlreadyExists, Content, Done, Names, NotFound, Unknown};
    match (operation.action, operation.answer) {
        (Action::Upload { name, value }, Done | Unknown) => state[name] = Some(value),
        (Action::Delete { name }, Done | Unknown) => {
            state[name]?;
            state[name] = None;
        }
        (Action::Move { from, to, replace }, Done | Unknown) => {
            if state[from].is_none() || (state[to].is_some() && !replace) {
                return None;
            }
            state[to] = state[from].take();
        }
        (
            Action::Delete { name } | Action::Move { from: name, .. } | Action::Read { name },
            NotFound,
        ) => {
            if state[name].is_some() {
                return None;
            }
        }
        (Action::Move { to, replace, .. }, AlreadyExists) => {
            if replace || state[to].is_none() {
                return None;
            }
        }
        (Action::Read { name }, Content(value)) => {
            if state[name] != Some(value) {
                return None;
            }
        }
        (Action::List, Names(names)) => {
            if state.map(|content| content.is_some()) != names {
                return None;
            }
        }
        (Action::List, NotFound) => {
            if state != [None; NAMES] {
                return None;
            }
        }
        _ => return None,
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Value = Value(1);
    const B: Value = Value(2);

    fn write(name: usize, value: Value) -> Action {
        Action::Upload { name, value }
    }

    fn read(name: usize) -> Action {
        Action::Read { name }
    }

    /// Each as (action, answer, called, answered).
    fn judge(operations: &[(Action, Answer, u64, u64)]) -> Verdict {
        let operations = operations
            .iter()
            .map(|&(action, answer, called, answered)| Operation {
                group: 0,
                action,
                called,
                answered,
                answer,
            });
        check(&operations.collect::<Vec<_>>())
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

    #[test]
    fn what_was_deleted_does_not_come_back() {
        let deleted = [
            (write(0, A), Answer::Done, 1, 2),
            (Action::Delete { name: 0 }, Answer::Done, 3, 4),
            (read(0), Answer::Content(A), 5, 6),
        ];
        assert_eq!(judge(&deleted), Verdict::Impossible);
    }
}
