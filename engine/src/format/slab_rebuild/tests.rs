// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::format::sector::{self, Kind};
use crate::format::testing::Numbers;
use crate::units::BLOCK_SIZE;

const NONCE: u64 = 0x77;
const SLAB: u64 = 3;
/// Two reference blocks, and a part of a third.
const BLOCKS: usize = 8192;

/// The area of a slab in use, and the counts that it stands for.
struct Model {
    layout: AreaLayout,
    counts: Vec<u8>,
    reference_blocks: Vec<Block>,
    /// Journal blocks from the head on, and the entries of the block that is not written yet.
    journal: Vec<Block>,
    pending: Vec<SlabEntry>,
    summary: SlabSummary,
}

impl Model {
    fn new(first_entry: u64) -> Model {
        let layout = AreaLayout::of(BLOCKS as u64);
        let mut summary = SlabSummary::new(BLOCKS as u32);
        summary.next_entry = first_entry;
        let blank = [0xee; BLOCK_SIZE];
        let reference_blocks = vec![blank; layout.reference_blocks as usize];
        Model { layout, counts: vec![0; BLOCKS], reference_blocks, journal: Vec::new(), pending: Vec::new(), summary }
    }

    fn id(&self, block: u32) -> AreaBlock {
        AreaBlock { nonce: NONCE, slab: SLAB, block }
    }

    /// Makes an entry that the counts allow, if there is one at a random position.
    fn random_entry(&mut self, numbers: &mut Numbers) {
        let offset = numbers.below(BLOCKS as u64 / 64) as usize * 64 + numbers.below(3) as usize * 30;
        let count = (1 + numbers.below(60) as usize).min(BLOCKS - offset);
        let change = match numbers.below(5) {
            0 | 1 => SlabChange::Increment,
            2 | 3 => SlabChange::Decrement,
            _ if self.counts[offset] == MAX_REFERENCES => SlabChange::BlockMapDecrement,
            _ => SlabChange::BlockMapIncrement,
        };
        let run = &mut self.counts[offset..offset + count];
        if run.iter().any(|&counter| changed(counter, change).is_none()) {
            return;
        }
        run.iter_mut().for_each(|counter| *counter = changed(*counter, change).expect("allowed"));
        self.pending.push(SlabEntry { offset: offset as u32, count: count as u8, change });
    }

    fn commit(&mut self) {
        let id = self.id(self.layout.journal_block(self.summary.tail));
        let mut block = [0; BLOCK_SIZE];
        let entries = self.pending.iter().copied();
        slab_journal_block::encode(id, self.summary.tail, self.summary.next_entry, entries, &mut block);
        self.journal.push(block);
        self.summary.tail += 1;
        self.summary.next_entry += self.pending.len() as u64;
        self.pending.clear();
    }

    /// Writes a reference block, or only its first `sectors` sectors.
    fn write_counts(&mut self, number: u32, sectors: usize) {
        assert!(self.pending.is_empty(), "images are made when the tail is empty");
        let id = self.id(self.layout.reference_block(number));
        let counts = self.counts.chunks(4032).nth(number as usize).expect("it exists");
        let mut block = [0; BLOCK_SIZE];
        reference_block::encode(id, self.summary.next_entry as u32, counts, &mut block);
        self.reference_blocks[number as usize][..sectors * 512].copy_from_slice(&block[..sectors * 512]);
    }

    fn write_all_counts(&mut self) {
        (0..self.layout.reference_blocks).for_each(|number| self.write_counts(number, 8));
        self.summary.counts_written = true;
    }

    fn forget(&mut self, blocks: usize) {
        self.journal.drain(..blocks);
        self.summary.head += blocks as u64;
    }

    fn rebuild(&self) -> Result<Vec<u8>, ScrubError> {
        let mut counts = vec![9; BLOCKS];
        let mut rebuild = SlabRebuild::new(NONCE, SLAB, &self.summary, &mut counts);
        if rebuild.needs_reference_blocks() {
            for (number, block) in (0..).zip(&self.reference_blocks) {
                rebuild.load_reference_block(number, block, &mut counts)?;
            }
        }
        for (sequence, block) in rebuild.journal_blocks().zip(&self.journal) {
            rebuild.apply_journal_block(sequence, block, &mut counts)?;
        }
        rebuild.finish().map(|()| counts)
    }
}

