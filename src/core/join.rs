//! State differences, page by page.
//!
//! The answerer cuts the difference once, at the first page, and keeps it for the asker until the last
//! page is read or [`JoinLimits::session_ms`] pass without a question, so that all pages are of one
//! consistent cut. Values are shared with the store, so a session costs pointers. The asker stages
//! the pages and applies them together.

use std::collections::BTreeMap;

use super::Millis;
use super::coverage::Coverage;
use super::id::{Domain, Origin};
use super::inheritance::OlderWrites;
use super::stamp::HlcTime;
use super::wire::{JoinAnswer, JoinPage, JoinRefusal, JoinRequest, JoinRest};
use super::write::Write;

/// How much is kept for askers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinLimits {
    /// Bytes of writes in one page (one write may be larger and fills a page alone).
    pub page_bytes: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Milliseconds without a question after which a session is dropped.
    pub session_ms: u64,
}

impl JoinLimits {
    /// How many winners are looked at for one page, if it does not get full: other actors of this thread wait meanwhile.
    pub fn page_steps(&self) -> usize {
        (self.page_bytes / 64).max(1)
    }

    /// How many winners that were brought are applied at once, for the same reason: they take about as long.
    pub fn slice(&self) -> usize {
        (self.page_bytes / 512).max(1)
    }
}

/// What an asker reads page by page.
pub trait Pages {
    /// A page, from 0; the same whenever it is asked for. `None` for one beyond the last, or beyond the next one.
    fn page(&mut self, number: usize) -> Option<JoinPage>;
}

impl Pages for Vec<JoinPage> {
    fn page(&mut self, number: usize) -> Option<JoinPage> {
        self.get(number).cloned()
    }
}

/// A replica's state at one moment, as far as an asker lacks it.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Who answers.
    pub from: Origin,
    /// What it covers.
    pub covered: Coverage,
    /// Its hybrid time.
    pub time: HlcTime,
    /// Winners that the asker lacks.
    pub writes: Vec<Write>,
    /// Winners of older domains that it lacks.
    pub older: Vec<OlderWrites>,
    /// What else it knew.
    pub rest: JoinRest,
}

/// The answerer's sessions, one for each asker at most.
#[derive(Debug)]
pub struct JoinSessions<P> {
    limits: JoinLimits,
    by_asker: BTreeMap<Origin, Session<P>>,
}

#[derive(Debug)]
struct Session<P> {
    number: u64,
    pages: P,
    asked: Millis,
}

impl<P: Pages> JoinSessions<P> {
    /// No sessions.
    pub fn new(limits: JoinLimits) -> Self {
        Self {
            limits,
            by_asker: BTreeMap::new(),
        }
    }

    /// Answers a request; `cut` is called for the first page of a session that is not open yet. Such
    /// a one takes the place of the asker's earlier session, never of a later one, and of those of its earlier lives: nobody reads
    /// these to their end, and what has restarted must not wait until they expire.
    pub fn answer(
        &mut self,
        request: &JoinRequest,
        now: Millis,
        cut: impl FnOnce(JoinLimits) -> P,
    ) -> JoinAnswer {
        self.expire(now);
        if self.is_outdated(request) {
            return JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        }
        if self.session(request).is_none() && request.page == 0 {
            let Origin {
                address,
                incarnation,
            } = request.from;
            self.by_asker
                .retain(|open, _| open.address != address || open.incarnation > incarnation);
            if self.by_asker.len() >= self.limits.sessions {
                return JoinAnswer::Refused(JoinRefusal::Busy);
            }
            let session = Session {
                number: request.session,
                pages: cut(self.limits),
                asked: now,
            };
            self.by_asker.insert(request.from, session);
        }
        let Some(session) = self.session(request) else {
            return JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        };
        session.asked = now;
        let Some(page) = session.pages.page(request.page as usize) else {
            return JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        };
        if page.rest.is_some() {
            self.by_asker.remove(&request.from);
        }
        JoinAnswer::Page(page)
    }

    /// Drops the sessions in which nobody has asked for too long.
    pub fn expire(&mut self, now: Millis) {
        let session_ms = self.limits.session_ms;
        self.by_asker.retain(|_, s| now - s.asked < session_ms);
    }

    /// Whether the asker has begun a later session already: a request that was long on its way must
    /// not end it.
    fn is_outdated(&self, request: &JoinRequest) -> bool {
        let open = self.by_asker.get(&request.from);
        open.is_some_and(|session| session.number > request.session)
    }

