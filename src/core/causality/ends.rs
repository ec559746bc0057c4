//! How lives end, how a replica is born again, and what may be dropped when (design §5, ADR 11).

use std::sync::Arc;

use super::{CausalState, Origin};
use crate::core::Millis;
use crate::core::agreement::Holder;
use crate::core::aside::Present;
use crate::core::clock::{Clock, Clocks};
use crate::core::coverage::Coverage;
use crate::core::ended::Settlement;
use crate::core::ended::{Ended, EndedLimits};
use crate::core::id::{Address, Incarnation};
use crate::core::roster::Lives;
use crate::core::stamp::HlcTime;
use crate::core::wire::{Collected, Digest, JoinRest};
use crate::core::write::{Content, End, Version, Write};

/// Bounds of what is remembered and of what is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndRules {
    /// Memory of ended lives.
    pub ended: EndedLimits,
    /// How long a replica must have had everything up to a stamp before it says so, in milliseconds. Restarted in isolation, with
    /// a clock set back by less, it stamps its writes above all that the others can have collected.
    pub margin_ms: u64,
}

impl CausalState {
    /// Takes note that a node lives, or has lived, in this incarnation. What earlier ones have
    /// pushed is sealed off: only joins bring it from now on, or the last counter of an ended life
    /// could never be agreed on.
    pub fn learn_life(&mut self, seen: Origin) {
        if self.lives.learn(seen) {
            self.buffer.seal(seen.address, seen.incarnation);
        }
    }

    /// Takes over from the view who is a configured member, and which lives are forgotten. What those have pushed
    /// is sealed off.
    pub fn set_members(&mut self, members: &[Address], forgotten: &[(Address, Incarnation)]) {
        self.lives
            .set_members(members.iter().copied(), forgotten.iter().copied());
        for (address, life) in forgotten {
            self.buffer.seal(*address, life.next());
        }
        self.reports.keep_members(&self.lives.roster());
    }

    /// Takes over from the view which other nodes there are, that keep other shards or none.
    pub fn set_outside(&mut self, nodes: Vec<Address>) {
        self.lives.set_outside(nodes);
    }

    /// Takes note of a peer's digest. False if it is not to be heeded: it is of another domain, or of an ended life of the peer.
    pub fn heed(&mut self, digest: &Digest) -> bool {
        self.note_hand_overs(digest);
        self.learn_life(digest.from);
        for entry in digest.roster.iter().filter(|entry| !entry.forgotten) {
            if entry.life > Incarnation::UNKNOWN {
                self.learn_life(Origin {
                    address: entry.address,
                    incarnation: entry.life,
                });
            }
        }
        let heeded = digest.domain == self.domain && self.successor(digest.from).is_none();
        if heeded {
            self.reports.take(digest);
            self.given_up.merge(&digest.given_up);
            self.promises
                .give(digest.from, &digest.covered, digest.promise, &self.covered);
        }
        heeded
    }

    /// A life later than `seen` that its node must take to be heeded again, if its present one is over.
    pub fn successor(&self, seen: Origin) -> Option<Incarnation> {
        let below = self.covered.floor(&seen.address);
        let retired = (seen.incarnation < below).then_some(below);
        let told = self.outlived.max(seen.incarnation);
        let told = (seen == self.origin && told > seen.incarnation).then_some(told);
        self.lives.successor(&seen).max(retired).max(told)
    }

    /// A peer says that this replica must take a life later than its own, above this one. Nobody need ever have lived that: so it
    /// is not told to others as a life of this node.
    pub fn be_outlived(&mut self, by: Incarnation) {
        self.outlived = self.outlived.max(by);
    }

    /// Ends the lives that all members agree on. The markers are to be pushed, in this order; no store needs them.
    pub fn end_lives(&mut self, wall_ms: u64) -> Vec<Write> {
        if self.inherited.unheard().is_some() {
            return Vec::new();
        }
        let roster = self.lives.roster();
        // Then nobody can hold any more of an ended life than all agree on.
        let gone = !self.has_aside()
            && !self.lives.forgets_anybody()
            && self.reports.nobody_has_aside(self.origin.address, &roster);
        let ended = self
            .reports
            .ended(self.origin.address, &roster, &self.covered);
        let mut markers = Vec::new();
        for (address, below) in ended {
            let end = End {
                address,
                below,
                gone,
            };
            let mut finals = self.covered.clock().clone();
            finals.retain(|life| end.ends(life));
            let outside = roster.iter().any(|e| e.address == address && e.outside);
            if finals.is_empty() && outside {
                self.promises.drop_before(address, below);
            } else if finals.is_empty() {
                self.end(None, end, &finals);
            } else {
                markers.push(self.mark(end, &finals, wall_ms));
            }
        }
        self.resettle();
        markers
    }

