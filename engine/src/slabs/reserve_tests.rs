// SPDX-License-Identifier: BSD-3-Clause

//! The loans of a full zone: who gets them, and that they are returned.

use super::event::{PhysicalEvent, Requester};
use super::test_zone::{Setup, TestZone, DATA};
use super::{ReadLock, ReserveConfig};
use crate::format::Geometry;
use crate::message::{Allocation, Claim, MemberRef};
use crate::units::{Blocks, Pbn, ShardId};

/// A zone of two slabs of 64 blocks, of which it reserves two, and the data stored in all others.
fn full() -> (TestZone, Vec<Pbn>) {
    let geometry = Geometry::new(1, Blocks(1), Pbn(64), Pbn(192), 64).expect("valid");
    let mut zone = Setup { locks: 256, reserve: ReserveConfig::default(), ..Setup::new(&geometry) }.create();
    let mut stored = Vec::new();
    while let Allocation::Block(pbn) = zone.zone.allocate(DATA, Claim::New, true).expect("no error") {
        zone.increment(pbn).expect("claimed");
        zone.release(pbn, 253).expect("held");
        stored.push(pbn);
    }
    assert_eq!((stored.len(), zone.free_blocks()), (126, 2));
    (zone, stored)
}

fn ask(zone: &mut TestZone, member: u32, claim: Claim) -> Allocation {
    let requester = Requester::Data(MemberRef { shard: ShardId(0), index: member });
    zone.zone.allocate(requester, claim, true).expect("no error")
}

/// Lends a block to a write that replaces `old`.
fn lent(zone: &mut TestZone, member: u32, old: Pbn) -> Pbn {
    match ask(zone, member, Claim::Instead(old)) {
        Allocation::Block(pbn) => pbn,
        answer => panic!("{answer:?}"),
    }
}

/// Completes a write: its block is referenced, the old one is not any more.
fn replaced(zone: &mut TestZone, new: Pbn, old: Pbn) {
    zone.increment(new).expect("claimed");
    zone.decrement(old, 1).expect("referenced");
    zone.release(new, 253).expect("held");
    zone.audit().expect("consistent");
}

fn answers(zone: &mut TestZone) -> Vec<(u32, Allocation)> {
    let index = |requester| match requester {
        Requester::Data(member) => member.index,
        Requester::Page(_) => panic!("no page was asked for"),
    };
    let answer = |event| match event {
        PhysicalEvent::Allocated { requester, answer } => Some((index(requester), answer)),
        _ => None,
    };
    zone.take_events().into_iter().filter_map(answer).collect()
}

/// A full zone lends its reserve to writes that free a block, and makes the others wait for that, over and over.
#[test]
fn overwrites_go_on_in_a_full_zone() {
    let (mut zone, mut stored) = full();
    for round in 0..1000 {
        let old: Vec<_> = (0..3).map(|at| stored[(round * 7 + at * 31) % stored.len()]).collect();
        let new = [lent(&mut zone, 0, old[0]), lent(&mut zone, 1, old[1])];
        assert_eq!(ask(&mut zone, 2, Claim::Instead(old[2])), Allocation::Waiting);
        assert_eq!(ask(&mut zone, 3, Claim::New), Allocation::Full);
        zone.audit().expect("consistent");
        // One succeeds, one fails: either frees a block for the third.
        let third = if round % 2 == 0 {
            replaced(&mut zone, new[0], old[0]);
            stored.iter_mut().filter(|pbn| **pbn == old[0]).for_each(|pbn| *pbn = new[0]);
            let answers = answers(&mut zone);
            zone.release(new[1], 0).expect("held");
            answers
        } else {
            zone.release(new[1], 0).expect("held");
            let answers = answers(&mut zone);
            zone.release(new[0], 0).expect("held");
            answers
        };
        let [(2, Allocation::Block(third))] = third[..] else { panic!("{third:?}") };
        replaced(&mut zone, third, old[2]);
        stored.iter_mut().filter(|pbn| **pbn == old[2]).for_each(|pbn| *pbn = third);
        assert_eq!((zone.free_blocks(), answers(&mut zone)), (2, vec![]));
    }
}

