//! What the replicas held at quiet: the same everywhere, written to that key, and nothing known lost for it.

use std::collections::{BTreeMap, HashSet};

use super::bits::Bits;
use super::conflicts::Conflicts;
use super::facts::{Facts, Role, Source};
use super::history::{Absence, Held, Outcome};
use super::order::CausalOrder;
use super::reads::without_forgiven;
use super::report::{Counts, Kind, Violation};
use super::story;

const ABSENT: Held = Held::Absent(Absence::Unnamed);

/// Reports where two replicas differ, key by key; counts the cells compared.
pub(super) fn divergence(facts: &Facts<'_>, counts: &mut Counts) -> Vec<Violation> {
    let states = &facts.history.final_states;
    let mut keys: Vec<&str> = states
        .iter()
        .flat_map(|s| s.held.keys())
        .map(String::as_str)
        .collect();
    keys.extend(&facts.keys);
    keys.sort_unstable();
    keys.dedup();
    counts.final_cells = (keys.len() * states.len()) as u64;
    let mut violations = Vec::new();
    for key in keys {
        let held: Vec<&Held> = states
            .iter()
            .map(|s| s.held.get(key).unwrap_or(&ABSENT))
            .collect();
        if held.iter().any(|a| held.iter().any(|b| !agree(a, b))) {
            let cells = states.iter().zip(&held);
            let cells: Vec<String> = cells
                .map(|(s, h)| format!("\n    {}: {h}", s.replica))
                .collect();
            violations.push(violation(
                Kind::Divergence,
                Vec::new(),
                format!("at quiet, the replicas disagree on {key}{}", cells.concat()),
            ));
        }
    }
    violations
}

fn agree(a: &Held, b: &Held) -> bool {
    match (a, b) {
        (Held::Absent(Absence::Unnamed), Held::Absent(_))
        | (Held::Absent(_), Held::Absent(Absence::Unnamed)) => true,
        (a, b) => a == b,
    }
}

/// Checks every different thing that some replica held for a key against the writes of that key.
pub(super) fn finals(
    facts: &Facts<'_>,
    order: &CausalOrder,
    conflicts: &Conflicts,
) -> Vec<Violation> {
    if facts.history.final_states.is_empty() {
        return Vec::new();
    }
    let shown = shown(facts);
    let mut violations = Vec::new();
    let mut held_by_key: BTreeMap<&str, Vec<(&str, &Held)>> = BTreeMap::new();
    for state in &facts.history.final_states {
        let keys = state
            .held
            .keys()
            .map(String::as_str)
            .chain(facts.keys.iter().copied());
        for key in keys {
            let held = state.held.get(key).unwrap_or(&ABSENT);
            let of_key = held_by_key.entry(key).or_default();
            if of_key.iter().all(|(_, known)| *known != held) {
                of_key.push((&state.replica, held));
            }
        }
    }
    for (key, cells) in held_by_key {
        for (replica, held) in cells {
            let cell = Cell {
                facts,
                order,
                conflicts,
                shown: &shown,
                key,
                replica,
                held,
            };
            violations.extend(cell.check());
        }
    }
    violations
}

/// Writes (nodes) that are known to have happened: acknowledged, or read.
fn shown(facts: &Facts<'_>) -> HashSet<usize> {
    let mut shown = HashSet::new();
    for (index, node) in facts.nodes.iter().enumerate() {
        match node.role {
            Role::Read(Source::Write(writer)) => {
                shown.insert(writer);
            }
            Role::Put | Role::Delete => {
                let answered = facts
                    .operation(index)
                    .is_some_and(|o| matches!(o.outcome, Outcome::Acknowledged { .. }));
                if answered {
                    shown.insert(index);
                }
            }
            Role::Read(_) => {}
        }
    }
    shown
}

/// What one replica held for one key.
struct Cell<'a, 'h> {
    facts: &'a Facts<'h>,
    order: &'a CausalOrder,
    conflicts: &'a Conflicts,
    shown: &'a HashSet<usize>,
    key: &'a str,
    replica: &'a str,
    held: &'a Held,
}

