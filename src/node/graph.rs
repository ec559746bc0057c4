//! The graph of a replica's actors: who can send what to whom.

use std::rc::Rc;
use std::time::Duration;

use actix::{Addr, Handler};

use super::Node;
use crate::actors::broadcaster::Broadcaster;
use crate::actors::causality::{Causality, CausalityEdges};
use crate::actors::peer_link::PeerLinkEdges;
use crate::actors::store::Store;
use crate::actors::view::View;
use crate::config::Replication;
use crate::http::gateway::{Gateway, GatewayEdges};
use crate::messages::mailbox::{Depth, Edge, Mail};
use crate::metrics::Metrics;
use crate::transport::PeerTransport;

/// The mailboxes of one replica.
#[derive(Debug, Clone)]
pub(super) struct Mailboxes {
    pub(super) causality: Depth,
    pub(super) store: Depth,
    pub(super) broadcaster: Depth,
    pub(super) links: Depth,
    pub(super) view: Depth,
}

impl Mailboxes {
    pub(super) fn new(limit: usize, metrics: &Metrics) -> Self {
        let watched = |actor| {
            let depth = Depth::with_limit(limit);
            metrics.watch_mailbox(actor, &depth);
            depth
        };
        Self {
            causality: watched("causality"),
            store: watched("store"),
            broadcaster: watched("broadcaster"),
            links: watched("peer_link"),
            view: watched("view"),
        }
    }
}

/// Everybody's address, known before anybody runs: the edges of the graph start here.
pub(super) struct Graph {
    pub(super) causality: Addr<Causality>,
    pub(super) store: Addr<Store>,
    pub(super) broadcaster: Addr<Broadcaster>,
    pub(super) view: Addr<View>,
    pub(super) mail: Mailboxes,
}

impl Graph {
    pub(super) fn to_causality<M: Send + 'static>(&self) -> Edge<M>
    where
        Causality: Handler<Mail<M>>,
    {
        Edge::new(&self.causality, &self.mail.causality)
    }

    pub(super) fn to_store<M: Send + 'static>(&self) -> Edge<M>
    where
        Store: Handler<Mail<M>>,
    {
        Edge::new(&self.store, &self.mail.store)
    }

    pub(super) fn to_broadcaster<M: Send + 'static>(&self) -> Edge<M>
    where
        Broadcaster: Handler<Mail<M>>,
    {
        Edge::new(&self.broadcaster, &self.mail.broadcaster)
    }

    pub(super) fn to_view<M: Send + 'static>(&self) -> Edge<M>
    where
        View: Handler<Mail<M>>,
    {
        Edge::new(&self.view, &self.mail.view)
    }

    pub(super) fn of_gateway(&self) -> GatewayEdges {
        GatewayEdges {
            client: self.to_causality(),
            status: self.to_causality(),
            digest: self.to_causality(),
            dealt: self.to_causality(),
            hand_overs: self.to_causality(),
            join: self.to_causality(),
            heartbeat: self.to_broadcaster(),
            batch: self.to_broadcaster(),
            view: self.to_view(),
            add: self.to_view(),
            remove: self.to_view(),
            learned: self.to_view(),
            change_map: self.to_view(),
            await_map: self.to_view(),
        }
    }

    pub(super) fn of_causality(&self) -> CausalityEdges {
        CausalityEdges {
            apply_own: self.to_store(),
            apply: self.to_store(),
            read: self.to_store(),
            probe_delete: self.to_store(),
            difference: self.to_store(),
            summary: self.to_store(),
            collect: self.to_store(),
            set_aside: self.to_store(),
            keep_aside: self.to_store(),
            settle_aside: self.to_store(),
            apply_older: self.to_store(),
            freeze: self.to_store(),
            take_own: self.to_store(),
            hand_over: self.to_store(),
            drop_frozen: self.to_store(),
            publish: self.to_broadcaster(),
            beat: self.to_broadcaster(),
            fetch: self.to_broadcaster(),
            renewed: self.to_view(),
            make_room: self.to_view(),
        }
    }

    pub(super) fn of_links(&self) -> PeerLinkEdges {
        PeerLinkEdges {
            deliver: self.to_causality(),
            exchange: self.to_causality(),
            digest: self.to_causality(),
            advanced: self.to_causality(),
            joined: self.to_causality(),
            superseded: self.to_causality(),
            turned: self.to_view(),
        }
    }

    pub(super) fn of_node(
        &self,
        gateway: Gateway,
        transport: Rc<dyn PeerTransport>,
        replication: &Replication,
    ) -> Node {
        Node {
            gateway,
            transport,
            datagrams: self.to_view(),
            drain: self.to_causality(),
            flush: self.to_broadcaster(),
            leave: self.to_view(),
            halt: [
                self.to_causality(),
                self.to_store(),
                self.to_broadcaster(),
                self.to_view(),
            ],
            flush_at_most: Duration::from_millis(replication.flush_ms),
        }
    }
}
