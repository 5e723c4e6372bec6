// SPDX-License-Identifier: BSD-3-Clause

use std::collections::{BTreeMap, HashMap};

use mpool::testing::Random;

use super::super::testing::{at, content};
use super::*;
use crate::fingerprint::Fingerprint;
use crate::format::MappingState;
use crate::units::Pbn;

const NONCE: u64 = 0x1234_5678_9abc_def0;

/// Size of a level 1 for one full section, in bytes.
const SECTION_OF_INDEX: usize = SECTION_RECORDS * 8;

const SECTIONS_PER_CHAPTER: u16 = 2;

/// A shard's index, and the host that keeps its chapters.
struct World {
    index: Index,
    history: Option<History>,
    store: BTreeMap<SectionAt, Vec<u8>>,
    handed_over: Vec<Vec<u8>>,
    chapter: u32,
    /// Number of chapters in the window.
    chapters: u32,
    loads: u64,
}

impl World {
    /// A level 1 for `index_sections` sections, and a level 2 for `window_sections`, if any.
    fn new(index_sections: usize, window_sections: Option<u32>) -> World {
        World {
            index: Index::new(index_sections * SECTION_OF_INDEX),
            history: window_sections.map(|sections| history(sections, 0..=255)),
            store: BTreeMap::new(),
            handed_over: Vec::new(),
            chapter: 0,
            chapters: window_sections.unwrap_or(0) / u32::from(SECTIONS_PER_CHAPTER),
            loads: 0,
        }
    }

    /// Writes content number `n`, stored in block `n + 1`; returns whether the index knew it.
    fn write(&mut self, n: u64) -> bool {
        let fingerprint = content(n);
        let mut advice = self.index.lookup(fingerprint);
        let wanted = self.history.as_mut().filter(|_| advice.is_none()).and_then(|history| history.hook(fingerprint));
        if let Some(wanted) = wanted {
            self.load(wanted);
            advice = self.index.lookup(fingerprint);
        }
        if advice == Some(at(n + 1)) {
            return true;
        }
        self.index.update(fingerprint, at(n + 1));
        let section = self.history.as_mut().and_then(|history| history.add(fingerprint, at(n + 1)));
        self.hand_over(section);
        false
    }

    fn load(&mut self, wanted: SectionAt) {
        let history = self.history.as_mut().expect("it asked");
        let image = self.store.get(&wanted).expect("a section that can be read is in the store");
        let section = history.loaded(&mut self.index, wanted, image).expect("what was stored is good");
        self.loads += 1;
        self.hand_over(section);
    }

    fn hand_over(&mut self, section: Option<Vec<u8>>) {
        let (Some(section), Some(history)) = (section, &mut self.history) else { return };
        self.handed_over.push(section);
        if self.handed_over.len() < usize::from(SECTIONS_PER_CHAPTER) {
            return;
        }
        for (number, section) in (0..).zip(self.handed_over.drain(..)) {
            self.store.insert(SectionAt { chapter: self.chapter, section: number }, section);
        }
        history.chapter_closed(self.chapter, SECTIONS_PER_CHAPTER);
        self.chapter += 1;
        let oldest = self.chapter.saturating_sub(self.chapters);
        self.store.retain(|at, _| at.chapter >= oldest);
        history.forget_before(oldest);
    }

    /// Writes some contents; returns the share that the index knew.
    fn write_all(&mut self, contents: std::ops::Range<u64>) -> f64 {
        let count = contents.end - contents.start;
        contents.filter(|&n| self.write(n)).count() as f64 / count as f64
    }

    /// A crash: everything in memory is lost, the chapters are read, newest first.
    fn crash_and_refill(&mut self, window_sections: u32) {
        self.index = Index::new(self.index.capacity() as usize * 8);
        self.handed_over.clear();
        let mut history = history(window_sections, 0..=255);
        for (&at, image) in self.store.iter().rev() {
            history.refill(&mut self.index, at, image).expect("what was stored is good");
        }
        self.history = Some(history);
    }

    fn statistics(&self) -> HistoryStatistics {
        self.history.as_ref().map(History::statistics).unwrap_or_default()
    }
}

fn history(window_sections: u32, partitions: RangeInclusive<u8>) -> History {
    let section_records = SECTION_RECORDS as u16;
    History::new(HistoryConfig { nonce: NONCE, window_sections, section_records }, partitions)
}

