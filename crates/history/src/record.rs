//! What clients asked for and were told.
//!
//! Names are in groups, and everything happens within a group, moves too: so each group is checked by itself.

use proto::id::VersionId;
use proto::master::TrashId;

use crate::content::Value;

/// Names in a group.
pub const NAMES: usize = 3;

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
    /// A file is to come back from the trash.
    Restore {
        /// The operation that deleted it.
        deletion: usize,
        /// Where the answer to that said it is.
        trash: TrashId,
        /// Which of the group's names it gets.
        to: usize,
    },
    /// What was in a version of a file?
    ReadVersion {
        /// Which of the group's names.
        name: usize,
        /// What was uploaded as this version.
        value: Value,
        /// Which version the answer to that named.
        version: VersionId,
    },
}

impl Action {
    /// Whether it changes anything.
    pub fn is_change(self) -> bool {
        match self {
            Self::Upload { .. }
            | Self::Delete { .. }
            | Self::Move { .. }
            | Self::Restore { .. } => true,
            Self::Read { .. } | Self::List | Self::ReadVersion { .. } => false,
        }
    }
}

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// There is no such file, version, or row of the trash.
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
    /// As it was numbered when it was called.
    pub number: usize,
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

impl History {
    /// A client calls. Until it is answered, the outcome is not known.
    pub fn call(&mut self, group: usize, action: Action) -> usize {
        self.now += 1;
        let number = self.operations.len();
        self.operations.push(Operation {
            number,
            group,
            action,
            called: self.now,
            answered: u64::MAX,
            answer: Answer::Unknown,
        });
        number
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
