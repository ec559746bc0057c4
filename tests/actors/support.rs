//! Probes in the place of neighbours, and a runtime whose time stands still unless all wait.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use actix::{Actor, Context, Handler, System};
use causet::messages::mailbox::{Depth, Edge, Mail};

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

/// What a probe was told, oldest first.
pub(crate) type Told<M> = Rc<RefCell<Vec<M>>>;

/// A neighbour that only notes what it is told.
struct Probe<M>(Told<M>);

impl<M: 'static> Actor for Probe<M> {
    type Context = Context<Self>;
}

impl<M: Send + 'static> Handler<Mail<M>> for Probe<M> {
    type Result = ();

    fn handle(&mut self, mail: Mail<M>, _: &mut Context<Self>) {
        self.0.borrow_mut().push(mail.open());
    }
}

/// An edge to a probe, and what it is told.
pub(crate) fn probe<M: Send + Unpin + 'static>() -> (Edge<M>, Told<M>) {
    let told = Told::default();
    let address = Probe(told.clone()).start();
    (Edge::new(&address, &Depth::with_limit(1_000)), told)
}
