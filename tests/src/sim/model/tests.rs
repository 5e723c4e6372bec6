// SPDX-License-Identifier: BSD-3-Clause

//! The model by itself.

use super::*;
use crate::sim::content::block_of;

const LBN: Lbn = Lbn(0);
const WRITE: Kind = Kind::By(Operation::Write);

struct Script {
    model: Model,
    now: u32,
}

impl Script {
    fn new() -> Script {
        Script { model: Model::new(1), now: 1 }
    }

    fn tick(&mut self) -> u32 {
        self.now += 1;
        self.now
    }

    fn begin(&mut self, value: u64, covers: SectorMask) -> u32 {
        let start = self.tick();
        self.model.write_starts(LBN, start, WRITE, covers, &block_of(value));
        start
    }

    fn end(&mut self, start: u32, outcome: Outcome) {
        let now = self.tick();
        self.model.write_ends(LBN, start, now, outcome);
    }

    fn write(&mut self, value: u64) {
        let write = self.begin(value, ALL_SECTORS);
        self.end(write, Outcome::Done);
    }

    fn read_began(&mut self) -> u32 {
        self.model.read_starts(LBN);
        self.tick()
    }

    fn read_ended(&mut self, start: u32, seen: Tokens) -> bool {
        let now = self.tick();
        self.model.read_ends(LBN, start, now, Some((ALL_SECTORS, &seen.map(Some)))).is_ok()
    }

    fn reads(&mut self, seen: Tokens) -> bool {
        let start = self.read_began();
        self.read_ended(start, seen)
    }
}

#[test]
fn only_the_last_write_shows() {
    let mut script = Script::new();
    assert!(script.reads([0; SECTORS]) && !script.reads(block_of(1)));
    script.write(1);
    script.write(2);
    assert!(script.reads(block_of(2)) && !script.reads(block_of(1)) && !script.reads([0; SECTORS]));
}

#[test]
fn a_write_in_flight_shows_or_not_but_whole() {
    let mut script = Script::new();
    script.write(1);
    let write = script.begin(2, ALL_SECTORS);
    let mut mixed = block_of(1);
    mixed[3] = block_of(2)[3];
    assert!(script.reads(block_of(1)) && script.reads(block_of(2)) && !script.reads(mixed));
    script.end(write, Outcome::Done);
    assert!(script.reads(block_of(2)) && !script.reads(block_of(1)));
}

#[test]
fn a_read_may_show_what_was_current_when_it_began() {
    let mut script = Script::new();
    script.write(1);
    let (read, late) = (script.read_began(), script.read_began());
    script.write(2);
    script.write(3);
    assert!(script.read_ended(read, block_of(1)));
    assert!(script.read_ended(late, block_of(2)));
    assert!(!script.reads(block_of(2)));
}

#[test]
fn either_of_two_concurrent_writes_may_be_last() {
    for last in [1, 2] {
        let mut script = Script::new();
        let (one, two) = (script.begin(1, ALL_SECTORS), script.begin(2, ALL_SECTORS));
        script.end(one, Outcome::Done);
        script.end(two, Outcome::Done);
        assert!(!script.reads([0; SECTORS]) && script.reads(block_of(last)));
        assert!(!script.reads(block_of(3 - last)), "the first look decides");
    }
}

#[test]
fn a_failed_write_may_have_happened_until_a_read_tells() {
    let mut script = Script::new();
    script.write(1);
    let write = script.begin(2, ALL_SECTORS);
    script.end(write, Outcome::Unknown);
    assert!(script.reads(block_of(1)) && !script.reads(block_of(2)));
    let write = script.begin(3, ALL_SECTORS);
    script.end(write, Outcome::NotDone);
    assert!(!script.reads(block_of(3)) && script.reads(block_of(1)));
}

#[test]
fn a_crash_leaves_open_whether_a_write_happened_but_not_acknowledged_ones() {
    for shown in [1, 2] {
        let mut script = Script::new();
        script.write(1);
        script.begin(2, ALL_SECTORS);
        let now = script.tick();
        script.model.crash(now);
        assert!(!script.reads([0; SECTORS]) && script.reads(block_of(shown)));
        assert!(!script.reads(block_of(3 - shown)), "the first look decides");
        script.write(4);
        let now = script.tick();
        script.model.crash(now);
        assert!(!script.reads(block_of(shown)) && script.reads(block_of(4)));
    }
}

#[test]
fn a_fickle_model_learns_nothing_from_reads() {
    let mut script = Script::new();
    script.write(1);
    let write = script.begin(2, ALL_SECTORS);
    script.end(write, Outcome::Unknown);
    script.model.set_fickle(true);
    assert!(script.reads(block_of(1)) && script.reads(block_of(2)) && script.reads(block_of(1)));
    script.model.set_fickle(false);
    assert!(script.reads(block_of(2)) && !script.reads(block_of(1)));
}

#[test]
fn parts_of_a_block_are_judged_apart() {
    let mut script = Script::new();
    script.write(1);
    let write = script.begin(2, 0b1100);
    let mut mixed = block_of(1);
    (mixed[2], mixed[3]) = (block_of(2)[2], block_of(2)[3]);
    let mut torn = block_of(1);
    torn[2] = block_of(2)[2];
    assert!(script.reads(block_of(1)) && script.reads(mixed) && !script.reads(torn));
    script.end(write, Outcome::Done);
    assert!(script.reads(mixed) && !script.reads(block_of(1)));
    assert_eq!(script.model.whole_content_kind(LBN), None);
    script.write(3);
    assert_eq!(script.model.whole_content_kind(LBN), Some(WRITE));
}

#[test]
fn a_write_stores_what_was_taken_from_its_client() {
    let mut script = Script::new();
    script.write(1);
    let write = script.begin(2, ALL_SECTORS);
    script.model.write_takes(LBN, write, 0b11, &block_of(3));
    let mut mixed = block_of(2);
    mixed[..2].copy_from_slice(&block_of(3)[..2]);
    assert!(script.reads(block_of(1)) && script.reads(mixed) && !script.reads(block_of(2)));
    script.end(write, Outcome::Done);
    assert!(script.reads(mixed) && !script.reads(block_of(3)));
}