    fn session(&mut self, request: &JoinRequest) -> Option<&mut Session<P>> {
        self.by_asker
            .get_mut(&request.from)
            .filter(|session| session.number == request.session)
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.by_asker.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.by_asker.is_empty()
    }
}

/// The pages of a cut: the store goes on, so that all of them are made at once.
pub fn paged(cut: Cut, page_bytes: usize) -> Vec<JoinPage> {
    let empty = || JoinPage {
        from: cut.from,
        covered: cut.covered.clone(),
        time: cut.time,
        writes: Vec::new(),
        older: Vec::new(),
        left: 0,
        rest: None,
    };
    let older = cut.older.into_iter().flat_map(|older| {
        let domain = older.domain;
        let writes = older.writes.into_iter();
        writes.map(move |write| (Some(domain), write))
    });
    let writes = cut.writes.into_iter().map(|write| (None, write));
    let mut pages = vec![empty()];
    let mut bytes = 0;
    for (domain, write) in writes.chain(older) {
        let weight = write.weight();
        if bytes > 0 && bytes + weight > page_bytes {
            pages.push(empty());
            bytes = 0;
        }
        bytes += weight;
        let Some(page) = pages.last_mut() else { break };
        match domain {
            None => page.writes.push(write),
            Some(domain) => push_older(&mut page.older, domain, write),
        }
    }
    if let Some(page) = pages.last_mut() {
        page.rest = Some(cut.rest);
    }
    let mut left = 0;
    for page in pages.iter_mut().rev() {
        page.left = left;
        left += writes_in(page);
    }
    pages
}

fn writes_in(page: &JoinPage) -> u64 {
    let older = page.older.iter().map(|older| older.writes.len());
    (page.writes.len() + older.sum::<usize>()) as u64
}

/// Adds a write to those of its domain, if that was the last one.
pub fn push_older(older: &mut Vec<OlderWrites>, domain: Domain, write: Write) {
    match older.last_mut() {
        Some(last) if last.domain == domain => last.writes.push(write),
        _ => older.push(OlderWrites {
            domain,
            writes: vec![write],
        }),
    }
}

/// The asker's side: pages that have arrived, until the last one has.
#[derive(Debug, Default)]
pub struct Staging {
    next_page: u32,
    progress: Progress,
    joined: Option<Cut>,
}

/// How far a join is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Writes that have arrived.
    pub arrived: u64,
    /// Writes that are to come, at most.
    pub left: u64,
}

/// What a page has brought.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and nearly always the large one"
)]
pub enum Staged {
    /// More is to come: ask for this page.
    AskFor(u32),
    /// All is here.
    Complete(Cut),
    /// The page contradicts itself, or is not of the same cut as those before; nothing of them may be used.
    Inconsistent,
}