/// vdo-57: random histories in which reference blocks are written at any time, torn between any two sectors: the counts
/// come out exact, because each sector skips what it includes. Entry numbers pass 2^32, which the points do not have.
#[test]
fn sectors_skip_what_they_include() {
    for seed in 0..30 {
        let mut numbers = Numbers::new(seed);
        let mut model = Model::new(0);
        let mut torn = 0;
        for round in 0..60 {
            for _ in 0..numbers.below(300) {
                model.random_entry(&mut numbers);
            }
            model.commit();
            if round == 5 {
                model.write_all_counts();
                model.forget(model.journal.len());
                // As if most of 2^32 entries had been made and applied since.
                let later = (1 << 32) - 3000 - model.summary.next_entry;
                model.summary.next_entry += later;
                model.write_all_counts();
            }
            for number in 0..3 {
                if round > 5 && numbers.below(6) == 0 {
                    let sectors = numbers.below(9) as usize;
                    torn += usize::from((1..8).contains(&sectors));
                    model.write_counts(number, sectors);
                }
            }
            if model.journal.len() > 25 {
                (0..3).for_each(|number| model.write_counts(number, 8));
                model.forget(20);
            }
            assert!(model.rebuild().as_ref() == Ok(&model.counts), "seed {seed}, round {round}");
        }
        assert!(torn > 5 && model.summary.next_entry > 1 << 32, "{torn} torn, {} entries", model.summary.next_entry);
    }
}

/// A sector that was idle for more than half of a point's number range is not taken for a newer one.
#[test]
fn old_sectors_are_old() {
    for rest in [1 << 20, (1 << 31) + 5, (1 << 32) - 2000, (1 << 32) + 2000, 9 << 31] {
        let mut model = Model::new(0);
        model.write_all_counts();
        model.summary.next_entry = rest;
        (model.summary.head, model.summary.tail) = (1000, 1000);
        model.counts[700] = 1;
        model.pending.push(SlabEntry { offset: 700, count: 1, change: SlabChange::Increment });
        model.commit();
        assert!(model.rebuild().as_ref() == Ok(&model.counts), "{rest} entries later");
    }
}

fn model() -> Model {
    let mut numbers = Numbers::new(1);
    let mut model = Model::new(0);
    for _ in 0..3 {
        (0..500).for_each(|_| model.random_entry(&mut numbers));
        model.commit();
    }
    model.write_all_counts();
    for _ in 0..4 {
        (0..500).for_each(|_| model.random_entry(&mut numbers));
        model.commit();
    }
    model
}

/// Replaces bytes of a journal block and seals it again.
fn forge(model: &mut Model, at: usize, bytes: &[u8]) {
    let number = 4;
    let sequence = model.summary.head + number as u64;
    let id = model.id(model.layout.journal_block(sequence));
    let block = &mut model.journal[number];
    block[at..at + bytes.len()].copy_from_slice(bytes);
    let stamp = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    sector::seal_block(block, id.identity(Kind::SlabJournal), stamp);
}

