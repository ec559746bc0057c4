//! A few replicas that know of each other.

use std::ops::{Index, IndexMut};
use std::time::Duration;

use super::replica::{Launch, Replica};
use super::waiting::{PATIENCE, eventually};
use super::wire::Wire;

/// Where peers reach a replica behind a wire, and where it listens itself.
const OUTER: [u8; 4] = [127, 0, 0, 2];
const INNER: [u8; 4] = [127, 0, 0, 3];

/// Replicas in the order of their start.
#[derive(Debug)]
pub(crate) struct Cluster {
    replicas: Vec<Replica>,
}

impl Cluster {
    /// `count` replicas that have all met, ready and with full views.
    pub(crate) fn of(count: usize) -> Self {
        Self::with_settings(count, &[])
    }

    /// The same with settings.
    pub(crate) fn with_settings(count: usize, settings: &[(&str, &str)]) -> Self {
        let launches = (0..count).map(|_| Launch::new().settings(settings));
        let cluster = Self::launch(launches.collect());
        cluster.await_whole();
        cluster.await_links();
        cluster
    }

    /// `count` replicas that reach each other only over wires that [`Wire::cut`] cuts, all at once.
    /// Clients reach them all the time.
    pub(crate) fn on_a_wire(count: usize) -> (Self, Wire) {
        let launches: Vec<Launch> = (0..count)
            .map(|_| Launch::new().at(OUTER, Some(INNER)))
            .collect();
        let ports = launches.iter().map(|launch| launch.address().port());
        let wire = Wire::between(OUTER.into(), INNER.into(), ports);
        let cluster = Self::launch(launches);
        cluster.await_whole();
        cluster.await_links();
        (cluster, wire)
    }

    /// Starts them all, without waiting, each with all in its `VIEW`.
    pub(crate) fn launch(launches: Vec<Launch>) -> Self {
        let view: Vec<String> = launches.iter().map(|l| l.address().to_string()).collect();
        let view = view.join(",");
        let spawn = |launch: Launch| launch.view(view.clone()).spawn();
        Self {
            replicas: launches.into_iter().map(spawn).collect(),
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Replica> {
        self.replicas.iter()
    }

    /// The addresses of all, as a view shows them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names_of(&(0..self.replicas.len()).collect::<Vec<_>>())
    }

    /// The addresses of some, as a view shows them.
    pub(crate) fn names_of(&self, members: &[usize]) -> Vec<String> {
        let mut addresses: Vec<_> = members.iter().map(|&i| self[i].address()).collect();
        addresses.sort_unstable();
        addresses.iter().map(ToString::to_string).collect()
    }

    /// Waits until all are ready and every view is full.
    #[track_caller]
    pub(crate) fn await_whole(&self) {
        self.iter().for_each(Replica::await_ready);
        let all: Vec<usize> = (0..self.replicas.len()).collect();
        self.await_views(PATIENCE, &all, &all);
    }

    /// Waits until each has been answered by all the others. At the start a view is full before anybody was met; what is
    /// decided then about one that was not means no life of it.
    #[track_caller]
    fn await_links(&self) {
        let others = self.replicas.len() - 1;
        eventually(PATIENCE, "every link is steady", || {
            let steady = |replica: &Replica| {
                let metrics = replica.fetch("/metrics");
                let links = metrics.text().lines();
                let links = links.filter(|line| line.starts_with("causet_link_state{"));
                links.filter(|link| link.ends_with(" 2")).count()
            };
            let links: Vec<usize> = self.iter().map(steady).collect();
            if links.iter().all(|steady| *steady == others) {
                Ok(())
            } else {
                Err(links)
            }
        });
    }

    /// Waits until the replicas `of` see exactly `members`.
    #[track_caller]
    pub(crate) fn await_views(&self, within: Duration, of: &[usize], members: &[usize]) {
        let wanted = self.names_of(members);
        let what = format!("replicas {of:?} see exactly {wanted:?}");
        eventually(within, &what, || {
            let views: Vec<_> = of.iter().map(|&i| self[i].view()).collect();
            if views.iter().all(|view| *view == wanted) {
                Ok(())
            } else {
                Err(views)
            }
        });
    }

    /// Waits until all that keep one shard, which without shards is everybody, hold the same: nothing is under way any more.
    #[track_caller]
    pub(crate) fn await_agreement(&self, within: Duration) {
        eventually(within, "all replicas of a shard hold the same", || {
            let state = |replica: &Replica| {
                let domain = replica.digest()["domain"].to_string();
                (domain, replica.state())
            };
            let mut states: Vec<_> = self.iter().map(state).collect();
            states.sort_by(|a, b| a.0.cmp(&b.0));
            let mut pairs = states.windows(2);
            if pairs.all(|pair| pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1) {
                Ok(())
            } else {
                Err(states)
            }
        });
    }
}

impl Index<usize> for Cluster {
    type Output = Replica;

    fn index(&self, index: usize) -> &Replica {
        &self.replicas[index]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, index: usize) -> &mut Replica {
        &mut self.replicas[index]
    }
}