impl Staging {
    /// Nothing has arrived yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes the page that was asked for.
    pub fn stage(&mut self, page: JoinPage) -> Staged {
        let Ok(page) = page.check() else {
            return Staged::Inconsistent;
        };
        let mut joined = self.joined.take().unwrap_or_else(|| Cut {
            from: page.from,
            covered: page.covered.clone(),
            time: page.time,
            writes: Vec::new(),
            older: Vec::new(),
            rest: JoinRest::default(),
        });
        if (joined.from, &joined.covered) != (page.from, &page.covered) {
            return Staged::Inconsistent;
        }
        self.progress.arrived += writes_in(&page);
        self.progress.left = page.left;
        joined.writes.extend(page.writes);
        joined.older.extend(page.older);
        if let Some(rest) = page.rest {
            joined.rest = rest;
            return Staged::Complete(joined);
        }
        self.joined = Some(joined);
        self.next_page += 1;
        Staged::AskFor(self.next_page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{origin, write};
    use crate::core::wire::Wants;

    const LIMITS: JoinLimits = JoinLimits {
        page_bytes: 500,
        sessions: 1,
        session_ms: 1_000,
    };

    fn request(asker: u16, session: u64, page: u32) -> JoinRequest {
        JoinRequest {
            from: origin(asker),
            domain: Domain::UNSHARDED,
            wants: Wants::State,
            covered: Coverage::new(),
            claims: Vec::new(),
            session,
            page,
        }
    }

    fn cut(writes: u64) -> Cut {
        Cut {
            from: origin(9),
            covered: Coverage::from_iter([(origin(1), writes)]),
            time: HlcTime::ZERO,
            writes: (1..=writes).map(|counter| write(1, counter)).collect(),
            older: Vec::new(),
            rest: JoinRest::default(),
        }
    }

    #[test]
    fn pages_are_of_one_cut_even_when_the_store_moves_on() {
        let mut sessions = JoinSessions::new(LIMITS);
        let mut staging = Staging::new();
        let mut page = 0;
        let joined = loop {
            let store_now = 5 + u64::from(page);
            match sessions.answer(&request(1, 7, page), 0, |limits| {
                paged(cut(store_now), limits.page_bytes)
            }) {
                JoinAnswer::Page(answer) => match staging.stage(answer) {
                    Staged::AskFor(next) => {
                        let Progress { arrived, left } = staging.progress();
                        assert!(arrived > 0 && left > 0 && arrived + left == 5);
                        page = next;
                    }
                    Staged::Complete(joined) => break joined,
                    Staged::Inconsistent => panic!("one cut"),
                },
                JoinAnswer::Refused(refusal) => panic!("{refusal:?}"),
            }
        };
        assert!(page > 0, "more than one page");
        let all = Progress {
            arrived: 5,
            left: 0,
        };
        assert_eq!(staging.progress(), all);
        assert_eq!(joined.writes, cut(5).writes);
    }

    #[test]
    fn one_more_asker_than_allowed_is_told_to_come_back() {
        let mut sessions = JoinSessions::new(LIMITS);
        sessions.answer(&request(1, 1, 0), 0, |limits| {
            paged(cut(9), limits.page_bytes)
        });
        let busy = JoinAnswer::Refused(JoinRefusal::Busy);
        assert_eq!(
            sessions.answer(&request(2, 1, 0), 999, |limits| paged(
                cut(1),
                limits.page_bytes
            )),
            busy
        );
        let answer = sessions.answer(&request(2, 1, 0), 1_000, |limits| {
            paged(cut(1), limits.page_bytes)
        });
        assert!(matches!(answer, JoinAnswer::Page(_)), "the first is over");
        let gone = JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        assert_eq!(
            sessions.answer(&request(1, 1, 1), 1_000, |limits| paged(
                cut(1),
                limits.page_bytes
            )),
            gone
        );
    }

    #[test]
    fn a_session_that_was_read_to_its_end_makes_room_for_the_next() {
        let mut sessions = JoinSessions::new(LIMITS);
        for asker in 1..=3 {
            let answer = sessions.answer(&request(asker, 1, 0), 0, |limits| {
                paged(cut(1), limits.page_bytes)
            });
            assert!(matches!(answer, JoinAnswer::Page(page) if page.rest.is_some()));
            assert!(sessions.is_empty());
        }
    }

    #[test]
    fn who_was_restarted_within_a_session_does_not_wait_until_that_expires() {
        let mut sessions = JoinSessions::new(LIMITS);
        sessions.answer(&request(1, 7, 0), 0, |limits| {
            paged(cut(9), limits.page_bytes)
        });
        let mut restarted = request(1, 1, 0);
        restarted.from.incarnation = restarted.from.incarnation.succeeding(0, 0);
        let answer = sessions.answer(&restarted, 1, |limits| paged(cut(1), limits.page_bytes));
        assert!(matches!(answer, JoinAnswer::Page(_)), "{answer:?}");
    }

    #[test]
    fn a_late_request_of_an_earlier_session_does_not_end_the_later_one() {
        let mut sessions = JoinSessions::new(LIMITS);
        sessions.answer(&request(1, 7, 0), 0, |limits| {
            paged(cut(9), limits.page_bytes)
        });
        let gone = JoinAnswer::Refused(JoinRefusal::NoSuchPage);
        let late = sessions.answer(&request(1, 6, 0), 1, |_| panic!("no cut is made for it"));
        assert_eq!(late, gone);
        let next = sessions.answer(&request(1, 7, 1), 2, |_| panic!("it is open"));
        assert!(matches!(next, JoinAnswer::Page(_)), "{next:?}");
        let later = sessions.answer(&request(1, 8, 0), 3, |limits| {
            paged(cut(1), limits.page_bytes)
        });
        assert!(matches!(later, JoinAnswer::Page(_)), "{later:?}");
    }

    #[test]
    fn an_empty_difference_is_one_last_page() {
        let mut sessions = JoinSessions::new(LIMITS);
        let answer = sessions.answer(&request(1, 1, 0), 0, |limits| {
            paged(cut(0), limits.page_bytes)
        });
        assert!(
            matches!(answer, JoinAnswer::Page(page) if page.rest.is_some() && page.writes.is_empty())
        );
    }
}
