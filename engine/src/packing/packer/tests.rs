// SPDX-License-Identifier: BSD-3-Clause

use mpool::testing::Random;

use super::*;
use crate::format::compressed_block::Fragments;

fn fragment(member: u32, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u32 ^ member) as u8).collect()
}

fn park(packer: &mut Packer, bin: usize, member: u32, size: usize) {
    let parked = Parked { member, lbn: Lbn(u64::from(member) + 1000), own: false };
    packer.park(bin, parked, &fragment(member, size), Nanos(u64::from(member)));
}

/// Parks a fragment where the packer chooses, which must be a bin with room.
fn add(packer: &mut Packer, member: u32, size: usize) -> usize {
    let Choice::Bin(bin) = packer.choose(size) else { panic!("{size} bytes find no bin") };
    park(packer, bin, member, size);
    bin
}

/// vdo-94: bins are chosen by the rules, against a model that works with sorted lists; what was parked is in the block.
#[test]
fn choices_follow_the_rules() {
    let mut random = Random::new(5);
    let mut packer = Packer::new();
    // The fragments (member, size) of each bin, in order.
    let mut model: Vec<Vec<(u32, usize)>> = vec![vec![]; BINS];
    let (mut given_up, mut replaced, mut filled) = (0, 0, 0);
    let left = |bin: &[(u32, usize)]| ROOM - bin.iter().map(|(_, size)| size + ENTRY_BYTES).sum::<usize>();
    for member in 0..10_000 {
        // At first only fragments that cannot share a bin, so that bins run out.
        let size = match (member < 3000, random.below(3)) {
            (true, _) => 2100 + random.below(1740),
            (false, 0) => 1 + random.below(500),
            (false, _) => 1 + random.below(3840),
        };
        let mut fullest_first: Vec<usize> = (0..BINS).filter(|bin| !model[*bin].is_empty()).collect();
        fullest_first.sort_by_key(|bin| (left(&model[*bin]), model[*bin][0].0));
        let fits = |bin: &&usize| model[**bin].len() < MAX_FRAGMENTS && left(&model[**bin]) >= size + ENTRY_BYTES;
        let with_room = fullest_first.iter().find(fits).copied();
        let expected = match with_room.or(model.iter().position(Vec::is_empty)) {
            Some(bin) => Choice::Bin(bin),
            None if size + ENTRY_BYTES >= ROOM - left(&model[fullest_first[0]]) => Choice::GiveUp,
            None => Choice::Replace(fullest_first[0]),
        };
        assert_eq!(packer.choose(size), expected, "{size} bytes into {model:?}");
        let bin = match expected {
            Choice::GiveUp => {
                given_up += 1;
                continue;
            }
            Choice::Replace(bin) => {
                replaced += 1;
                packer.mark(bin);
                write(&mut packer, &mut model, bin);
                bin
            }
            Choice::Bin(bin) => bin,
        };
        model[bin].push((member, size));
        park(&mut packer, bin, member, size);
        let full = model[bin].len() == MAX_FRAGMENTS || left(&model[bin]) < USEFUL + ENTRY_BYTES;
        assert_eq!(packer.next_due(), full.then_some(bin));
        if full {
            filled += 1;
            write(&mut packer, &mut model, bin);
        }
        assert_eq!(packer.parked(), model.iter().map(Vec::len).sum::<usize>());
    }
    assert!(given_up > 5 && replaced > 400 && filled > 250, "{given_up} {replaced} {filled}");
}

/// Writes the due bin and compares the block with the model.
fn write(packer: &mut Packer, model: &mut [Vec<(u32, usize)>], bin: usize) {
    assert_eq!(packer.next_due(), Some(bin));
    let mut block = [0; BLOCK_SIZE];
    packer.encode(bin, &mut block);
    let members = packer.members(bin);
    packer.empty(bin);
    let fragments = Fragments::decode(&block).unwrap();
    assert_eq!(members.as_slice().len(), model[bin].len());
    for (slot, ((member, size), entry)) in (0..).zip(model[bin].iter().zip(fragments.entries())) {
        assert_eq!(members.as_slice()[usize::from(slot)], *member);
        assert_eq!(fragments.get(slot), Ok(&fragment(*member, *size)[..]));
        assert_eq!((usize::from(entry.size), entry.lbn), (*size, Lbn(u64::from(*member) + 1000)));
    }
    model[bin].clear();
}

