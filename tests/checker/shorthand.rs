//! Operations in one line each.

use causet::checker::{Absence, Action, FinalState, Held, History, Operation, Outcome};

pub(crate) fn put(id: u64, key: &str, value: &str) -> Operation {
    let action = Action::Put {
        value: value.to_owned(),
    };
    Operation::new(id, key, action, acknowledged(&format!("A#{id}")))
}

pub(crate) fn delete(id: u64, key: &str) -> Operation {
    Operation::new(id, key, Action::Delete, acknowledged(&format!("A#{id}")))
}

pub(crate) fn get(id: u64, key: &str, value: &str) -> Operation {
    let value = value.to_owned();
    Operation::new(id, key, Action::Get, Outcome::Found { value })
}

pub(crate) fn absent(id: u64, key: &str, absence: Absence) -> Operation {
    Operation::new(id, key, Action::Get, Outcome::Absent(absence))
}

/// An absent read that names the delete with this operation number.
pub(crate) fn deleted(id: u64, key: &str, by: u64) -> Operation {
    absent(id, key, Absence::By(format!("A#{by}")))
}

pub(crate) fn acknowledged(identity: &str) -> Outcome {
    Outcome::Acknowledged {
        identity: Some(identity.to_owned()),
    }
}

pub(crate) fn with(mut operation: Operation, outcome: Outcome) -> Operation {
    operation.outcome = outcome;
    operation
}

pub(crate) fn history(operations: &[Operation]) -> History {
    History {
        operations: operations.to_vec(),
        ..History::default()
    }
}

/// What a replica held, key by key; `None` for absent.
pub(crate) fn held(replica: &str, cells: &[(&str, Option<&str>)]) -> FinalState {
    let cell = |(key, value): &(&str, Option<&str>)| {
        let held = match value {
            Some(value) => Held::Value((*value).to_owned()),
            None => Held::Absent(Absence::Unnamed),
        };
        ((*key).to_owned(), held)
    };
    FinalState {
        replica: replica.to_owned(),
        held: cells.iter().map(cell).collect(),
    }
}
