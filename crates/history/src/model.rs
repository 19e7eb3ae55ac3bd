//! What one cluster that does one thing after another has in a group, and which answers it can give.

use std::collections::{BTreeMap, HashSet};
use std::mem::size_of;

use crate::content::Value;
use crate::record::{Action, Answer, NAMES, Operation};

/// A file: its content, and those before that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct File {
    content: Value,
    former: Vec<Value>,
}

impl File {
    fn has(&self, value: Value) -> bool {
        self.content == value || self.former.contains(&value)
    }
}

/// What there is after some operations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    names: [Option<File>; NAMES],
    /// Whether the group's folder is there: the first upload makes it, and nobody takes it away.
    has_folder: bool,
    /// What was deleted, by which operation, if somebody wants it back.
    trash: BTreeMap<usize, File>,
}

impl Model {
    /// Bytes that it takes in memory.
    pub(crate) fn len(&self) -> usize {
        let file_len =
            |file: &File| size_of::<File>() + file.former.capacity() * size_of::<Value>();
        let files = self.names.iter().flatten().chain(self.trash.values());
        size_of::<Self>() + files.map(file_len).sum::<usize>()
    }
}

/// What is asked for besides the present files: nothing else of the past needs to be kept.
#[derive(Debug)]
pub(crate) struct Asked {
    deletions: HashSet<usize>,
    values: HashSet<Value>,
}

impl Asked {
    pub(crate) fn of(operations: &[Operation]) -> Self {
        let actions = || operations.iter().map(|operation| operation.action);
        let deletion = |action| match action {
            Action::Restore { deletion, .. } => Some(deletion),
            _ => None,
        };
        let value = |action| match action {
            Action::ReadVersion { value, .. } => Some(value),
            _ => None,
        };
        Self {
            deletions: actions().filter_map(deletion).collect(),
            values: actions().filter_map(value).collect(),
        }
    }
}

/// What there is after an operation, if it can have this answer.
pub(crate) fn apply(mut model: Model, operation: &Operation, asked: &Asked) -> Option<Model> {
    let possible = match operation.answer {
        Answer::Done | Answer::Unknown => change(&mut model, operation, asked),
        Answer::NotFound => is_not_there(&model, operation.action),
        Answer::AlreadyExists => is_taken(&model, operation.action),
        Answer::Content(content) => match operation.action {
            Action::Read { name } => {
                (model.names[name].as_ref()).is_some_and(|file| file.content == content)
            }
            Action::ReadVersion { name, value, .. } => {
                content == value && has_version(&model, name, value)
            }
            _ => false,
        },
        Answer::Names(names) => {
            operation.action == Action::List && model.names.each_ref().map(Option::is_some) == names
        }
        Answer::WrongBytes | Answer::WrongNames | Answer::Failed => false,
    };
    possible.then_some(model)
}

/// Makes a change; whether it can be made.
fn change(model: &mut Model, operation: &Operation, asked: &Asked) -> bool {
    match operation.action {
        Action::Upload { name, value } => {
            let mut former = Vec::new();
            if let Some(before) = model.names[name].take() {
                former = before.former;
                former.extend(Some(before.content).filter(|value| asked.values.contains(value)));
            }
            model.has_folder = true;
            let content = value;
            model.names[name] = Some(File { content, former });
            true
        }
        Action::Delete { name } => match model.names[name].take() {
            Some(file) if asked.deletions.contains(&operation.number) => {
                model.trash.insert(operation.number, file);
                true
            }
            file => file.is_some(),
        },
        Action::Move { from, to, replace } => {
            let is_possible = model.names[from].is_some() && (model.names[to].is_none() || replace);
            if is_possible {
                model.names[to] = model.names[from].take();
            }
            is_possible
        }
        Action::Restore { deletion, to, .. } => {
            let is_possible = model.names[to].is_none() && model.trash.contains_key(&deletion);
            if is_possible {
                model.names[to] = model.trash.remove(&deletion);
            }
            is_possible
        }
        Action::Read { .. } | Action::List | Action::ReadVersion { .. } => false,
    }
}

fn is_not_there(model: &Model, action: Action) -> bool {
    match action {
        Action::Delete { name } | Action::Move { from: name, .. } | Action::Read { name } => {
            model.names[name].is_none()
        }
        Action::ReadVersion { name, value, .. } => !has_version(model, name, value),
        Action::Restore { deletion, .. } => !model.trash.contains_key(&deletion),
        Action::List => !model.has_folder,
        Action::Upload { .. } => false,
    }
}

fn is_taken(model: &Model, action: Action) -> bool {
    match action {
        Action::Move { to, replace, .. } => !replace && model.names[to].is_some(),
        Action::Restore { deletion, to, .. } => {
            model.names[to].is_some() && model.trash.contains_key(&deletion)
        }
        _ => false,
    }
}

fn has_version(model: &Model, name: usize, value: Value) -> bool {
    (model.names[name].as_ref()).is_some_and(|file| file.has(value))
}