    fn mark(&mut self, end: End, finals: &Clock, wall_ms: u64) -> Write {
        let mut deps = finals.clone();
        if let Some(earlier) = self.ended.marker(&end.address)
            && !self.covered.has_ended(&earlier.origin)
        {
            deps.raise(earlier.origin, earlier.counter);
        }
        let version = Version {
            dot: self.next_dot(),
            time: self.time.tick(HlcTime::ZERO, wall_ms),
            first: None,
            deps: Arc::new(Clocks::from_iter([(self.domain, deps)])),
            content: Content::Ended(Box::new(end)),
        };
        let marker = Write::marker(version);
        self.cover(&marker);
        self.end(Some(&marker), end, finals);
        marker
    }

    /// Takes the markers out of what was just applied, and acts on them. True if there was one.
    pub(super) fn heed_markers(&mut self, applied: &mut Vec<Write>) -> bool {
        let before = applied.len();
        let domain = self.domain;
        let mut markers = Vec::new();
        applied.retain(|write| match &write.version.content {
            Content::Ended(end) => {
                markers.push((write.clone(), **end));
                false
            }
            Content::Value(_) | Content::Tombstone => true,
        });
        for (marker, end) in markers {
            let finals = marker.version.deps.get(&domain).cloned();
            let mut finals = finals.unwrap_or_default();
            finals.retain(|life| end.ends(life));
            self.end(Some(&marker), end, &finals);
        }
        self.resettle();
        applied.len() < before
    }

    fn end(&mut self, marker: Option<&Write>, end: End, finals: &Clock) {
        let End {
            address,
            below,
            gone,
        } = end;
        if self.covered.floor(&address) >= below {
            return;
        }
        if let Some(marker) = marker {
            let at_ms = marker.version.time.ms;
            self.ended.note(address, finals, marker.dot(), at_ms, gone);
        }
        let forgotten = Origin {
            address,
            incarnation: self.lives.forgotten(&address),
        };
        let mark = forgotten.incarnation;
        if mark > Incarnation::UNKNOWN && mark.next() == below {
            // It may be back with writes of that life; that none was agreed on must be told from not knowing any more.
            self.ended.note_none(forgotten, self.time.ms);
        }
        self.covered.end(address, below);
    }

    /// To be called after floors were raised.
    pub(super) fn resettle(&mut self) {
        let Self {
            covered,
            promises,
            lowest_times,
            ..
        } = self;
        let closed = self.inherited.closed();
        if self.settlement.has_floors_of(covered) && self.settlement.closed() == closed {
            return;
        }
        promises.prune(covered);
        lowest_times.retain(|origin, _| !covered.has_ended(origin));
        self.settle_anew();
    }

    /// Merges what the answerer of a join covers, and what it knows of ends.
    pub(super) fn merge_ends(&mut self, covered: &Coverage, rest: JoinRest) {
        let floors = self.covered.floors_alone();
        let higher = |address: &Address| covered.floor(address) > floors.floor(address);
        self.ended.merge(&rest.ended, higher);
        self.covered.merge(covered);
        let own = self.origin;
        let others = rest
            .promises
            .into_iter()
            .filter(|(origin, _)| *origin != own);
        self.promises.merge(&others.collect::<Vec<_>>());
        self.promises.adopt(&self.covered);
        // The answerer may not know yet which of these are over.
        self.promises.prune(&self.covered);
        self.newest_tombstone = self.newest_tombstone.max(rest.newest_tombstone);
        self.whole = self.whole.max(rest.whole);
        if rest.collected.as_ref().map(|c| c.time) > self.collected.as_ref().map(|c| c.time) {
            self.collected = rest.collected;
        }
        self.resettle();
    }

    /// The promises adopted here, and this replica's own.
    fn promised(&self) -> Vec<(Origin, HlcTime)> {
        let mut promises = self.promises.adopted();
        promises.push((self.origin, self.time));
        promises
    }

    /// What goes with the winners of a join besides what is covered.
    pub fn rest(&self) -> JoinRest {
        JoinRest {
            ended: self.ended.clone(),
            promises: self.promised(),
            collected: self.collected.clone(),
            newest_tombstone: self.newest_tombstone,
            whole: self.whole,
            inherited: self.inherited.inherited(),
        }
    }

