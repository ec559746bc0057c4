//! The reads of a history traced to what they read from, and the errors that show before any order is looked at:
//! values out of thin air, of another key, names used twice, histories that cannot be.

use std::collections::{HashMap, HashSet};

use super::history::{Absence, Action, History, Operation, OperationId, Outcome};
use super::report::{Kind, Violation};

/// Where a read got its answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The state before every write.
    Initial,
    /// The write that is this node.
    Write(usize),
    /// Absent, and the answer does not say why.
    Unnamed,
    /// Nowhere: reported already, and nothing more follows from it.
    Unsound,
}

/// What a node does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Puts a value in its place.
    Put,
    /// Removes it.
    Delete,
    /// Reads it.
    Read(Source),
}

/// An operation that is part of the causal order: a read that was answered, or a write that was not refused.
///
/// A delete that a read names, but whose own answer never came, is a node without operation (and without
/// parents) unless there is only one DELETE that it can be.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its place in the history.
    pub(super) operation: Option<usize>,
    /// Its key, by number.
    pub(super) key: usize,
    /// What it does.
    pub(super) role: Role,
    /// The nodes whose answers' metadata made its request.
    pub(super) parents: Vec<usize>,
}

impl Node {
    pub(super) fn writes(&self) -> bool {
        !matches!(self.role, Role::Read(_))
    }
}

/// A history, its reads traced.
#[derive(Debug)]
pub(super) struct Facts<'h> {
    pub(super) history: &'h History,
    pub(super) nodes: Vec<Node>,
    /// Names of the keys by number.
    pub(super) keys: Vec<&'h str>,
    key_numbers: HashMap<&'h str, usize>,
    /// The PUTs by value, refused ones only where there is no other.
    values: HashMap<&'h str, usize>,
    /// Places in the history by id.
    places: HashMap<OperationId, usize>,
    /// Nodes by place in the history.
    node_at: Vec<Option<usize>>,
    /// Acknowledged writes (nodes) by identity, and nodes of deletes that only reads name.
    identities: HashMap<&'h str, usize>,
}

impl<'h> Facts<'h> {
    /// Traces the reads; what is wrong with them is added to `violations`.
    ///
    /// # Errors
    /// The history cannot be: nothing can be concluded from it but this.
    pub(super) fn gather(
        history: &'h History,
        violations: &mut Vec<Violation>,
    ) -> Result<Self, Vec<Violation>> {
        let mut facts = Self {
            history,
            nodes: Vec::with_capacity(history.operations.len()),
            keys: Vec::new(),
            key_numbers: HashMap::new(),
            values: HashMap::new(),
            places: HashMap::new(),
            node_at: Vec::with_capacity(history.operations.len()),
            identities: HashMap::new(),
        };
        let mut malformed = Vec::new();
        for (place, operation) in history.operations.iter().enumerate() {
            facts.take(place, operation, &mut malformed);
        }
        if !malformed.is_empty() {
            return Err(malformed);
        }
        facts.name_writes(violations);
        facts.adopt_anonymous_deletes();
        for node in 0..facts.nodes.len() {
            if let Some(violation) = facts.trace(node) {
                violations.push(violation);
            }
        }
        Ok(facts)
    }

