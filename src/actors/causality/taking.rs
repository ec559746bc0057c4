//! Taking over what others hold for this node's shard since keys were dealt anew: all of it from one donor after the other, and single keys
//! that requests wait for.

use std::collections::BTreeSet;

use actix::{Context, Handler};

use super::Causality;
use crate::core::Millis;
use crate::core::id::{Address, Key};
use crate::core::inheritance::OlderWrites;
use crate::core::join::{Cut, Progress};
use crate::core::wire::{Status, Wants};
use crate::messages::causality::{JoinAdvanced, TakingOver};
use crate::messages::mailbox::Mail;

/// How often the log tells how far a long hand-over is, in milliseconds.
const TELL_MS: Millis = 5_000;

impl Causality {
    fn fresh_ms(&self) -> Millis {
        2 * self.parts.rules.heartbeat_ms
    }

    /// One donor after the other, so that each brings what those before lacked.
    pub(super) fn take_over_next(&mut self) {
        if self.dealing.taking_over.is_some() || self.serving.status() != Status::Serving {
            return;
        }
        let (now, fresh_ms) = (self.parts.uptime.now(), self.fresh_ms());
        while let Some(donor) = self.dealing.donors.next(now, fresh_ms) {
            if !self.state.inherited().has_from(donor) {
                self.dealing.taking_over = Some(TakingOver {
                    from: donor.address,
                    began: now,
                    progress: Progress::default(),
                    told: now,
                });
                return self.fetch(donor.address, Wants::HandOver);
            }
        }
    }

    pub(super) fn hand_over_ended(&mut self, from: Address, result: Result<Cut, String>) {
        let Some(TakingOver { began, .. }) = self.dealing.taking_over.take() else {
            return;
        };
        let took = self.parts.uptime.now() - began;
        let taken = result.and_then(|cut| {
            let taken = self.state.take_over(cut);
            taken.map_err(|outlived| outlived.to_string())
        });
        let outcome = match taken {
            Ok(older) => {
                let keys = self.install_older(from, older);
                let domain = self.state.domain();
                log::info!("took over {keys} keys for {domain} from {from} in {took} ms");
                "ok"
            }
            Err(reason) => {
                log::info!("taking over from {from} failed: {reason}");
                "failed"
            }
        };
        let hand_overs = &self.parts.metrics.hand_overs;
        hand_overs.with_label_values(&[outcome]).inc();
        self.take_over_next();
        self.mind_older_maps();
        self.beat();
    }

    /// Has the store apply these, and lets go who has waited for them. Returns how many they are.
    fn install_older(&mut self, from: Address, older: Vec<OlderWrites>) -> u64 {
        let keys: usize = older.iter().map(|older| older.writes.len()).sum();
        let keys = keys as u64;
        *self.dealing.taken.entry(from).or_default() += keys;
        self.parts.metrics.keys_taken_over.inc_by(keys);
        self.apply_older(older);
        self.release_decided();
        keys
    }

    /// A request waits for this key, which donors may have.
    pub(super) fn want(&mut self, key: &Key) {
        self.dealing.wanted.want(key);
        self.ask_for_keys();
    }

    /// Asks for keys that requests wait for, of donors that may have had them.
    pub(super) fn ask_for_keys(&mut self) {
        if self.dealing.wanted.is_empty() || self.serving.status() != Status::Serving {
            return;
        }
        let (now, fresh_ms) = (self.parts.uptime.now(), self.fresh_ms());
        let inherited = self.state.inherited();
        let donors = self.dealing.donors.present(now, fresh_ms);
        let donors = donors.filter(|donor| !inherited.has_from(*donor));
        let may_have = |donor: &Address, key: &Key| inherited.may_have(donor, key);
        let questions = self.dealing.wanted.questions(donors, may_have);
        for (donor, keys) in questions {
            self.fetch(donor.address, Wants::Keys(keys));
        }
    }

    pub(super) fn keys_ended(&mut self, from: Address, keys: &[Key], result: Result<Cut, String>) {
        self.dealing.wanted.answered(from, result.is_ok());
        let taken = result.and_then(|cut| {
            let taken = self.state.take_keys(cut, keys);
            taken.map_err(|outlived| outlived.to_string())
        });
        let key_hand_overs = &self.parts.metrics.key_hand_overs;
        let count = |result, keys| key_hand_overs.with_label_values(&[result]).inc_by(keys);
        match taken {
            Ok((older, too_many)) => {
                count("ok", (keys.len() - too_many) as u64);
                count("too_many", too_many as u64);
                self.install_older(from, older);
            }
            Err(reason) => {
                count("failed", keys.len() as u64);
                log::debug!("asking {from} for single keys failed: {reason}");
                self.dealing.donors.drop(&from);
            }
        }
        self.keep_wanted();
        self.ask_for_keys();
    }

    /// Forgets the keys that no request waits for any more.
    pub(super) fn keep_wanted(&mut self) {
        if self.dealing.wanted.is_empty() {
            return;
        }
        let waiting = self.parking.apart();
        let keys = waiting.filter_map(|(request, _)| request.operation.key());
        let keys: BTreeSet<Key> = keys.cloned().collect();
        self.dealing.wanted.keep(&keys);
    }
}

impl Handler<Mail<JoinAdvanced>> for Causality {
    type Result = ();

    fn handle(&mut self, mail: Mail<JoinAdvanced>, _: &mut Context<Self>) {
        let JoinAdvanced {
            from,
            asker,
            wants,
            progress,
        } = mail.open();
        let now = self.parts.uptime.now();
        let taking_over = self.dealing.taking_over.as_mut();
        let taking_over = taking_over.filter(|it| it.from == from && wants == Wants::HandOver);
        let Some(taking_over) = taking_over.filter(|_| asker == self.state.origin()) else {
            return;
        };
        taking_over.progress = progress;
        if now - taking_over.told >= TELL_MS {
            taking_over.told = now;
            let Progress { arrived, left } = progress;
            log::info!("taking over from {from}: {arrived} keys have come, {left} are left");
        }
    }
}
