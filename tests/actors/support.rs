//! Probes in the place of neighbours, and a runtime whose time stands still unless all wait.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, System};
use causet::messages::mailbox::{Depth, Edge, Mail, Reply};
use causet::time::WallClock;
use tokio::sync::oneshot;

/// Runs `test` with actors in virtual time.
pub(crate) fn in_virtual_time(test: impl Future<Output = ()>) {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    });
    system.block_on(test);
}

/// Lets virtual time pass. It moves only while nobody has anything to do, so afterwards every
/// message sent before has been handled.
pub(crate) async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// What a probe was told, oldest first.
pub(crate) type Told<M> = Rc<RefCell<Vec<M>>>;

/// A neighbour that only notes what it is told; it may be told messages of several types, of which
/// `E` is the sum.
pub(crate) struct Probe<E>(Told<E>);

impl<E: Unpin + 'static> Actor for Probe<E> {
    type Context = Context<Self>;
}

impl<E: From<M> + Unpin + 'static, M: Send + 'static> Handler<Mail<M>> for Probe<E> {
    type Result = ();

    fn handle(&mut self, mail: Mail<M>, _: &mut Context<Self>) {
        self.0.borrow_mut().push(mail.open().into());
    }
}

/// An edge to a probe, and what it is told.
pub(crate) fn probe<M: Send + Unpin + 'static>() -> (Edge<M>, Told<M>) {
    let (address, told) = probe_of_many();
    (address.edge(), told)
}

/// A probe for messages of several types. It lives as long as its edges; while it does, what it is
/// told is shared with it.
pub(crate) fn probe_of_many<E: Unpin + 'static>() -> (Mailbox<Probe<E>>, Told<E>) {
    let told = Told::default();
    (Mailbox::of(Probe(told.clone()).start()), told)
}

/// An actor and the depth of its mailbox.
pub(crate) struct Mailbox<A: Actor> {
    actor: Addr<A>,
    pub(crate) depth: Depth,
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    pub(crate) fn of(actor: Addr<A>) -> Self {
        let depth = Depth::with_limit(20_000);
        Self { actor, depth }
    }

    pub(crate) fn edge<M: Send + 'static>(&self) -> Edge<M>
    where
        A: Handler<Mail<M>>,
    {
        Edge::new(&self.actor, &self.depth)
    }

    pub(crate) fn tell<M: Send + 'static>(&self, message: M)
    where
        A: Handler<Mail<M>>,
    {
        self.edge().tell(message);
    }

    /// Sends a message that asks for something; the answer is the caller's to await.
    pub(crate) fn request<M: Send + 'static, T>(
        &self,
        message: impl FnOnce(Reply<T>) -> M,
    ) -> oneshot::Receiver<T>
    where
        A: Handler<Mail<M>>,
    {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply));
        answer
    }

    /// Sends a message and waits for its answer.
    pub(crate) async fn ask<M: Send + 'static, T>(&self, message: impl FnOnce(Reply<T>) -> M) -> T
    where
        A: Handler<Mail<M>>,
    {
        self.request(message).await.expect("the actor answers")
    }
}

/// The answer, if it has come.
pub(crate) fn answered<T>(answer: &mut oneshot::Receiver<T>) -> Option<T> {
    answer.try_recv().ok()
}

/// Derives the sum of the messages that a probe is told.
macro_rules! sum_of_messages {
    ($(#[$meta:meta])* $name:ident: $($variant:ident),+ $(,)?) => {
        $(#[$meta])*
        #[derive(Debug)]
        #[allow(dead_code, reason = "what a test does not look into is shown when it fails")]
        #[allow(clippy::large_enum_variant, reason = "a probe is told few")]
        enum $name {
            $($variant($variant),)+
        }

        $(impl From<$variant> for $name {
            fn from(message: $variant) -> Self {
                Self::$variant(message)
            }
        })+
    };
}
pub(crate) use sum_of_messages;

/// A wall clock that stands where it was set.
#[derive(Debug, Default)]
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl WallClock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
