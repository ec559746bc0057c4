//! Changes of the shard map on request, and who waits for them to be everywhere.

use causet::core::id::{MapId, ShardId};
use causet::messages::view::{AwaitMap, Awaited, ChangeMap, MapChange, MapOutcome};

use super::*;
use crate::support::answered;

/// As many may wait at once.
const WAITERS: usize = 64;

impl Stage {
    /// Node 1 of five, of which 1 and 3 keep `s0`, 2 and 4 `s1`, and 5 none; all were seen up.
    async fn sharded() -> Self {
        let map = ShardMap::first(&view(&[1, 2, 3, 4]), 2).unwrap();
        let stage = Self::under(map, 5, config::Membership::default());
        stage.once_all_are_up(5).await
    }

    async fn change(&self, change: MapChange) -> MapOutcome {
        self.ask(|reply| ChangeMap { change, reply }).await
    }

    async fn add_five(&self) -> MapId {
        let (node, shard) = (address(5), ShardId(1));
        match self.change(MapChange::AddMember { node, shard }).await {
            MapOutcome::Made(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn await_map(&self, id: MapId) -> oneshot::Receiver<Awaited> {
        let (reply, answer) = oneshot::channel();
        self.tell(AwaitMap { id, reply });
        answer
    }

    async fn hear_map(&self, from: u8, map: &ShardMap) {
        let heard = Heard {
            map: Some(map.clone()),
            ..heard(from)
        };
        self.tell(PeerHeard { heard });
        self.read_view().await;
    }
}

#[test]
fn a_map_that_is_made_holds_at_once_here_and_is_told() {
    in_virtual_time(async {
        let stage = Stage::sharded().await;
        let id = stage.add_five().await;
        assert_eq!(stage.routes.borrow().map.id(), id, "requests go by it");
        let told = stage.members.borrow().last().cloned().unwrap();
        assert_eq!(told.map.id(), id);
        assert_eq!(told.map.shard_of_node(address(5)), Some(ShardId(1)));
        let (node, shard) = (address(5), ShardId(0));
        let refused = stage.change(MapChange::AddMember { node, shard }).await;
        assert_eq!(refused, MapOutcome::InAnotherShard);
        let refused = stage.change(MapChange::Deal { shards: 3 }).await;
        assert_eq!(refused, MapOutcome::TooFewNodes);
        assert_eq!(stage.routes.borrow().map.id(), id);
    });
}

#[test]
fn who_waits_for_a_map_is_answered_when_the_last_in_the_view_goes_by_it() {
    in_virtual_time(async {
        let stage = Stage::sharded().await;
        let id = stage.add_five().await;
        let map = stage.routes.borrow().map.clone();
        let mut waiting = stage.await_map(id);
        for from in 2..=4 {
            stage.hear_map(from, &map).await;
            assert_eq!(answered(&mut waiting), None);
        }
        stage.hear_map(5, &map).await;
        assert_eq!(answered(&mut waiting), Some(Awaited::Everywhere));
        let mut late = stage.await_map(id);
        stage.read_view().await;
        assert_eq!(answered(&mut late), Some(Awaited::Everywhere));
    });
}

#[test]
fn who_leaves_the_view_is_not_waited_for() {
    in_virtual_time(async {
        let mut stage = Stage::sharded().await;
        let id = stage.add_five().await;
        let map = stage.routes.borrow().map.clone();
        let waiting = RefCell::new(stage.await_map(id));
        for from in 2..=4 {
            stage.hear_map(from, &map).await;
        }
        stage.peers.remove(&address(5));
        let everywhere =
            |_: &Stage| answered(&mut waiting.borrow_mut()) == Some(Awaited::Everywhere);
        stage.run_until(5_000, everywhere).await;
        assert_eq!(stage.read_view().await, view(&[1, 2, 3, 4]));
    });
}

#[test]
fn so_many_may_wait_those_that_have_gone_not_counted_and_none_after_the_goodbye() {
    in_virtual_time(async {
        let stage = Stage::sharded().await;
        let id = stage.add_five().await;
        let mut waiting: Vec<_> = (0..WAITERS).map(|_| stage.await_map(id)).collect();
        let mut excess = stage.await_map(id);
        stage.read_view().await;
        assert_eq!(answered(&mut excess), Some(Awaited::Overloaded));
        waiting.pop();
        let mut next = stage.await_map(id);
        stage.read_view().await;
        assert_eq!(answered(&mut next), None, "it has taken the place");
        stage.ask(|reply| Leave { reply }).await;
        assert!(next.await.is_err(), "let go without an answer");
    });
}