/// Numbers of the contents of the full sections `first` to `end`.
fn sections(first: u64, end: u64) -> std::ops::Range<u64> {
    first * SECTION_RECORDS as u64..end * SECTION_RECORDS as u64
}

/// vdo-114: a sequence twelve times as long as level 1 remembers is written twice, in the same order. Without level 2
/// the second pass finds nothing; with it hooks bring the neighbourhoods back, one load for each section.
#[test]
fn a_sequence_that_is_repeated_is_found() {
    let mut alone = World::new(4, None);
    alone.write_all(sections(0, 48));
    let found = alone.write_all(sections(0, 48));
    assert!(found < 0.01, "{found} without level 2");

    let mut world = World::new(4, Some(100));
    assert_eq!(world.write_all(sections(0, 48)).to_bits(), 0_f64.to_bits(), "nothing repeats in the first pass");
    let in_first_pass = world.loads;
    assert!(in_first_pass <= 2, "a hook was mistaken for another {in_first_pass} times");
    let found = world.write_all(sections(0, 48));
    assert!(found > 0.97, "{found} with level 2");
    assert!((46..=56).contains(&world.loads), "{} loads for 48 sections", world.loads);
    assert!(world.statistics().sections_sealed < 50, "what was found is not recorded again");
}

/// The same when the second pass is several interleaved streams, each at another place of the sequence.
#[test]
fn streams_that_are_interleaved_are_found() {
    let mut world = World::new(8, Some(100));
    world.write_all(sections(0, 48));
    let quarter = sections(0, 12).end;
    let mut found = 0;
    for n in 0..quarter {
        found += (0..4).filter(|stream| world.write(stream * quarter + n)).count();
    }
    let share = found as f64 / (4 * quarter) as f64;
    assert!(share > 0.95, "{share}");
}

/// vdo-112, adapted: the oldest chapters are forgotten when the window is full, and what was met meanwhile is kept: by
/// sections, which are carried on once they are in the older half of the window.
#[test]
fn the_window_moves_on_and_keeps_what_is_met() {
    let mut world = World::new(4, Some(24));
    let (hot, cold, mut next) = (sections(0, 1), sections(1, 2), 2);
    world.write_all(sections(0, 2));
    for _ in 0..10 {
        world.write_all(sections(next, next + 9));
        next += 9;
        let found = world.write_all(hot.clone());
        assert!(found > 0.9, "{found} of what is met before the window has passed");
    }
    assert!(world.statistics().records_carried >= 3 * SECTION_RECORDS as u64 / 2, "{:?}", world.statistics());
    assert!(world.statistics().sections_readable <= 24);
    let found = world.write_all(cold);
    assert!(found < 0.01, "{found} of what was last met several windows ago");
}

/// vdo-115, adapted: after a crash level 1 is filled again from chapters, newest first, and old sequences are found by
/// their hooks; what had not reached a chapter is lost, and only that.
#[test]
fn chapters_bring_the_index_back_after_a_crash() {
    let mut world = World::new(8, Some(100));
    world.write_all(sections(0, 40));
    world.crash_and_refill(100);
    let room = world.index.capacity();
    assert!(world.index.len() > room * 85 / 100, "{} of {room}", world.index.len());
    let newest: Vec<u64> = sections(34, 40).collect();
    let known = newest.iter().filter(|&&n| world.index.lookup(content(n)) == Some(at(n + 1))).count();
    assert!(known as f64 > 0.97 * newest.len() as f64, "{known} of the newest {}", newest.len());
    assert!(world.write_all(sections(0, 30)) > 0.98, "old sequences");

    // New chapters continue after the old ones.
    world.write_all(sections(40, 45));
    world.crash_and_refill(100);
    let kept = world.write_all(sections(40, 43));
    assert!(kept > 0.98, "{kept}");
    let lost = world.write_all(sections(44, 45));
    assert!(lost < 0.02, "{lost} of a section whose chapter was not closed");
}

