//! Edges between actors: one type per edge, bounded and measured.
//!
//! Every message travels as a [`Mail`], which counts itself in its mailbox's [`Depth`] from the
//! moment it is sent until a handler opens it. An [`Edge`] is the sending end. It has one primitive
//! for each kind of edge, and a given edge uses only one of them, since mixing two reorders:
//!
//! - [`Edge::offer`] where work enters the node (HTTP, peers, datagrams): refused when full.
//! - [`Edge::tell`] between actors of the node: always accepted. What actors tell each other is a
//!   bounded multiple of what was offered, so bounding the entrances bounds the inside; the state
//!   actor at the entrance asks [`Edge::has_room`] before it takes on new work.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message, Recipient};
use tokio::sync::oneshot;

/// Where an answer goes. Dropped unanswered, it tells the asker that the actor is gone.
pub type Reply<T> = oneshot::Sender<T>;

/// How many messages wait in one actor's mailbox, and how many may.
#[derive(Debug, Clone)]
pub struct Depth {
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

impl Depth {
    /// A mailbox that refuses offers while `limit` messages wait.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            waiting: Arc::new(AtomicUsize::new(0)),
            limit,
        }
    }

    /// Messages that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.waiting() < self.limit
    }

    fn mail<M>(&self, message: M) -> Mail<M> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Mail {
            message,
            _counted: Counted(self.waiting.clone()),
        }
    }
}

/// A message on its way; counts in its mailbox's depth until opened or dropped.
#[derive(Debug)]
pub struct Mail<M> {
    message: M,
    _counted: Counted,
}

impl<M> Mail<M> {
    /// Takes the message out; it no longer counts as waiting.
    pub fn open(self) -> M {
        self.message
    }
}

impl<M: 'static> Message for Mail<M> {
    type Result = ();
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An offer that was not accepted, with the message given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<M> {
    /// The mailbox is at its limit; later there may be room.
    Full(M),
    /// The actor has stopped.
    Closed,
}

/// The sending end of one edge of the actor graph.
pub struct Edge<M: Send + 'static> {
    to: Recipient<Mail<M>>,
    depth: Depth,
}

impl<M: Send + 'static> Edge<M> {
    /// An edge to `actor`, whose mailbox is measured by `depth`.
    pub fn new<A>(actor: &Addr<A>, depth: &Depth) -> Self
    where
        A: Actor + Handler<Mail<M>>,
        A::Context: ToEnvelope<A, Mail<M>>,
    {
        Self {
            to: actor.clone().recipient(),
            depth: depth.clone(),
        }
    }

    /// Sends unless the mailbox is at its limit. For the entrances of the node.
    ///
    /// # Errors
    /// [`Refused::Full`] gives the message back; [`Refused::Closed`] when the actor has stopped.
    /// In both cases nothing was sent.
    pub fn offer(&self, message: M) -> Result<(), Refused<M>> {
        if !self.depth.has_room() {
            return Err(Refused::Full(message));
        }
        self.send(message)
    }

    /// Sends whatever waits there already. For edges inside the node. A stopped actor takes nothing,
    /// which happens only while the node ends.
    pub fn tell(&self, message: M) {
        if self.send(message).is_err() {
            log::debug!("a message to a stopped actor was dropped");
        }
    }

    /// Whether an offer would be accepted now.
    pub fn has_room(&self) -> bool {
        self.depth.has_room()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place: the limit is the depth's, checked by offer"
    )]
    fn send(&self, message: M) -> Result<(), Refused<M>> {
        if !self.to.connected() {
            return Err(Refused::Closed);
        }
        self.to.do_send(self.depth.mail(message));
        Ok(())
    }
}

impl<M: Send + 'static> Clone for Edge<M> {
    fn clone(&self) -> Self {
        Self {
            to: self.to.clone(),
            depth: self.depth.clone(),
        }
    }
}

impl<M: Send + 'static> fmt::Debug for Edge<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("message", &std::any::type_name::<M>())
            .field("waiting", &self.depth.waiting())
            .finish_non_exhaustive()
    }
}