/// vdo-56, partly: a block of the slab journal of another volume, of another kind, with another sequence number, with
/// wrong entry numbers or count, with an entry beyond the slab or one that no counter allows: each is refused with its
/// own error.
#[test]
fn journals_that_cannot_be_are_refused() {
    let good = model();
    assert!(good.rebuild().as_ref() == Ok(&good.counts));
    let error = |change: &dyn Fn(&mut Model)| {
        let mut model = model();
        change(&mut model);
        model.rebuild().expect_err("it is damaged")
    };
    let first = slab_journal_block::decode(good.id(good.layout.journal_block(5)), &good.journal[4]).expect("good").0;
    let sealed_as = |nonce: u64, kind: Kind| {
        error(&move |model: &mut Model| {
            let block = model.layout.journal_block(5);
            let identity = AreaBlock { nonce, slab: SLAB, block }.identity(kind);
            sector::seal_block(&mut model.journal[4], identity, 5);
        })
    };
    let sector = |number| ScrubError::JournalBlock { sequence: 5, damage: DamagedSector(number).into() };
    assert_eq!(sealed_as(NONCE + 1, Kind::SlabJournal), sector(0), "another volume's");
    assert_eq!(sealed_as(NONCE, Kind::ReferenceBlock), sector(0), "another kind");
    assert_eq!(error(&|model| model.journal[4][3000] ^= 1), sector(5));

    let stale = 5 + u64::from(good.layout.journal_blocks);
    let found = ScrubError::Sequence { sequence: 5, found: stale };
    assert_eq!(error(&move |model| forge(model, 0, &stale.to_le_bytes())), found);

    let (expected, found) = (first.first_entry, first.first_entry + 1);
    let number = ScrubError::EntryNumber { sequence: 5, expected, found };
    assert_eq!(error(&move |model| forge(model, 8, &found.to_le_bytes())), number);
    let count = first.count - 1;
    let number =
        ScrubError::EntryNumber { sequence: 6, expected: expected + u64::from(count), found: first.next_entry() };
    assert_eq!(error(&move |model| forge(model, 16, &count.to_le_bytes())), number);
    let number = ScrubError::EntryNumber { sequence: 1, expected: 0, found: 1 };
    assert_eq!(
        error(&|model| {
            let id = model.id(model.layout.journal_block(1));
            slab_journal_block::encode(id, 1, 1, [].into_iter(), &mut model.journal[0]);
        }),
        number
    );

    let entry = SlabEntry { offset: BLOCKS as u32 - 4, count: 5, change: SlabChange::Increment };
    let outside = ScrubError::Offset { sequence: 5, offset: entry.offset, count: 5 };
    assert_eq!(error(&move |model| forge(model, 20, &entry.pack().to_le_bytes())), outside);

    let shorter = error(&|model| model.summary.next_entry += 1);
    let end =
        ScrubError::EntryNumber { sequence: 8, expected: good.summary.next_entry + 1, found: good.summary.next_entry };
    assert_eq!(shorter, end, "the journal ends before the summary says");
    let damage = DamagedSector(6);
    let reference = ScrubError::ReferenceBlock { number: 1, damage };
    assert_eq!(error(&|model| model.reference_blocks[1][6 * 512] ^= 1), reference);
}

/// The table of dm-vdo for replay decides about every change.
#[test]
fn counters_change_by_the_table() {
    use SlabChange::{BlockMapDecrement, BlockMapIncrement, Decrement, Increment};
    let cases = [
        (0, Increment, Some(1)),
        (253, Increment, Some(254)),
        (254, Increment, None),
        (0, Decrement, None),
        (1, Decrement, Some(0)),
        (254, Decrement, Some(253)),
        (0, BlockMapIncrement, Some(254)),
        (1, BlockMapIncrement, None),
        (254, BlockMapIncrement, None),
        (254, BlockMapDecrement, Some(0)),
        (253, BlockMapDecrement, None),
        (0, BlockMapDecrement, None),
    ];
    for (counter, change, expected) in cases {
        assert_eq!(changed(counter, change), expected, "{change:?} of {counter}");
        let mut model = Model::new(0);
        model.counts[9] = counter;
        model.write_all_counts();
        model.pending.push(SlabEntry { offset: 9, count: 1, change });
        model.commit();
        let refusal = ScrubError::Counter { sequence: 1, offset: 9, counter, change };
        assert_eq!(model.rebuild().map(|counts| counts[9]), expected.ok_or(refusal));
    }
}

/// Sealed reference blocks and journals with any content: they are refused or give counts, nothing else.
#[test]
fn any_sealed_bytes_are_judged() {
    let mut numbers = Numbers::new(7);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..400 {
        let mut model = model();
        let journal = numbers.below(2) == 0;
        let number = numbers.below(if journal { 7 } else { 3 }) as usize;
        let (place, kind, block) = if journal {
            let sequence = model.summary.head + number as u64;
            (model.layout.journal_block(sequence), Kind::SlabJournal, &mut model.journal[number])
        } else {
            (model.layout.reference_block(number as u32), Kind::ReferenceBlock, &mut model.reference_blocks[number])
        };
        for _ in 0..1 + numbers.below(3) {
            let at = [numbers.below(20), numbers.below(4096)][numbers.below(2) as usize] as usize;
            block[at] = numbers.below(256) as u8;
        }
        let identity = AreaBlock { nonce: NONCE, slab: SLAB, block: place }.identity(kind);
        let stamp = if journal { u32::from_le_bytes([block[0], block[1], block[2], block[3]]) } else { 5 };
        sector::seal_block(block, identity, stamp);
        match model.rebuild() {
            Ok(counts) => {
                good += 1;
                assert!(counts.iter().all(|&count| count <= MAX_REFERENCES));
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 20 && bad > 20, "{good} passed, {bad} did not");
}
