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
use crate::messages::causality::{Outcome, Refusal};

/// What all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) began: Instant,
    pub(super) network: Network,
    pub(super) clients: Rc<RefCell<Clients>>,
    pub(super) watch: Rc<RefCell<Watch>>,
}

impl Asking {
    /// Asks the node at `address`, and writes down what came of it.
    pub(super) async fn ask(self, address: Address, request: Request) {
        let sent = self.clients.borrow_mut().send(&request, self.now_ms());
        self.network.until_resumed(address).await;
        let Some(node) = self.network.node(address) else {
            // Connection refused: nothing has happened.
            let refused = Outcome::Refused(Refusal::Stopping);
            return self.answered(&sent, Some(refused));
        };
        let outcome = sent.ask(node.gateway()).await;
        if let Some(outcome) = outcome.as_ref().filter(|outcome| is_performed(outcome)) {
            self.network.note_served(address, &node);
            self.look_after(&sent, outcome, node.gateway()).await;
        }
        self.network.until_resumed(address).await;
        self.answered(&sent, outcome);
    }

    /// The node has performed the request: by now it has at least what the client had, and what it was shown.
    async fn look_after(&self, sent: &Sent, outcome: &Outcome, gateway: &Gateway) {
        if let Some(seen) = outcome.seen() {
            self.watch.borrow_mut().learn(sent.key(), &seen.version);
        }
        if let Some(report) = gateway.read_digest().await {
            self.clients.borrow_mut().served(sent, outcome, &report);
        }
    }

    fn answered(&self, sent: &Sent, outcome: Option<Outcome>) {
        let now_ms = self.now_ms();
        self.clients.borrow_mut().answered(sent, outcome, now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn is_performed(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Refused(_))
}