/// Records are found, however many shards wrote them and however many read them.
#[test]
fn chapters_do_not_depend_on_the_number_of_shards() {
    let of_shard = |shard: u32, shards: u32| {
        let first = |shard: u32| (256 * shard).div_ceil(shards);
        first(shard) as u8..=(first(shard + 1) - 1) as u8
    };
    let mut store = Vec::new();
    for shard in 0..2 {
        let mut writer = history(100, of_shard(shard, 2));
        let own = sections(0, 6).filter(|&n| of_shard(shard, 2).contains(&content(n).first_byte()));
        store.extend(own.filter_map(|n| writer.add(content(n), at(n + 1))));
        store.extend(writer.seal());
    }
    let mut known = 0;
    for shard in 0..3 {
        let mut index = Index::new(8 * SECTION_OF_INDEX);
        let mut reader = history(100, of_shard(shard, 3));
        let mut taken = 0;
        for (section, image) in (0..).zip(&store) {
            taken += reader.refill(&mut index, SectionAt { chapter: 1, section }, image).unwrap();
        }
        let mine: Vec<u64> =
            sections(0, 6).filter(|&n| of_shard(shard, 3).contains(&content(n).first_byte())).collect();
        let found = mine.iter().filter(|&&n| index.lookup(content(n)) == Some(at(n + 1))).count();
        assert_eq!((index.len(), found as u64), (taken, taken), "shard {shard}: nothing of other shards");
        assert!(found + 5 > mine.len(), "{found} of {} but for those with equal keys", mine.len());
        let hooks = mine.iter().filter(|&&n| ShortFingerprint::from(content(n)).is_hook()).count();
        assert_eq!(reader.statistics().hooks, hooks as u64);
        known += found;
    }
    assert!(known + 10 > sections(0, 6).count(), "{known}");
}

/// A content that is a hook, and its fingerprint.
fn hook(n: u64) -> Fingerprint {
    Fingerprint(content(n).0 & !(0x1f << 72))
}

/// What level 1 learned after a chapter was written takes precedence; the same for hooks.
#[test]
fn old_records_do_not_replace_newer_ones() {
    let mut history = history(100, 0..=255);
    let mut index = Index::new(1 << 16);
    assert!(history.add(hook(1), at(1)).is_none());
    let old = history.seal().expect("it has a record");
    assert_eq!(history.hook(hook(1)), None, "pending");
    history.chapter_closed(7, 1);
    let old_at = SectionAt { chapter: 7, section: 0 };
    assert_eq!(history.hook(hook(1)), Some(old_at));
    index.update(hook(1), at(2));
    assert!(history.add(hook(1), at(2)).is_none());
    assert_eq!(history.hook(hook(1)), None, "the open section has it now");
    assert_eq!(history.loaded(&mut index, old_at, &old), Ok(None));
    assert_eq!(history.refill(&mut index, SectionAt { chapter: 3, section: 9 }, &old), Ok(0));
    assert_eq!(index.lookup(hook(1)), Some(at(2)));
    let _ = history.seal();
    history.chapter_closed(8, 1);
    assert_eq!(history.hook(hook(1)), Some(SectionAt { chapter: 8, section: 0 }));
}

#[test]
fn what_cannot_be_read_is_not_asked_for_at_once_again() {
    let mut history = history(100, 0..=255);
    let mut index = Index::new(1 << 16);
    for n in 0..20 {
        assert!(history.add(hook(n), at(n + 1)).is_none());
        let image = history.seal().expect("it has a record");
        assert_eq!(image.len(), index_section::PAGE_BYTES);
    }
    history.chapter_closed(1, 20);
    let place = |n: u64| SectionAt { chapter: 1, section: n as u16 };
    assert_eq!(history.hook(hook(0)), Some(place(0)));
    history.load_failed(place(0));
    assert_eq!(history.hook(hook(0)), None);
    let error = history.loaded(&mut index, place(1), &[0; 4096]);
    assert_eq!(error, Err(SectionError::Damaged(0)));
    assert_eq!((history.hook(hook(1)), history.statistics().sections_failed), (None, 2));
    for n in 2..=16 {
        history.load_failed(place(n));
    }
    assert_eq!(history.hook(hook(0)), Some(place(0)), "long ago");
    assert_eq!(history.hook(hook(1)), None);
    let no_hook = Fingerprint(hook(0).0 | 1 << 72);
    assert_eq!(history.hook(no_hook), None);
}

/// An empty section is not sealed, and host and shard may disagree on what is pending without harm.
#[test]
fn an_empty_history_has_nothing_to_hand_over() {
    let mut history = history(1, 0..=255);
    assert_eq!(history.seal(), None);
    history.section_dropped();
    history.chapter_lost(3);
    history.chapter_closed(1, 3);
    history.forget_before(5);
    assert_eq!(history.statistics(), HistoryStatistics::default());
}

/// State of a section in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    At(SectionAt),
    Gone,
}

