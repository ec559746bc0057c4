//! `Broadcaster`: fans out to one `PeerLink` for each configured member, and hands what peers send
//! to the link that it came over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler};

use crate::core::id::Address;
use crate::core::sharding::map::ShardMap;
use crate::core::view::{ForgetMark, Heard, Member, Removal};
use crate::core::wire::{Digest, HeartbeatAnswer, PushAnswer, PushRefusal};
use crate::messages::causality::JoinEnded;
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Edge, Mail};
use crate::messages::peers::{
    Beat, FetchJoin, Flush, MarkRemoved, Publish, SendHeartbeat, TakeBatch, TakeHeartbeat,
};
use crate::messages::view::{MembersChanged, PeerHeard};
use crate::metrics::Metrics;

/// The edges to one link.
#[derive(Debug, Clone)]
pub struct LinkEdges {
    /// Send a heartbeat.
    pub heartbeat: Edge<SendHeartbeat>,
    /// Push a write.
    pub publish: Edge<Publish>,
    /// Fetch a join.
    pub fetch: Edge<FetchJoin>,
    /// A heartbeat came in.
    pub take_heartbeat: Edge<TakeHeartbeat>,
    /// A batch came in.
    pub take_batch: Edge<TakeBatch>,
    /// The peer stands removed, or not.
    pub mark: Edge<MarkRemoved>,
    /// Tell when empty.
    pub flush: Edge<Flush>,
}

/// What a [`Broadcaster`] is made of.
pub struct BroadcasterParts {
    /// Starts the link to a peer. A link ends when its edges are dropped.
    pub start_link: Rc<dyn Fn(Address) -> LinkEdges>,
    /// To `View`: a peer's heartbeat came in.
    pub heard: Edge<PeerHeard>,
    /// To `Causality`: a join could not even be begun.
    pub joined: Edge<JoinEnded>,
    /// Where links count.
    pub metrics: Metrics,
}

impl std::fmt::Debug for BroadcasterParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BroadcasterParts").finish_non_exhaustive()
    }
}

/// The actor; see the module.
#[derive(Debug)]
pub struct Broadcaster {
    links: BTreeMap<Address, LinkEdges>,
    /// Those that keep the shard of this node: they get its writes.
    shard_peers: BTreeSet<Address>,
    removals: Arc<[Removal]>,
    forgotten: Arc<[ForgetMark]>,
    map: Option<Arc<ShardMap>>,
    last_digest: Option<Arc<Digest>>,
    parts: BroadcasterParts,
}

impl Broadcaster {
    /// A broadcaster without peers; `View` names them.
    pub fn new(parts: BroadcasterParts) -> Self {
        Self {
            links: BTreeMap::new(),
            shard_peers: BTreeSet::new(),
            removals: Arc::from([]),
            forgotten: Arc::from([]),
            map: None,
            last_digest: None,
            parts,
        }
    }

    /// Another map is told at once: requests wait for all to go by the same one, and for who has made it to hear so.
    fn set_map(&mut self, map: ShardMap) {
        let map = map.is_sharded().then(|| Arc::new(map));
        if std::mem::replace(&mut self.map, map) != self.map {
            for &peer in self.links.keys() {
                self.send_heartbeat(peer);
            }
        }
    }

    fn set_members(&mut self, members: &[Member]) {
        let is_member = |address: &Address| members.iter().any(|m| m.address == *address);
        let metrics = &self.parts.metrics;
        self.links.retain(|address, _| {
            let stays = is_member(address);
            if !stays {
                metrics.drop_peer(&address.to_string());
            }
            stays
        });
        let peers = members.iter().filter(|member| member.shard_peer);
        self.shard_peers = peers.map(|member| member.address).collect();
        for &Member {
            address, removed, ..
        } in members
        {
            if !self.links.contains_key(&address) {
                let link = (self.parts.start_link)(address);
                self.links.insert(address, link);
                self.send_heartbeat(address);
            }
            self.links[&address].mark.tell(MarkRemoved { removed });
        }
    }

    fn send_heartbeat(&self, to: Address) {
        if let (Some(link), Some(digest)) = (self.links.get(&to), &self.last_digest) {
            link.heartbeat.tell(SendHeartbeat {
                digest: digest.clone(),
                removals: self.removals.clone(),
                forgotten: self.forgotten.clone(),
                map: self.map.clone(),
            });
        }
    }
}

impl Actor for Broadcaster {
    type Context = Context<Self>;
}

impl Handler<Mail<MembersChanged>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<MembersChanged>, _: &mut Context<Self>) {
        let changed = mail.open();
        self.removals = changed.removals.into();
        self.forgotten = changed.forgotten.into();
        self.set_map(changed.map);
        self.set_members(&changed.members);
    }
}

impl Handler<Mail<Beat>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<Beat>, _: &mut Context<Self>) {
        self.last_digest = Some(mail.open().digest);
        for &peer in self.links.keys() {
            self.send_heartbeat(peer);
        }
    }
}

impl Handler<Mail<Publish>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<Publish>, _: &mut Context<Self>) {
        let publish = mail.open();
        for peer in &self.shard_peers {
            if let Some(link) = self.links.get(peer) {
                link.publish.tell(publish.clone());
            }
        }
    }
}

impl Handler<Mail<FetchJoin>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<FetchJoin>, _: &mut Context<Self>) {
        let fetch = mail.open();
        match self.links.get(&fetch.from) {
            Some(link) => link.fetch.tell(fetch),
            None => self.parts.joined.tell(JoinEnded {
                from: fetch.from,
                asker: fetch.request.from,
                result: Err("it is no member any more".to_owned()),
            }),
        }
    }
}

impl Handler<Mail<TakeHeartbeat>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<TakeHeartbeat>, _: &mut Context<Self>) {
        let mut take = mail.open();
        let heartbeat = &mut take.heartbeat;
        let from = heartbeat.digest.from;
        let heard = Heard {
            from,
            removals: std::mem::take(&mut heartbeat.removals),
            forgotten: std::mem::take(&mut heartbeat.forgotten),
            roster: heartbeat.digest.roster.clone(),
            map: heartbeat.map.take(),
        };
        self.parts.heard.tell(PeerHeard { heard });
        match self.links.get(&from.address) {
            Some(link) => link.take_heartbeat.tell(take),
            None => drop(take.reply.send(HeartbeatAnswer::Unknown)),
        }
    }
}

impl Handler<Mail<TakeBatch>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<TakeBatch>, _: &mut Context<Self>) {
        let take = mail.open();
        let unknown = PushAnswer::Refused(PushRefusal::Unknown);
        match self.links.get(&take.batch.from.address) {
            Some(link) => link.take_batch.tell(take),
            None => drop(take.reply.send(unknown)),
        }
    }
}

impl Handler<Mail<Flush>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, mail: Mail<Flush>, _: &mut Context<Self>) {
        let done = mail.open().reply;
        let mut flushed = Vec::new();
        for link in self.links.values() {
            let (reply, answer) = tokio::sync::oneshot::channel();
            link.flush.tell(Flush { reply });
            flushed.push(answer);
        }
        actix_rt::spawn(async move {
            futures::future::join_all(flushed).await;
            let _ = done.send(());
        });
    }
}

impl Handler<Mail<Halt>> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Mail<Halt>, ctx: &mut Context<Self>) {
        ctx.terminate();
    }
}
