//! The only wiring: builds the actor graph, owns addresses, capacities, start and stop order.
//!
//! [`Node::start`] builds one replica over any [`PeerTransport`], so that a simulation runs the very
//! graph that [`serve`] puts behind HTTP and UDP.

mod graph;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use actix_web::{App, HttpServer};
use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::net::UdpSocket;
use tokio::sync::{oneshot, watch};

use self::graph::{Graph, Mailboxes};
use crate::actors::broadcaster::{Broadcaster, BroadcasterParts, LinkEdges};
use crate::actors::causality::{Causality, CausalityParts, CausalityRules};
use crate::actors::peer_link::{PeerLink, PeerLinkParts, PeerLinkRules};
use crate::actors::store::{Store, StoreParts};
use crate::actors::view::{View, ViewParts};
use crate::config::{Replication, Settings};
use crate::core::causal_buffer::BufferLimits;
use crate::core::causality::EndRules;
use crate::core::ended::EndedLimits;
use crate::core::id::{Address, Incarnation, Origin};
use crate::core::join::JoinLimits;
use crate::core::link::LinkRules;
use crate::core::outbox::OutboxLimits;
use crate::core::sharding::routing::Topology;
use crate::http;
use crate::http::forward::Forwarder;
use crate::http::gateway::{Gateway, GatewayParts};
use crate::messages::causality::Drain;
use crate::messages::lifecycle::Halt;
use crate::messages::mailbox::{Depth, Edge, Reply};
use crate::messages::peers::Flush;
use crate::messages::view::{Leave, SwimDatagram};
use crate::metrics::Metrics;
use crate::time::{SystemClock, Uptime, WallClock};
use crate::transport::PeerTransport;
use crate::transport::http_udp::HttpUdp;

/// Idle connections of clients are kept for this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long answers that are being written get when the replica stops.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// The longest datagram that is read; SWIM's are at most 1,400 bytes.
const DATAGRAM_MAX_BYTES: usize = 2_048;

/// Framing around the writes of a batch or page, generously.
const FRAMING_BYTES: usize = 1 << 20;

/// The world around one replica.
#[derive(Debug)]
pub struct World {
    /// The gate to the network.
    pub transport: Rc<dyn PeerTransport>,
    /// Wall time.
    pub wall: Arc<dyn WallClock>,
    /// All randomness of the replica comes from this.
    pub seed: u64,
}

/// One running replica: its actors, and the ways in.
#[derive(Debug)]
pub struct Node {
    gateway: Gateway,
    transport: Rc<dyn PeerTransport>,
    datagrams: Edge<SwimDatagram>,
    drain: Edge<Drain>,
    flush: Edge<Flush>,
    leave: Edge<Leave>,
    halt: [Edge<Halt>; 4],
    flush_at_most: Duration,
}

impl Node {
    /// Starts the actors of one replica on the current arbiter; it announces itself at once.
    /// They run until they are [halted](Node::halt) or the system ends.
    ///
    /// # Panics
    /// If the settings ask for more shards than there are nodes for; validated ones do not.
    pub fn start(settings: &Settings, world: World) -> Self {
        let metrics = Metrics::new();
        let uptime = Uptime::starting();
        let mut rng = ChaCha8Rng::seed_from_u64(world.seed);
        let origin = Origin {
            address: settings.address,
            incarnation: Incarnation::starting(world.wall.now_ms(), rng.next_u64()),
        };
        let map = settings.shard_map();
        let map = map.expect("settings are validated before a node starts");
        let (topology, routes) = watch::channel(Arc::new(Topology {
            own: settings.address,
            map: map.clone(),
            view: settings.view.clone(),
            silent: Vec::new(),
        }));
        // Contexts first, so that every actor can be given edges to every other.
        let causality = Context::<Causality>::new();
        let store = Context::<Store>::new();
        let broadcaster = Context::<Broadcaster>::new();
        let view = Context::<View>::new();
        let graph = Graph {
            causality: causality.address(),
            store: store.address(),
            broadcaster: broadcaster.address(),
            view: view.address(),
            mail: Mailboxes::new(settings.limits.mailbox_max, &metrics),
        };

        let limits = settings.limits;
        let peer_max = peer_message_max(settings);
        let (edges, counted) = (graph.of_gateway(), metrics.clone());
        let gateway = Gateway::new(GatewayParts {
            edges,
            routes,
            limits,
            peer_body_max: peer_max,
            forward_timeout_ms: settings.replication.call_timeout_ms,
            metrics: counted,
            uptime,
        });

        store.run(Store::new(StoreParts {
            joins: join_limits(&settings.replication),
            bytes_max: limits.store_max_bytes,
            tombstones_max: limits.tombstones_max,
            confirm: graph.to_causality(),
            filled: graph.to_causality(),
            crowded: graph.to_causality(),
            reissue: graph.to_causality(),
            metrics: metrics.clone(),
            uptime,
        }));
        let links = PeerLinkParts {
            rules: link_rules(&settings.replication),
            edges: graph.of_links(),
            transport: world.transport.clone(),
            metrics: metrics.clone(),
            uptime,
        };
        broadcaster.run(Broadcaster::new(BroadcasterParts {
            start_link: link_starter(links, graph.mail.links.clone()),
            heard: graph.to_view(),
            joined: graph.to_causality(),
            metrics: metrics.clone(),
        }));
        view.run(View::new(ViewParts {
            address: settings.address,
            incarnation: origin.incarnation,
            view: settings.view.clone(),
            map: map.clone(),
            topology,
            settings: settings.membership,
            rng: ChaCha8Rng::from_rng(&mut rng),
            uptime,
            wall_clock: world.wall.clone(),
            transport: world.transport.clone(),
            to_broadcaster: graph.to_broadcaster(),
            to_causality: graph.to_causality(),
            datagrams_refused: metrics.peer_messages_malformed.with_label_values(&["swim"]),
            members_forgotten: metrics.members_forgotten.clone(),
        }));
        causality.run(Causality::new(CausalityParts {
            origin,
            map,
            rules: causality_rules(settings),
            edges: graph.of_causality(),
            metrics,
            uptime,
            wall: world.wall,
            rng: ChaCha8Rng::from_rng(&mut rng),
        }));
        graph.of_node(gateway, world.transport, &settings.replication)
    }