/// Nothing is lent to replace a shared block, or one that is no data; while a loan is out its old block cannot become
/// shared.
#[test]
fn only_who_gives_a_block_back_is_lent_one() {
    let (mut zone, stored) = full();
    let [shared, locked, old] = [stored[0], stored[1], stored[2]];
    assert_eq!(zone.lock_for_read_sharing(shared, 1), Ok(ReadLock::Granted { lease: 1 }));
    zone.increment(shared).expect("claimed");
    zone.release(shared, 0).expect("held");
    for refused in [shared, Pbn(3), Pbn(1 << 30)] {
        assert_eq!(ask(&mut zone, 0, Claim::Instead(refused)), Allocation::Full);
    }
    // A reader may be about to share the block, and then does not.
    assert_eq!(zone.lock_for_read_sharing(locked, 1), Ok(ReadLock::Granted { lease: 1 }));
    assert_eq!(ask(&mut zone, 1, Claim::Instead(locked)), Allocation::Waiting);
    assert_eq!(answers(&mut zone), []);
    zone.release(locked, 1).expect("held");
    let [(1, Allocation::Block(new))] = answers(&mut zone)[..] else { panic!("no block") };
    replaced(&mut zone, new, locked);
    // Or it does.
    assert_eq!(zone.lock_for_read_sharing(old, 1), Ok(ReadLock::Granted { lease: 1 }));
    assert_eq!(ask(&mut zone, 2, Claim::Instead(old)), Allocation::Waiting);
    zone.increment(old).expect("claimed");
    zone.release(old, 0).expect("held");
    assert_eq!(answers(&mut zone), [(2, Allocation::Again)]);
    // No more, once the block is as good as free.
    let new = lent(&mut zone, 3, stored[4]);
    assert_eq!(zone.lock_for_read_sharing(stored[4], 1), Ok(ReadLock::Refused));
    zone.release(new, 0).expect("held");
    assert_eq!(zone.lock_for_read_sharing(stored[4], 1), Ok(ReadLock::Granted { lease: 1 }));
}

/// A zone that has lost its reserve sends writes that free a block to other zones, and keeps the freed block for the
/// next.
#[test]
fn a_zone_without_reserve_gets_it_back() {
    let (mut zone, stored) = full();
    let taken: Vec<_> = (0..2).map(|member| ask(&mut zone, member, Claim::Abroad(Pbn(7)))).collect();
    let [Allocation::Block(one), Allocation::Block(two)] = taken[..] else { panic!("{taken:?}") };
    assert_eq!(ask(&mut zone, 2, Claim::Abroad(Pbn(8))), Allocation::Waiting, "one of them may fail");
    for pbn in [one, two] {
        zone.increment(pbn).expect("claimed");
        zone.release(pbn, 253).expect("held");
    }
    assert_eq!(answers(&mut zone), [(2, Allocation::Again)]);
    assert_eq!(ask(&mut zone, 3, Claim::Instead(stored[0])), Allocation::Elsewhere);
    zone.decrement(stored[0], 1).expect("referenced");
    assert_eq!(ask(&mut zone, 4, Claim::New), Allocation::Full);
    let new = lent(&mut zone, 5, stored[1]);
    replaced(&mut zone, new, stored[1]);
    zone.decrement(stored[2], 1).expect("referenced");
    assert_eq!(ask(&mut zone, 6, Claim::New), Allocation::Full, "the reserve comes first");
    zone.decrement(stored[3], 1).expect("referenced");
    assert!(matches!(ask(&mut zone, 7, Claim::New), Allocation::Block(_)));
}

/// The operator's reserve is available once it is released, and not before.
#[test]
fn the_operator_releases_a_reserve() {
    let (mut zone, stored) = full();
    zone.set_reserve(10);
    assert_eq!(zone.reserved_blocks(), (2, 12));
    zone.decrement(stored[0], 1).expect("referenced");
    assert_eq!(ask(&mut zone, 0, Claim::New), Allocation::Full);
    let new = lent(&mut zone, 1, stored[1]);
    replaced(&mut zone, new, stored[1]);
    zone.set_reserve(0);
    assert!(matches!(ask(&mut zone, 2, Claim::New), Allocation::Block(_)));
    assert_eq!(ask(&mut zone, 3, Claim::New), Allocation::Full);
}