/// vdo-94: 14 fragments are as many as a block has slots for.
#[test]
fn fourteen_fragments_fill_a_bin() {
    let mut packer = Packer::new();
    for member in 0..13 {
        assert_eq!((add(&mut packer, member, 20), packer.next_due()), (0, None));
    }
    add(&mut packer, 13, 20);
    assert_eq!(packer.next_due(), Some(0));
    assert_eq!(add(&mut packer, 14, 20), 1, "the full bin takes no more, even before it is written");
    packer.empty(0);
    assert_eq!((packer.parked(), packer.next_due()), (1, None));
}

/// A large fragment waits for a small one, and both share a block.
#[test]
fn a_large_fragment_pairs_with_a_small_one() {
    let mut packer = Packer::new();
    assert_eq!(add(&mut packer, 0, 3700), 0);
    assert_eq!(add(&mut packer, 1, 3000), 1);
    assert_eq!(add(&mut packer, 2, 340), 0, "the fullest bin with room");
    assert_eq!(packer.next_due(), Some(0));
}

/// No other write is in flight: all bins are due, the oldest first.
#[test]
fn alone_all_bins_are_due() {
    let mut packer = Packer::new();
    packer.mark_alone(false);
    assert_eq!(packer.next_due(), None);
    // No two of these fit one bin.
    for member in 0..9 {
        add(&mut packer, member, 2100 + 100 * member as usize);
    }
    packer.mark_alone(false);
    for member in 0..9 {
        let bin = packer.next_due().expect("all are due");
        assert_eq!(packer.members(bin).as_slice(), [member]);
        packer.empty(bin);
    }
    assert_eq!((packer.next_due(), packer.parked()), (None, 0));
}

/// No fragment waits longer than the bound.
#[test]
fn bins_are_due_after_the_bound() {
    let mut packer = Packer::new();
    assert_eq!(packer.mark_expired(Nanos(u64::MAX)), None);
    add(&mut packer, 100, 3000);
    add(&mut packer, 300, 3000);
    add(&mut packer, 400, 900);
    assert_eq!(packer.mark_expired(Nanos(PACK_BOUND.0 + 99)), Some(Nanos(PACK_BOUND.0 + 100)));
    assert_eq!(packer.next_due(), None);
    assert_eq!(packer.mark_expired(Nanos(PACK_BOUND.0 + 100)), Some(Nanos(PACK_BOUND.0 + 300)));
    assert_eq!(packer.members(packer.next_due().unwrap()).as_slice(), [100, 400], "the later one does not prolong it");
    packer.mark_all();
    assert_eq!(packer.mark_expired(Nanos(0)), None, "nobody waits any more");
}

/// Number of blocks needed if all sizes are known at once, by first-fit decreasing.
fn first_fit_decreasing(sizes: &mut [usize]) -> usize {
    sizes.sort_unstable();
    let mut bins: Vec<usize> = vec![];
    for size in sizes.iter().rev() {
        match bins.iter_mut().find(|left| **left >= *size) {
            Some(left) => *left -= size,
            None => bins.push(BLOCK_SIZE - size),
        }
    }
    bins.len()
}

/// vdo-94: packing as they come, in bins, saves nearly as much as packing them all at once.
#[test]
fn online_packing_is_close_to_the_oracle() {
    for (smallest, largest, least) in
        [(100, 3800, 93), (1000, 1400, 98), (500, 2000, 98), (1500, 2600, 90), (50, 400, 97)]
    {
        let (mut random, mut packer) = (Random::new(9), Packer::new());
        let mut sizes: Vec<usize> = (0..4000).map(|_| smallest + random.below(largest - smallest)).collect();
        let mut blocks = 0;
        for (member, size) in (0..).zip(&sizes) {
            let bin = match packer.choose(*size) {
                Choice::GiveUp => {
                    blocks += 1;
                    continue;
                }
                Choice::Replace(bin) => {
                    packer.empty(bin);
                    blocks += 1;
                    bin
                }
                Choice::Bin(bin) => bin,
            };
            park(&mut packer, bin, member, *size);
            while let Some(due) = packer.next_due() {
                packer.empty(due);
                blocks += 1;
            }
        }
        let oracle = sizes.len() - first_fit_decreasing(&mut sizes);
        let saved = (sizes.len() - blocks) * 100 / oracle;
        assert!(saved >= least, "{smallest} to {largest} bytes: {saved}% of what the oracle saves");
    }
}

