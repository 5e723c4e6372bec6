// SPDX-License-Identifier: BSD-3-Clause

//! Requests that ride in one transfer, and the books that are kept of transfers.

use engine::{Direction, RequestError};
use tests::sim::client::{Request, RequestId};
use tests::sim::rig::{nothing, transfers, Rig};
use tests::sim::sizes::Sizes;

use super::fixture::{own_statistics, small, volume};

/// Ten blocks that lie next to each other, read by ten requests at once.
fn read_ten_neighbours(rig: &mut Rig) -> Vec<RequestId> {
    for lbn in 0..10 {
        rig.write(lbn, 100 + lbn);
    }
    assert!((0..10).all(|lbn| rig.pbn(lbn) == rig.pbn(0).plus(lbn)));
    let requests = (0..10).map(|lbn| rig.submit(&Request::read(lbn, 1))).collect();
    rig.settle(transfers);
    requests
}

/// vdo-76: the members of a merged transfer end one by one; one that fails does not fail the others.
#[test]
fn a_failing_member_does_not_fail_its_neighbours() {
    let mut rig = volume(1, 2, 32, &Sizes::default());
    let requests = read_ten_neighbours(&mut rig);
    assert_eq!(rig.world.disk.transfers.len(), 1, "ten reads ride in one transfer");
    let bad = rig.pbn(4);
    rig.world.faults.script(Direction::Read, Some(bad), 2);
    rig.settle(nothing);
    for (lbn, id) in requests.into_iter().enumerate() {
        let expected = if lbn == 4 { Err(RequestError::Io) } else { Ok(()) };
        assert_eq!(rig.outcome(id), Some(expected), "block {lbn}");
    }
    assert!(own_statistics(&rig).bios_split_retries > 0);
    rig.read(4);
}

/// vdo-77: two reads of one block at once, with neighbours around, all end.
#[test]
fn two_reads_of_one_block_are_both_answered() {
    let mut rig = volume(1, 2, 32, &Sizes::default());
    let one = read_ten_neighbours(&mut rig);
    let more: Vec<_> = (0..10).map(|lbn| rig.submit(&Request::read(lbn, 1))).collect();
    rig.write(20, 103);
    let shared: Vec<_> = [3, 20].map(|lbn| rig.submit(&Request::read(lbn, 1))).into();
    rig.settle(nothing);
    assert!(one.into_iter().chain(more).chain(shared).all(|id| rig.outcome(id) == Some(Ok(()))));
}

/// vdo-82: at rest everything submitted is completed, and the classes add up.
#[test]
fn transfer_accounting_adds_up() {
    let mut rig = small(64);
    for lbn in 0..20 {
        rig.write(lbn, 1 + lbn % 5);
    }
    rig.execute(&Request::read(0, 20)).expect("the read succeeds");
    let statistics = own_statistics(&rig);
    assert_eq!(statistics.bios_submitted, statistics.bios_completed);
    assert_eq!(statistics.bios_submitted, rig.world.disk.counts.transfers);
    let disk = rig.world.disk.counts;
    assert_eq!((statistics.bios_in_read, statistics.bios_in_write), (20, 20));
    assert_eq!((statistics.bios_out_read, statistics.bios_out_write), (disk.read, disk.written));
    assert_eq!(statistics.bios_verify_read, disk.verified);
}
