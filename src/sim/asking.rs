//! One request: on its way to a node, answered there, and on its way back.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::clients::{Clients, Sent};
use super::network::Network;
use super::plan::Request;
use super::watch::Watch;
use crate::core::id::Address;
use crate::http::gateway::Gateway;
use crate::messages::causality::{Answer, Outcome, Refusal};

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) began: Instant,
    pub(super) network: Network,
    pub(super) clients: Rc<RefCell<Clients>>,
    pub(super) watch: Rc<RefCell<Watch>>,
    /// Nobody is left out of what all agree on in this run: what somebody has is not lost for anybody.
    pub(super) nobody_left_out: bool,
}

impl Asking {
    /// Asks the node at `address`, and writes down what came of it.
    pub(super) async fn ask(self, address: Address, request: Request) {
        let sent = self.clients.borrow_mut().send(&request, self.now_ms());
        self.network.until_resumed(address).await;
        let Some(node) = self.network.node(address) else {
            // Connection refused: nothing has happened.
            let refused = Answer::of(Outcome::Refused(Refusal::Stopping));
            return self.answered(&sent, Some(refused));
        };
        let answer = sent.ask(node.gateway()).await;
        if let Some(answer) = answer.as_ref().filter(|answer| is_performed(answer)) {
            self.network.note_served(address, &node);
            self.look_after(&sent, answer, node.gateway()).await;
        }
        self.network.until_resumed(address).await;
        self.answered(&sent, answer);
    }

    /// The node has performed the request: by now it has at least what the client had, and what it was shown.
    async fn look_after(&self, sent: &Sent, answer: &Answer, gateway: &Gateway) {
        if let Some(seen) = answer.outcome.seen() {
            self.watch.borrow_mut().learn(sent.key(), &seen.version);
        }
        if let Some(report) = gateway.read_digest().await {
            self.clients.borrow_mut().served(sent, answer, &report);
        }
        let lost = sent.told_lost(answer);
        if self.nobody_left_out && !lost.is_empty() {
            for node in self.network.nodes() {
                if let Some(report) = node.gateway().read_digest().await {
                    let mut clients = self.clients.borrow_mut();
                    clients.was_told_lost(sent, &lost, &report);
                }
            }
        }
    }

    fn answered(&self, sent: &Sent, answer: Option<Answer>) {
        let now_ms = self.now_ms();
        self.clients.borrow_mut().answered(sent, answer, now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn is_performed(answer: &Answer) -> bool {
    !matches!(answer.outcome, Outcome::Refused(_))
}