    /// Ends all actors at once, as a crash would.
    pub fn halt(&self) {
        for actor in &self.halt {
            actor.tell(Halt);
        }
    }

    /// The entrance for clients and peers.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The entrance for requests that other nodes may have to answer, in the node's own thread.
    pub fn forwarder(&self) -> Forwarder {
        Forwarder::new(self.gateway.clone(), self.transport.clone())
    }

    /// A SWIM datagram has arrived. Where too much waits it is dropped: datagrams may get lost.
    pub fn datagram(&self, bytes: Bytes) {
        if self.datagrams.offer(SwimDatagram { bytes }).is_err() {
            log::debug!("a datagram was dropped");
        }
    }

    /// Stops in order: no client is answered any more, parked requests are; outboxes are flushed,
    /// for at most the time set; peers are told, so that they drop this node from their views.
    pub async fn stop(&self) {
        log::info!("draining");
        answered(&self.drain, |reply| Drain { reply }).await;
        let flushed = answered(&self.flush, |reply| Flush { reply });
        if tokio::time::timeout(self.flush_at_most, flushed)
            .await
            .is_err()
        {
            log::warn!(
                "not all writes reached all peers in time; what another one has, joins will spread"
            );
        }
        answered(&self.leave, |reply| Leave { reply }).await;
        log::info!("left");
    }
}

async fn answered<M: Send + 'static>(edge: &Edge<M>, message: impl FnOnce(Reply<()>) -> M) {
    let (reply, answer) = oneshot::channel();
    edge.tell(message(reply));
    // An actor that is gone has nothing left to do.
    let _ = answer.await;
}

fn link_starter(parts: PeerLinkParts, depth: Depth) -> Rc<dyn Fn(Address) -> LinkEdges> {
    Rc::new(move |peer| {
        let link = PeerLink::new(peer, parts.clone()).start();
        LinkEdges {
            heartbeat: Edge::new(&link, &depth),
            publish: Edge::new(&link, &depth),
            fetch: Edge::new(&link, &depth),
            take_heartbeat: Edge::new(&link, &depth),
            take_batch: Edge::new(&link, &depth),
            mark: Edge::new(&link, &depth),
            flush: Edge::new(&link, &depth),
        }
    })
}

fn link_rules(replication: &Replication) -> PeerLinkRules {
    PeerLinkRules {
        link: LinkRules {
            break_ms: replication.link_break_ms,
            outage_long_ms: replication.outage_long_ms,
            settle_ms: replication.settle_ms,
            settle_at_most_ms: replication.settle_at_most_ms,
        },
        outbox: OutboxLimits {
            writes: replication.outbox_max_writes,
            bytes: replication.outbox_max_bytes,
            batch_writes: replication.batch_max_writes,
            batch_bytes: replication.batch_max_bytes,
        },
        call_timeout: Duration::from_millis(replication.call_timeout_ms),
    }
}

fn join_limits(replication: &Replication) -> JoinLimits {
    JoinLimits {
        page_bytes: replication.batch_max_bytes,
        sessions: replication.join_sessions_max,
        session_ms: replication.join_session_ms,
    }
}

/// Final counters of ended lives that are remembered.
const FINALS_MAX: usize = 4_096;
/// For how long: a week.
const FINALS_KEEP_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// How long a replica has had everything up to a stamp before it says so.
const FRONTIER_MARGIN_MS: u64 = 2_000;

