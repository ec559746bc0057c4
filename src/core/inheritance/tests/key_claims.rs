use super::*;

/// Of shard 0 of map 1, where its key was.
fn claims() -> [Claim; 1] {
    [claim(domain(1, 0), &[(2, 5)])]
}

fn keys() -> [Key; 2] {
    [key_of(domain(1, 0), 2), key_of(domain(1, 1), 2)]
}

#[test]
fn a_key_that_was_handed_over_by_itself_can_be_read_and_no_other() {
    let mut inheritance = dealt();
    let [asked, other] = keys();
    inheritance.set_deal(deal(2, 3), Some(deal(1, 2)));
    assert!(!inheritance.is_ready(&asked));
    let too_many =
        inheritance.claim_keys(origin(1), std::slice::from_ref(&asked), (&[], &claims()));
    assert_eq!(too_many, 0);
    assert!(inheritance.is_ready(&asked) && !inheritance.is_ready(&other));
    let lacking = |key, counter| {
        let need = need(&[(2, counter)]);
        inheritance.lacking(Some(key), &domain(1, 0), &need)
    };
    assert!(lacking(&asked, 5).is_empty());
    assert_eq!(lacking(&asked, 6), need(&[(2, 6)]), "the donor lacks it");
    let same_shard = (0..).map(|n| Key::new(&format!("other{n}")).unwrap());
    let of = |key: &Key| deal(1, 2).domain_of(key) == domain(1, 0);
    let same_shard = same_shard.clone().find(of).unwrap();
    assert_eq!(lacking(&same_shard, 5), need(&[(2, 5)]), "it was not asked");
    assert!(inheritance.claims().is_empty(), "nothing of the shard");
}

#[test]
fn what_one_donor_lacks_of_a_key_another_one_adds() {
    let mut inheritance = dealt();
    let [asked, _] = keys();
    let asked = std::slice::from_ref(&asked);
    inheritance.claim_keys(origin(1), asked, (&[], &claims()));
    let more = [claim(domain(1, 0), &[(3, 2)])];
    inheritance.claim_keys(origin(1), asked, (&[], &more));
    let need = need(&[(2, 5), (3, 2)]);
    let lacking = inheritance.lacking(asked.first(), &domain(1, 0), &need);
    assert!(lacking.is_empty());
}

#[test]
fn a_key_whose_donor_was_not_whole_waits_for_what_was_before() {
    let mut inheritance = Inheritance::new(origin(1).address, deal(3, 1), Some(deal(2, 1)));
    inheritance.set_nodes(&nodes(&[origin(1), origin(2)]));
    let key = Key::new("k").unwrap();
    let keys = std::slice::from_ref(&key);
    let partly = Claim {
        before: Some(deal(1, 1)),
        ..claim(domain(2, 0), &[(2, 1)])
    };
    inheritance.claim_keys(origin(1), keys, (&[], &[partly]));
    assert!(!inheritance.is_ready(&key));
    let before = [claim(domain(1, 0), &[(2, 1)])];
    inheritance.claim_keys(origin(1), keys, (&[], &before));
    assert!(inheritance.is_ready(&key));
}

#[test]
fn nothing_is_left_of_single_keys_when_keys_are_dealt_anew_or_all_is_lost() {
    for begins in [
        |inheritance: &mut Inheritance| inheritance.begin_anew(),
        |inheritance: &mut Inheritance| inheritance.deal_anew(deal(3, 2), Some(deal(2, 3))),
    ] {
        let mut inheritance = dealt();
        let [asked, _] = keys();
        inheritance.claim_keys(origin(1), std::slice::from_ref(&asked), (&[], &claims()));
        begins(&mut inheritance);
        assert!(!inheritance.is_ready(&asked));
        assert_eq!(inheritance.hand_overs().of_keys, OfKeys::default());
    }
}

/// Node 2 has had one answer, with what is claimed above.
fn given() -> OfKeys {
    OfKeys {
        answers: vec![(origin(2), 1)],
        covered: vec![(domain(1, 0), claims()[0].covered.clone())],
    }
}

/// Node 2 was given a key by node 3, which has lost its memory since: nobody else can bring it.
#[test]
fn a_key_that_another_keeper_was_given_by_itself_is_not_missed() {
    let mut inheritance = complete();
    let keeper = Nodes {
        peers: vec![origin(2).address],
        ..nodes(&[origin(1), origin(2), origin(3)])
    };
    inheritance.set_nodes(&keeper);
    let lives = [origin(1), origin(2), origin(3)];
    let said = |of_keys| HandOvers {
        of_keys,
        ..has_all_of(&lives)
    };
    inheritance.note(&digest(origin(2), 2, said(OfKeys::default())));
    assert!(inheritance.is_complete());
    let given = given();
    let has_it = digest(origin(2), 2, said(given.clone()));
    inheritance.note(&has_it);
    assert!(!inheritance.is_complete());
    assert!(inheritance.lacks_from(&has_it), "it is to be asked");
    let joined = Inherited {
        of_keys: given.clone(),
        ..Inherited::default()
    };
    inheritance.merge(&joined);
    assert!(inheritance.is_complete() && !inheritance.lacks_from(&has_it));
    assert_eq!(inheritance.hand_overs().of_keys, given, "and passed on");
}

#[test]
fn nobody_is_asked_for_single_keys_of_others_while_donors_are_to_come() {
    let mut inheritance = dealt();
    let given = given();
    let said = HandOvers {
        of_keys: given,
        ..HandOvers::default()
    };
    let peer = digest(origin(2), 2, said);
    inheritance.note(&peer);
    assert!(!inheritance.lacks_from(&peer));
    for n in 1..=3 {
        inheritance.has_handed_over(origin(n));
    }
    assert!(inheritance.lacks_from(&peer));
}

#[test]
fn only_who_holds_what_a_key_may_be_among_is_asked_for_it() {
    let mut inheritance = dealt();
    let [asked, other] = keys();
    let said = HandOvers {
        holds: vec![domain(1, 0)],
        ..HandOvers::default()
    };
    inheritance.note(&digest(origin(2), 2, said));
    let donor = origin(2).address;
    assert!(inheritance.may_have(&donor, &asked));
    assert!(!inheritance.may_have(&donor, &other));
    assert!(!inheritance.may_have(&origin(3).address, &asked), "unheard");
}

/// Node 3 gave one key to this node and another one to node 2, and has lost its memory since.
#[test]
fn a_keeper_that_was_given_one_key_lacks_another_one_that_its_peer_was_given() {
    let mut inheritance = complete();
    let lives = [origin(1), origin(2), origin(3)];
    inheritance.set_nodes(&Nodes {
        peers: vec![origin(2).address],
        ..nodes(&lives)
    });
    let [mine, _] = keys();
    inheritance.claim_keys(origin(1), std::slice::from_ref(&mine), (&[], &claims()));
    let said = |of_keys| HandOvers {
        of_keys,
        ..has_all_of(&lives)
    };
    let peer = digest(origin(2), 2, said(given()));
    inheritance.note(&peer);
    assert!(!inheritance.is_complete() && inheritance.lacks_from(&peer));
    inheritance.merge(&Inherited {
        of_keys: given(),
        ..Inherited::default()
    });
    assert!(inheritance.is_complete() && !inheritance.lacks_from(&peer));
    let mut more = given();
    more.answers[0].1 += 1;
    let peer = digest(origin(2), 2, said(more));
    inheritance.note(&peer);
    assert!(inheritance.lacks_from(&peer), "and one more since");
    inheritance.claim(&claims()[0]);
    assert!(!inheritance.lacks_from(&peer), "the shard has as much");
}