/// Random use against a model that knows for every hook which section had it last, and the place of each section.
#[test]
fn hooks_lead_to_the_section_that_had_them_last() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut history = history(16, 0..=255);
        let mut index = Index::new(1 << 12);
        let mut fates = vec![Fate::Pending];
        let mut holders: HashMap<u64, usize> = HashMap::new();
        let mut open = Vec::new();
        let mut pending: VecDeque<usize> = VecDeque::new();
        let mut recent: VecDeque<SectionAt> = VecDeque::new();
        let mut open_section = 0;
        let (mut chapter, mut oldest) = (1_u32 << 20, 0);
        for step in 0..4000 {
            let n = random.below(200);
            match random.below(100) {
                0..40 => {
                    assert!(history.add(hook(n), at(n + 1)).is_none());
                    open.push(n);
                    holders.insert(n, open_section);
                }
                40..50 => {
                    let sealed = history.seal();
                    assert_eq!(sealed.is_some(), !open.is_empty());
                    if sealed.is_some() {
                        pending.push_back(open_section);
                        open_section = fates.len();
                        fates.push(Fate::Pending);
                        open.clear();
                    }
                }
                50..52 => {
                    history.section_dropped();
                    pending.pop_back().into_iter().for_each(|section| fates[section] = Fate::Gone);
                }
                52..53 => {
                    history.chapter_lost(2);
                    let lost = pending.len().min(2);
                    pending.drain(..lost).for_each(|section| fates[section] = Fate::Gone);
                }
                53..58 => {
                    let count = pending.len().min(3) as u16;
                    history.chapter_closed(chapter, count);
                    for (place, section) in (0..count).zip(pending.drain(..usize::from(count))) {
                        fates[section] = Fate::At(SectionAt { chapter, section: place });
                    }
                    chapter += 1;
                }
                58..60 => {
                    oldest = oldest.max(chapter.saturating_sub(random.below(12) as u32));
                    history.forget_before(oldest);
                    for fate in &mut fates {
                        if matches!(*fate, Fate::At(at) if at.chapter < oldest) {
                            *fate = Fate::Gone;
                        }
                    }
                }
                60..63 => {
                    let at_old = SectionAt {
                        chapter: oldest.max(1000) + random.below(3) as u32,
                        section: random.below(9) as u16,
                    };
                    let mut records = vec![SectionRecord::new(hook(n).into(), at(n + 1))];
                    let image = index_section::encode(NONCE, 5, &mut records);
                    history.refill(&mut index, at_old, &image).expect("encoded just now");
                    holders.entry(n).or_insert(fates.len());
                    fates.push(Fate::At(at_old));
                }
                _ => {
                    let expected = match holders.get(&n).map(|&section| fates[section]) {
                        Some(Fate::At(at)) => (!recent.contains(&at)).then_some(at),
                        Some(Fate::Gone) => {
                            holders.remove(&n);
                            None
                        }
                        Some(Fate::Pending) | None => None,
                    };
                    assert_eq!(history.hook(hook(n)), expected, "seed {seed} step {step}");
                    if let Some(at) = expected.filter(|_| random.below(4) == 0) {
                        history.load_failed(at);
                        recent.push_back(at);
                        if recent.len() > RECENT_SECTIONS {
                            recent.pop_front();
                        }
                    }
                }
            }
            let readable = fates.iter().filter(|fate| matches!(fate, Fate::At(_))).count();
            let statistics = history.statistics();
            assert_eq!(
                (statistics.sections_readable, statistics.sections_pending),
                (readable as u64, pending.len() as u64)
            );
        }
    }
}

/// Locations of every kind are restored unchanged.
#[test]
fn compressed_locations_survive() {
    let mut history = history(10, 0..=255);
    let mut index = Index::new(1 << 16);
    for slot in 0..14 {
        let location = Mapped { pbn: Pbn((1 << 36) - 1 - u64::from(slot)), state: MappingState::Compressed(slot) };
        assert!(history.add(content(u64::from(slot)), location).is_none());
    }
    let image = history.seal().expect("it has records");
    assert_eq!(history.refill(&mut index, SectionAt { chapter: 0, section: 0 }, &image), Ok(14));
    for slot in 0..14 {
        let location = Mapped { pbn: Pbn((1 << 36) - 1 - u64::from(slot)), state: MappingState::Compressed(slot) };
        assert_eq!(index.lookup(content(u64::from(slot))), Some(location));
    }
}