fn causality_rules(settings: &Settings) -> CausalityRules {
    let (replication, limits) = (&settings.replication, &settings.limits);
    CausalityRules {
        buffer: BufferLimits {
            writes: replication.buffer_max_writes,
            bytes: replication.buffer_max_bytes,
        },
        parked_max: limits.parked_max,
        wait_max_ms: limits.wait_max_ms,
        wait_default_ms: limits.wait_default_ms,
        max_drift_ms: limits.max_drift_ms,
        heartbeat_ms: replication.heartbeat_ms,
        bootstrap_ms: replication.bootstrap_ms,
        ends: EndRules {
            ended: EndedLimits {
                finals: FINALS_MAX,
                keep_ms: FINALS_KEEP_MS,
            },
            margin_ms: FRONTIER_MARGIN_MS,
        },
    }
}

/// A batch or a page may hold one write that is as large as a client's body may be, with metadata
/// that is as large again.
fn peer_message_max(settings: &Settings) -> usize {
    settings.replication.batch_max_bytes + 2 * settings.limits.body_max_bytes + FRAMING_BYTES
}

/// A replica that could not start, or broke down.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or the interface is none of this machine's. Nothing was started.
    #[error("cannot listen on {address} ({protocol}): {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// `"TCP"` or `"UDP"`.
        protocol: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// The HTTP server broke down.
    #[error("the HTTP server failed: {0}")]
    Http(std::io::Error),
}

/// Runs one replica in the current `actix_rt::System` until `stop` resolves, then stops it in order.
///
/// # Errors
/// [`ServeError`] when it cannot listen, or the server breaks down.
pub async fn serve(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let listen = SocketAddr::new(settings.listen, settings.address.port());
    let failed = |protocol| {
        move |error| ServeError::Listen {
            address: listen,
            protocol,
            error,
        }
    };
    let listener = TcpListener::bind(listen).map_err(failed("TCP"))?;
    give_up_on_readers_that_stall(&listener, settings.limits.client_timeout_ms)
        .map_err(failed("TCP"))?;
    let (socket, sender) = datagram_socket(listen).map_err(failed("UDP"))?;
    let peer_max = peer_message_max(&settings);
    let transport = HttpUdp::new(sender, peer_max);
    let world = World {
        transport: Rc::new(transport),
        wall: Arc::new(SystemClock),
        seed: rand::random(),
    };
    let limits = settings.limits;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let node = Rc::new(Node::start(&settings, world));
    let gateway = node.gateway().clone();
    let server = HttpServer::new(move || {
        // Each worker has connections of its own to the other nodes.
        let transport = Rc::new(HttpUdp::without_datagrams(peer_max));
        let forwarder = Forwarder::new(gateway.clone(), transport);
        App::new().configure(move |config| http::configure(config, forwarder))
    })
    .workers(workers)
    .max_connections((limits.connections_max / workers).max(1))
    .client_request_timeout(Duration::from_millis(limits.client_timeout_ms))
    .keep_alive(KEEP_ALIVE)
    // A client that has gone frees its place at once, parked or not.
    .h1_allow_half_closed(false)
    .disable_signals()
    .listen(listener)
    .map_err(failed("TCP"))?
    .run();
    log::info!("{} listens on {listen}", settings.address);
    let handle = server.handle();
    let mut server = actix_rt::spawn(server);
    let receiver = actix_rt::spawn(receive_datagrams(socket, node.clone()));
    tokio::select! {
        biased;
        ended = &mut server => {
            let ended = ended.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            ended.map_err(ServeError::Http)?;
        }
        () = stop => {}
    }
    node.stop().await;
    receiver.abort();
    // Idle connections would hold up a graceful end; what is being written gets this long.
    let _ = tokio::time::timeout(LAST_ANSWERS, handle.stop(true)).await;
    Ok(())
}

/// A client that does not read its answer would keep it in memory for as long as it likes: the HTTP server
/// times requests, not answers. Every connection that is accepted inherits this.
fn give_up_on_readers_that_stall(listener: &TcpListener, after_ms: u64) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let after = Duration::from_millis(after_ms);
        socket2::SockRef::from(listener).set_tcp_user_timeout(Some(after))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (listener, after_ms);
    Ok(())
}

/// The receiving and the sending end of one socket. The sending end is not tokio's, which would take a
/// fresh socket for one that cannot be written to yet, and lose the first announcements.
fn datagram_socket(listen: SocketAddr) -> std::io::Result<(UdpSocket, std::net::UdpSocket)> {
    let sender = std::net::UdpSocket::bind(listen)?;
    sender.set_nonblocking(true)?;
    let receiver = UdpSocket::from_std(sender.try_clone()?)?;
    Ok((receiver, sender))
}

async fn receive_datagrams(socket: UdpSocket, node: Rc<Node>) {
    let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, _)) => node.datagram(Bytes::copy_from_slice(&buffer[..length])),
            // The kernel reports here that an earlier datagram was not taken by its receiver.
            Err(error) => log::debug!("a datagram was lost: {error}"),
        }
    }
}