impl Cell<'_, '_> {
    fn check(&self) -> Option<Violation> {
        let Some(key) = self.facts.key(self.key) else {
            let nothing = matches!(self.held, Held::Absent(Absence::Initial | Absence::Unnamed));
            return (!nothing).then(|| self.thin_air("nobody wrote to that key"));
        };
        let writer = match self.held {
            Held::Value(value) => self.facts.writer(value),
            Held::Absent(Absence::By(name)) => self.facts.identified(name),
            Held::Absent(Absence::Initial) => return self.lost_all(key),
            Held::Absent(Absence::Unnamed) => return self.lost_unless_deleted(key),
        };
        let is_value = matches!(self.held, Held::Value(_));
        match writer {
            None if !is_value && self.anonymous_delete(key) => None,
            None => Some(self.thin_air("nobody wrote that")),
            Some(w) if self.facts.nodes[w].key != key => {
                Some(self.thin_air("that was written to another key"))
            }
            Some(w) if (self.facts.nodes[w].role == Role::Put) != is_value => {
                Some(self.thin_air("that is not what this write did"))
            }
            Some(w) => self.overwritten(key, self.order.rank[w]),
        }
    }

    /// Whether some DELETE of the key never told its identity, so that the one held may be it.
    fn anonymous_delete(&self, key: usize) -> bool {
        let mut nodes = self.facts.nodes.iter().enumerate();
        nodes.any(|(index, node)| node.key == key && self.facts.is_anonymous_delete(index))
    }

    /// The writes of the key that happened and are not forgiven, in ranks.
    fn standing(&self, key: usize) -> Bits {
        let mut writes = self.order.writes[key].clone();
        writes.retain(|w| self.shown.contains(&self.order.node[w]));
        without_forgiven(self.facts, self.order, &mut writes);
        writes
    }

    fn overwritten(&self, key: usize, held: usize) -> Option<Violation> {
        let mut causally = self.standing(key);
        causally.keep_all(&self.order.future[held]);
        if let Some(by) = causally.highest() {
            let path = self.order.path(held, by, false);
            let told = story::chain(self.facts, self.order, &path);
            return Some(self.lost(by, &path, "which comes after it", &told));
        }
        let mut seen_to_win = self.standing(key);
        seen_to_win.keep_all(&self.conflicts.later_writes(self.order, held, key));
        let by = seen_to_win.highest()?;
        let lines = [held, by].map(|rank| ("", self.facts.line(self.order.node[rank])));
        Some(self.lost(
            by,
            &[held, by],
            "which reads have seen win over it",
            &story::lines(&lines),
        ))
    }

    fn lost_all(&self, key: usize) -> Option<Violation> {
        let by = self.standing(key).highest()?;
        let told = story::chain(self.facts, self.order, &[by]);
        Some(self.lost(by, &[by], "which was acknowledged or read", &told))
    }

    /// Absence will do if nothing stands, or if some delete (whether known to have happened or not) is not
    /// overwritten.
    fn lost_unless_deleted(&self, key: usize) -> Option<Violation> {
        let standing = self.standing(key);
        let mut deletes = self.order.deletes[key].iter();
        if deletes.any(|rank| !self.order.future[rank].meets(&standing)) {
            return None;
        }
        self.lost_all(key)
    }

    fn lost(&self, by: usize, ranks: &[usize], how: &str, told: &str) -> Violation {
        let lost = story::version(self.facts, self.order.node[by]);
        let what = format!(
            "at quiet, {} held {} for {}, not {lost}, {how}{told}",
            self.replica, self.held, self.key
        );
        violation(
            Kind::LostWrite,
            self.facts.ids(&self.order.nodes(ranks)),
            what,
        )
    }

    fn thin_air(&self, why: &str) -> Violation {
        let what = format!(
            "at quiet, {} held {} for {}: {why}",
            self.replica, self.held, self.key
        );
        violation(Kind::ThinAirFinal, Vec::new(), what)
    }
}

fn violation(
    kind: Kind,
    operations: Vec<super::history::OperationId>,
    explanation: String,
) -> Violation {
    Violation {
        kind,
        guarantee: None,
        operations,
        explanation,
    }
}