    /// The operation that a node is, unless it is a delete known by name alone.
    pub(super) fn operation(&self, node: usize) -> Option<&'h Operation> {
        let place = self.nodes[node].operation?;
        Some(&self.history.operations[place])
    }

    /// The node of the PUT that wrote `value`, with its key; `None` if nobody did, or if all who tried were refused.
    pub(super) fn writer(&self, value: &str) -> Option<usize> {
        self.node_at[*self.values.get(value)?]
    }

    /// The node of the write with this identity.
    pub(super) fn identified(&self, identity: &str) -> Option<usize> {
        self.identities.get(identity).copied()
    }

    /// The number of a key that the history names.
    pub(super) fn key(&self, name: &str) -> Option<usize> {
        self.key_numbers.get(name).copied()
    }

    /// Whether the node is a DELETE that was answered with "absent", and may have written nevertheless: it found a
    /// value, and before its write was applied, another DELETE was. Nothing but such another one, which it neither
    /// knew nor can have been known to, makes it write; its answer's metadata then names its own write, not the other.
    pub(super) fn may_have_deleted(&self, node: usize) -> bool {
        self.nodes[node].role == Role::Read(Source::Unnamed)
            && self.operation(node).is_some_and(|o| {
                o.action == Action::Delete && o.outcome == Outcome::Absent(Absence::Unnamed)
            })
    }

    /// Whether the node is a DELETE of which nothing tells under what name it wrote, if it did.
    pub(super) fn is_anonymous_delete(&self, node: usize) -> bool {
        let untold = |o: &Operation| {
            matches!(
                o.outcome,
                Outcome::Unknown | Outcome::Acknowledged { identity: None }
            )
        };
        let wrote =
            self.nodes[node].role == Role::Delete && self.operation(node).is_some_and(untold);
        wrote || self.may_have_deleted(node)
    }

    /// Takes the node for the write that it was found to be.
    pub(super) fn has_deleted(&mut self, node: usize) {
        self.nodes[node].role = Role::Delete;
    }

    /// Whether the node is a write that the caller gave up for lost.
    pub(super) fn forgiven(&self, node: usize) -> bool {
        let forgiven = &self.history.forgiven;
        !forgiven.is_empty()
            && self
                .operation(node)
                .is_some_and(|o| forgiven.contains(&o.id))
    }

    /// The operations that these nodes are.
    pub(super) fn ids(&self, nodes: &[usize]) -> Vec<OperationId> {
        let ids = nodes.iter().filter_map(|n| self.operation(*n));
        ids.map(|operation| operation.id).collect()
    }

    /// One line about a node.
    pub(super) fn line(&self, node: usize) -> String {
        match self.operation(node) {
            Some(operation) => operation.to_string(),
            None => format!(
                "a DELETE {} without an answer",
                self.keys[self.nodes[node].key]
            ),
        }
    }

    fn take(&mut self, place: usize, operation: &'h Operation, malformed: &mut Vec<Violation>) {
        let mut wrong = |what: String| malformed.push(report(Kind::Malformed, &[operation], &what));
        if !fits(&operation.action, &operation.outcome) {
            wrong("this answer does not fit the request".to_owned());
        }
        if self.places.insert(operation.id, place).is_some() {
            wrong("an operation before it has the same number".to_owned());
        }
        if let Action::Put { value } = &operation.action {
            let old = self.values.insert(value, place);
            if let Some(old) = old.filter(|old| self.node_at[*old].is_some()) {
                if operation.outcome != Outcome::Refused {
                    wrong("an operation before it writes the same value".to_owned());
                }
                self.values.insert(value, old);
            }
        }
        let mut parents = Vec::with_capacity(operation.parents.len());
        for parent in &operation.parents {
            match self.places.get(parent).filter(|parent| **parent < place) {
                None => wrong(format!("its parent {parent} does not stand before it")),
                Some(found) if !self.history.operations[*found].outcome.gives_metadata() => {
                    wrong(format!("its parent {parent} gave no metadata"));
                }
                Some(found) => parents.extend(self.node_at[*found]),
            }
        }
        let node = self.node(place, operation, parents);
        self.node_at.push(node);
    }

    fn node(
        &mut self,
        place: usize,
        operation: &'h Operation,
        parents: Vec<usize>,
    ) -> Option<usize> {
        let keys = &mut self.keys;
        let key = *self.key_numbers.entry(&operation.key).or_insert_with(|| {
            keys.push(&operation.key);
            keys.len() - 1
        });
        let role = match (&operation.action, operation.may_write()) {
            (Action::Put { .. }, true) => Role::Put,
            (_, true) => Role::Delete,
            (_, false) if operation.outcome.gives_metadata() => Role::Read(Source::Unnamed),
            (_, false) => return None,
        };
        self.nodes.push(Node {
            operation: Some(place),
            key,
            role,
            parents,
        });
        Some(self.nodes.len() - 1)
    }

    fn name_writes(&mut self, violations: &mut Vec<Violation>) {
        for node in 0..self.nodes.len() {
            let Some(operation) = self.operation(node) else {
                continue;
            };
            let Outcome::Acknowledged {
                identity: Some(identity),
            } = &operation.outcome
            else {
                continue;
            };
            if let Some(first) = self.identities.insert(identity, node) {
                let operations: Vec<_> = [first, node]
                    .iter()
                    .filter_map(|n| self.operation(*n))
                    .collect();
                let what = format!("{identity} names two writes");
                violations.push(report(Kind::ReusedIdentity, &operations, &what));
                self.identities.insert(identity, first);
            }
        }
    }

    /// Reads may name deletes whose answer was lost, or did not tell its identity. Each such DELETE made one write at
    /// most, so as many names as there are such DELETEs of that key can be right.
    fn adopt_anonymous_deletes(&mut self) {
        let mut anonymous: Vec<Vec<usize>> = vec![Vec::new(); self.keys.len()];
        let mut unclaimed: Vec<Vec<&'h str>> = vec![Vec::new(); self.keys.len()];
        let mut seen = HashSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if self.is_anonymous_delete(index) {
                anonymous[node.key].push(index);
            }
            if let Some(operation) = self.operation(index)
                && let Outcome::Absent(Absence::By(name)) = &operation.outcome
                && !self.identities.contains_key(name.as_str())
                && seen.insert(name.as_str())
            {
                unclaimed[node.key].push(name);
            }
        }
        for (key, names) in unclaimed.into_iter().enumerate() {
            match (names.as_slice(), anonymous[key].as_slice()) {
                ([name], [only]) => {
                    self.identities.insert(name, *only);
                    self.has_deleted(*only);
                }
                (names, candidates) => {
                    for name in names.iter().take(candidates.len()) {
                        self.adopt(key, name);
                    }
                }
            }
        }
    }

    fn adopt(&mut self, key: usize, name: &'h str) {
        self.identities.insert(name, self.nodes.len());
        self.nodes.push(Node {
            operation: None,
            key,
            role: Role::Delete,
            parents: Vec::new(),
        });
    }

    /// Sets the source of a read; a violation if it has none.
    fn trace(&mut self, node: usize) -> Option<Violation> {
        let Role::Read(_) = self.nodes[node].role else {
            return None;
        };
        let operation = self.operation(node)?;
        let (source, violation) = match &operation.outcome {
            Outcome::Absent(Absence::Initial) => (Source::Initial, None),
            Outcome::Found { value } => self.trace_value(node, operation, value),
            Outcome::Absent(Absence::By(name)) => self.trace_delete(node, operation, name),
            _ => (Source::Unnamed, None),
        };
        self.nodes[node].role = Role::Read(source);
        violation
    }

    fn trace_value(
        &self,
        node: usize,
        read: &Operation,
        value: &str,
    ) -> (Source, Option<Violation>) {
        let wrong = |kind, operations: &[&Operation], what: &str| {
            (Source::Unsound, Some(report(kind, operations, what)))
        };
        let Some(place) = self.values.get(value) else {
            return wrong(Kind::ThinAirRead, &[read], &format!("nobody wrote {value}"));
        };
        let put = &self.history.operations[*place];
        match self.node_at[*place] {
            None => wrong(
                Kind::ThinAirRead,
                &[put, read],
                &format!("the PUT of {value} was refused, so it had no effect"),
            ),
            Some(writer) if self.nodes[writer].key != self.nodes[node].key => {
                let what = format!(
                    "{value} was written to {} and read from {}",
                    put.key, read.key
                );
                wrong(Kind::ForeignRead, &[put, read], &what)
            }
            Some(writer) => (Source::Write(writer), None),
        }
    }

    fn trace_delete(
        &self,
        node: usize,
        read: &Operation,
        name: &str,
    ) -> (Source, Option<Violation>) {
        let wrong = |kind, operations: &[&Operation], what: &str| {
            (Source::Unsound, Some(report(kind, operations, what)))
        };
        let Some(writer) = self.identified(name) else {
            let what = format!("no DELETE of {} is, or can be, {name}", read.key);
            return wrong(Kind::ThinAirRead, &[read], &what);
        };
        let involved: Vec<&Operation> = self.operation(writer).into_iter().chain([read]).collect();
        if self.nodes[writer].role != Role::Delete {
            let what = format!("{name} is given as a delete, but names a PUT");
            return wrong(Kind::ThinAirRead, &involved, &what);
        }
        if self.nodes[writer].key != self.nodes[node].key {
            let what = format!("{name} deleted another key than {}", read.key);
            return wrong(Kind::ForeignRead, &involved, &what);
        }
        (Source::Write(writer), None)
    }
}

fn fits(action: &Action, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused | Outcome::Unknown => true,
        Outcome::Acknowledged { .. } => *action != Action::Get,
        Outcome::Found { .. } => *action == Action::Get,
        Outcome::Absent(_) => matches!(action, Action::Get | Action::Delete),
    }
}

/// A violation shown by these operations, one line each.
pub(super) fn report(kind: Kind, operations: &[&Operation], what: &str) -> Violation {
    let lines: Vec<String> = operations.iter().map(|o| format!("\n    {o}")).collect();
    Violation {
        kind,
        guarantee: None,
        operations: operations.iter().map(|o| o.id).collect(),
        explanation: format!("{what}{}", lines.concat()),
    }
}
