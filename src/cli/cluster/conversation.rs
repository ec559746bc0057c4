//! What to paste into a second terminal: a conversation with the cluster that shows causality at work.

use std::fmt::Write;

use causet::core::id::{Address, Key};

use super::plan::Plan;

/// What the conversation is about.
const KEY: &str = "lunch";

/// The addresses, the conversation and how to end all of it.
pub(super) fn text(plan: &Plan, pids: &[u32]) -> String {
    let mut text = String::from("\nA causet cluster on this machine:\n");
    let mut keepers = Vec::new();
    let shard = Key::new(KEY).map(|key| plan.map.shard_of(&key));
    for (address, pid) in plan.addresses.iter().zip(pids) {
        // Writing to a string cannot fail.
        let _ = match plan.map.shard_of_node(*address) {
            Some(its) if plan.map.is_sharded() => {
                writeln!(text, "  http://{address}  (process {pid}, shard {its})")
            }
            _ => writeln!(text, "  http://{address}  (process {pid})"),
        };
        if plan.map.shard_of_node(*address) == shard {
            keepers.push((*address, *pid));
        }
    }
    text += &write_and_read(&plan.addresses);
    // One that keeps the key itself: others would ask somebody who has seen it.
    if let ([(first, _), ..], Some((last, pid))) = (keepers.as_slice(), keepers[1..].last()) {
        text += &fall_behind(*first, *last, *pid);
    }
    text += "\nCtrl-C ends all of it.\n\n";
    text
}

/// One write, and a read at another replica that depends on it.
fn write_and_read(addresses: &[Address]) -> String {
    let writer = addresses[0];
    let reader = addresses.get(1).unwrap_or(&writer);
    format!(
        r#"
Paste into a second terminal. A client says what it has seen by handing back the newest causal-metadata, so it
reads its own write wherever it asks:

  seen() {{ sed 's/.*"causal-metadata"://; s/}}$//'; }}
  S1=$(curl -s -X PUT http://{writer}/kvs/lunch -d '{{"value":"where?","causal-metadata":null}}' | seen)
  curl -s -w '\n' -X GET http://{reader}/kvs/lunch -d "{{\"causal-metadata\":$S1}}"
"#
    )
}

/// A replica that misses a write and says so, instead of answering as if nothing had happened.
fn fall_behind(writer: Address, last: Address, pid: u32) -> String {
    format!(
        r#"
Then freeze {last}, write behind its back, wake it, and ask it three times:

  kill -STOP {pid}; sleep 1.5
  S2=$(curl -s -X PUT http://{writer}/kvs/lunch -d "{{\"value\":\"noodles\",\"causal-metadata\":$S1}}" | seen)
  kill -CONT {pid}
  curl -s -w '\n' -X GET http://{last}/kvs/lunch -d "{{\"causal-metadata\":$S2}}"
  curl -s -w '\n' -X GET http://{last}/kvs/lunch -d "{{\"causal-metadata\":$S1}}"
  curl -s -w '\n' -X GET http://{last}/kvs/lunch -H 'Prefer: wait=10' -d "{{\"causal-metadata\":$S2}}"

The first answer is 503, "Causal dependencies not satisfied": you have seen a write that {last} has not; try later
or elsewhere. The second shows old data to a client that has seen nothing newer. The third waits until {last} has
caught up, about 3 s, and is up to date.
"#
    )
}
