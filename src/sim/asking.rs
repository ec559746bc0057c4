//! One request: on its way to a node, answered there, and on its way back.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::clients::{Clients, Sent, Told, What};
use super::forwards::Performed;
use super::network::Network;
use super::plan::Request;
use super::watch::Watch;
use crate::core::id::{Address, Key, MapId};
use crate::messages::causality::{Answer, DigestReport, Outcome, Refusal, Seen};
use crate::node::Node;

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) began: Instant,
    pub(super) network: Network,
    pub(super) clients: Rc<RefCell<Clients>>,
    pub(super) watch: Rc<RefCell<Watch>>,
    /// Nobody is left out of what all agree on in this run: what somebody has is not lost for anybody.
    pub(super) nobody_left_out: bool,
    /// The map that a sharded cluster begins with.
    pub(super) first_map: Option<MapId>,
}

impl Asking {
    /// Asks the node at `address`, and writes down what came of it.
    pub(super) async fn ask(self, address: Address, request: Request) {
        let sent = self.clients.borrow_mut().send(&request, self.now_ms());
        self.network.until_resumed(address).await;
        let Some(node) = self.network.node(address) else {
            // Connection refused: nothing has happened.
            return self.answered(&sent, Some(refused(&sent)));
        };
        let told = if self.first_map.is_some() {
            self.ask_cluster(&sent, address, &node).await
        } else {
            self.ask_node(&sent, address, &node).await
        };
        if let Some(told) = &told {
            // Even if the client hears of it later.
            self.clients.borrow_mut().note_made(&sent, told);
        }
        self.network.until_resumed(address).await;
        self.answered(&sent, told);
    }

    /// As the only one who can answer.
    async fn ask_node(&self, sent: &Sent, address: Address, node: &Rc<Node>) -> Option<Told> {
        let told = Told::by_node(sent.ask(node.gateway()).await?, sent);
        if told.what != What::Refused {
            self.network.note_served(address, node);
            let report = node.gateway().read_digest().await;
            self.look_after(sent, &told, report.as_ref()).await;
        }
        Some(told)
    }

    /// As one who may pass it on.
    async fn ask_cluster(&self, sent: &Sent, address: Address, node: &Rc<Node>) -> Option<Told> {
        let forwarder = self.network.forwarder(address)?;
        if self.is_astray(node, sent.key()) {
            return Some(refused(sent));
        }
        let renewals = node.gateway().renewals();
        let answer = tokio::select! {
            biased;
            answer = forwarder.kvs(sent.as_http()) => answer,
            () = self.network.until_ended(address, node) => return None,
        };
        let mut performed = self.network.performed(sent.number(), &answer);
        // Whoever was asked by this node may have performed it, too, and the key may have become this node's own since.
        let is_own = || is_own(node, sent.key()) && !self.network.was_passed_on(sent.number());
        if performed.is_none() && answer.status < 500 && is_own() {
            self.network.note_served(address, node);
            if renewals == node.gateway().renewals() {
                let here = Performed::look(node, sent.key()).await;
                performed = here.map(Rc::new);
            }
        }
        let told = Told::by_http(&answer, sent, performed.as_deref());
        let told = told.unwrap_or_else(|why| {
            self.clients.borrow_mut().malformed(sent, &why);
            refused(sent)
        });
        if !matches!(told.what, What::Refused | What::Unknown) {
            let report = performed.as_deref().map(|performed| &performed.report);
            self.look_after(sent, &told, report).await;
            let topology = node.gateway().topology();
            if topology.map.shard_of_node(address).is_none() {
                self.clients.borrow_mut().answered_by_one_without_shard();
            }
        }
        Some(told)
    }

    /// Whether the node would do itself what the cluster's map has others do, or have it done by somebody who is as wrong: it has not heard
    /// of that map yet, and gives up what is written by another first one. Clients that meet such a node go elsewhere.
    fn is_astray(&self, node: &Rc<Node>, key: &Key) -> bool {
        let map_of = |node: &Node| node.gateway().topology().map.id();
        let id = map_of(node);
        let is_first = id == MapId::IMPLICIT || id.is_first() && Some(id) != self.first_map;
        let others = self.network.nodes().into_iter();
        let mut others = others.filter(|other| !Rc::ptr_eq(other, node));
        is_first && (is_own(node, key) || others.any(|other| map_of(&other) == id))
    }

    /// The node has performed the request: by now it has at least what the client had, and what it was shown.
    async fn look_after(&self, sent: &Sent, told: &Told, report: Option<&DigestReport>) {
        if let Some(Seen { domain, version }) = &told.seen {
            let mut watch = self.watch.borrow_mut();
            watch.learn(*domain, sent.key(), version);
        }
        if let Some(report) = report {
            self.clients.borrow_mut().served(sent, told, report);
        }
        if self.nobody_left_out && !told.lost.is_empty() {
            // All of a shard who knew that somebody was added to it may have lost their memory: they agree on what is lost without
            // those of whom they have not heard again.
            let map_of = |node: &Node| node.gateway().topology().map.id();
            let by = told.by.and_then(|by| self.network.node(by.address));
            let known = by.map(|by| map_of(&by));
            let nodes = self.network.nodes().into_iter();
            for node in nodes.filter(|node| known.is_none_or(|known| map_of(node) <= known)) {
                if let Some(report) = node.gateway().read_digest().await {
                    let mut clients = self.clients.borrow_mut();
                    clients.was_told_lost(sent, &told.lost, &report);
                }
            }
        }
    }

    fn answered(&self, sent: &Sent, told: Option<Told>) {
        let now_ms = self.now_ms();
        self.clients.borrow_mut().answered(sent, told, now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn refused(sent: &Sent) -> Told {
    let refused = Answer::of(Outcome::Refused(Refusal::Stopping));
    Told::by_node(refused, sent)
}

fn is_own(node: &Node, key: &Key) -> bool {
    let topology = node.gateway().topology();
    topology.is_own(topology.map.shard_of(key))
}