fn park_own(packer: &mut Packer, bin: usize, member: u32, size: usize) {
    let parked = Parked { member, lbn: Lbn(u64::from(member) + 1000), own: true };
    packer.park(bin, parked, &fragment(member, size), Nanos(u64::from(member)));
}

/// Room is kept for an expected fragment until it arrives, is cancelled, or the bin is written.
#[test]
fn room_is_kept_for_what_is_expected() {
    let mut packer = Packer::new();
    assert_eq!(add(&mut packer, 0, 600), 0);
    assert!(packer.expect(0, Lbn(1001), Pbn(7), 3000));
    assert!(!packer.expect(0, Lbn(1002), Pbn(8), 10), "one at a time");
    assert_eq!((packer.expecting(), packer.bins[0].expected.map(|expected| expected.lbn)), (1, Some(Lbn(1001))));
    assert_eq!(packer.choose(1000), Choice::Bin(1), "what is kept is not given to others");
    assert_eq!(add(&mut packer, 2, 300), 0, "what is not kept is");
    assert_eq!(packer.next_due(), None, "a bin that is full but for what it expects is not due");
    assert_eq!(packer.arrived(Lbn(1001)), Some(0));
    park_own(&mut packer, 0, 1, 3000);
    assert_eq!((packer.expecting(), packer.parked(), packer.clients), (0, 3, 2));

    assert_eq!(add(&mut packer, 3, 800), 1);
    assert!(packer.expect(1, Lbn(1004), Pbn(9), 3200));
    packer.cancel(Pbn(7));
    assert_eq!(packer.expecting(), 1, "another block than the one that is expected");
    packer.cancel(Pbn(9));
    assert_eq!((packer.expecting(), packer.choose(3000)), (0, Choice::Bin(1)));
    assert!(packer.expect(1, Lbn(1004), Pbn(9), 3200));
    packer.empty(1);
    assert_eq!((packer.expecting(), packer.arrived(Lbn(1004))), (0, None));
}

/// A slot is kept as well: 13 fragments and the expected one fill a block.
#[test]
fn a_slot_is_kept_for_what_is_expected() {
    let mut packer = Packer::new();
    assert_eq!(add(&mut packer, 0, 20), 0);
    assert!(packer.expect(0, Lbn(1099), Pbn(7), 20));
    for member in 1..13 {
        assert_eq!(add(&mut packer, member, 20), 0);
    }
    assert_eq!(add(&mut packer, 13, 20), 1, "the last slot is kept");
    assert_eq!(packer.arrived(Lbn(1099)), Some(0));
    assert_eq!(add(&mut packer, 99, 20), 0);
    assert_eq!(packer.next_due(), Some(0));
}

/// When few clients wait, only bins with their fragments are due.
#[test]
fn bins_of_clients_are_due_alone() {
    let mut packer = Packer::new();
    for (bin, member) in (0..8).zip(0..) {
        if bin % 2 == 0 {
            park_own(&mut packer, bin, member, 3000);
        } else {
            park(&mut packer, bin, member, 3000);
        }
    }
    packer.mark_alone(true);
    for bin in [1, 3, 5, 7] {
        assert_eq!(packer.next_due(), Some(bin));
        packer.empty(bin);
    }
    assert_eq!((packer.next_due(), packer.bin_of(2), packer.bin_of(1)), (None, Some(2), None));
    packer.mark_alone(false);
    assert_eq!(packer.next_due(), Some(0));
}