    /// This replica has every write of every life that goes on, up to this stamp, and has had it for the margin. Never above the wall
    /// clock: restarted without memory of what it has heard, it stamps its writes by that. Zero while it has
    /// versions set aside: a tombstone may be to end one of them, and must not go before that was looked at.
    pub fn frontier(&mut self, now: Millis, wall_ms: u64, rules: &EndRules) -> HlcTime {
        self.promises.adopt(&self.covered);
        let wall = HlcTime {
            ms: wall_ms,
            count: u32::MAX,
        };
        let reached = self.reached().min(self.inherited.frontier());
        if !self.lives.is_alone() {
            // Who has just started knows of nobody, and may have nothing of what others have.
            self.whole = self.whole.max(reached);
        }
        let reached = reached.min(wall);
        let said = self.frontier.hold(now, reached, rules.margin_ms);
        if self.has_aside() {
            HlcTime::ZERO
        } else {
            said
        }
    }

    /// Up to where it has every write of every life that goes on.
    pub(super) fn reached(&self) -> HlcTime {
        let roster = self.lives.roster();
        let others = self.promises.frontier(self.origin, &roster, &self.covered);
        others.map_or(self.time, |others| others.min(self.time))
    }

    /// Up to where tombstones are gone, or must go now.
    pub fn collected(&self) -> HlcTime {
        self.collected.as_ref().map_or(HlcTime::ZERO, |c| c.time)
    }

    /// Raises the stamp up to which tombstones must go, as far as all members agree on it and there can be any. `frontier` is this
    /// replica's, as its digests say it.
    ///
    /// # Errors
    /// Who holds the stamp back, if there are tombstones that it is too small for and it is further behind than it always is, being said after
    /// the margin.
    pub fn collect(&mut self, frontier: HlcTime, rules: &EndRules) -> Result<(), Holder> {
        if self.newest_tombstone <= self.collected() {
            return Ok(());
        }
        let (own, roster) = (self.origin.address, self.lives.roster());
        let have = (&self.covered, frontier);
        if let Some(node) = self.inherited.unheard() {
            return Err(Holder::Silent(node));
        }
        let stable = self.reports.stable(own, &roster, have)?;
        let upto = stable.min(self.newest_tombstone);
        if upto > self.collected() {
            self.collected = Some(Collected {
                time: upto,
                covered: self.covered.clone(),
            });
        }
        let ago = |margins| HlcTime {
            ms: self.time.ms.saturating_sub(margins * rules.margin_ms),
            count: 0,
        };
        if stable < self.newest_tombstone && stable < ago(2) {
            let recent = ago(1);
            return Err(self.reports.holder(own, &roster, frontier, recent));
        }
        Ok(())
    }

    /// Whether tombstones, which `holder` holds back, could go if some member were forgotten: not while a node has yet to be heard, since
    /// nothing is collected before.
    pub fn may_forgetting_help(&self, holder: Option<Holder>) -> bool {
        holder.is_some() && self.inherited.unheard().is_none()
    }

    /// Lets go what need not be remembered of ended lives any more.
    pub fn expire_ended(&mut self, rules: &EndRules) {
        let before = self.ended.len();
        self.ended.expire(self.time.ms, rules.ended);
        if self.ended.len() < before {
            self.settle_anew();
        }
    }

    /// Begins a new life, later than any known of this node, with nothing: counters begin at 1 under a new origin. Only hybrid
    /// time, and what is known of other nodes' lives, goes on. The winners are to be set aside, and what was covered is kept with them.
    pub fn be_reborn(&mut self, wall_ms: u64, random: u64) -> Origin {
        self.origin = self.next_life(wall_ms, random);
        self.lives.learn(self.origin);
        let mut inherited = self.inherited.clone();
        inherited.begin_anew();
        let mut had = self.aside.take().unwrap_or_default();
        had.merge(self.covered.clock());
        had.merge(&self.ended.counters().collect());
        let born = Self {
            time: self.time,
            inherited,
            lives: self.lives.clone(),
            given_up: self.given_up.clone(),
            aside: Some(had),
            ..Self::new(self.origin, self.domain, self.buffer.limits())
        };
        *self = born;
        self.origin
    }

    /// A life of this node later than any known.
    pub(super) fn next_life(&self, wall_ms: u64, random: u64) -> Origin {
        let own = self.origin.address;
        let known = self.lives.latest(&own).max(self.lives.forgotten(&own));
        let known = known.max(self.covered.floor(&own)).max(self.outlived);
        Origin {
            incarnation: known.succeeding(wall_ms, random),
            ..self.origin
        }
    }

    /// What is known now, for those who look at what was set aside.
    pub fn present(&self) -> Present {
        Present {
            domain: self.domain,
            covered: self.covered.clone(),
            ended: self.ended.clone(),
            collected: self.collected(),
            given_up: self.given_up.clone(),
        }
    }

    /// By what answers are settled now.
    pub fn settlement(&self) -> &Arc<Settlement> {
        &self.settlement
    }

    /// The lives known.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// What is remembered of ended lives.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }
}
