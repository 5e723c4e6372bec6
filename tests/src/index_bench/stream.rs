// SPDX-License-Identifier: BSD-3-Clause

//! A sequence of contents, all different and twelve times as many as level 1 has room for, written twice in the same
//! order.

use std::collections::BTreeMap;

use ::tests::measure::{column, processor_time, Column, Record};
use engine::format::index_section::SECTION_RECORDS;
use engine::index::{History, HistoryConfig, Index};
use engine::SectionAt;

use super::{content, place};

/// The table of what is found of the sequence.
pub const TABLE: &[Column] = &[
    column("sequence", "12 x level 1, written twice", 0),
    column("found_percent", "found %", 2),
    column("write_ns", "ns a write", 0),
    column("sections_read", "sections read", 0),
    column("first_found_percent", "found in the first pass %", 2),
    column("first_sections_read", "sections read in it", 0),
];

/// How many times the records of level 1.
const TIMES: u64 = 12;

/// Sections of a chapter.
const CHAPTER: usize = 16;

/// A level 1 and, if wanted, a level 2 whose host keeps chapters in memory.
struct World {
    index: Index,
    history: Option<History>,
    store: BTreeMap<SectionAt, Vec<u8>>,
    handed_over: Vec<Vec<u8>>,
    chapter: u32,
    loads: u64,
}

impl World {
    /// Says whether the index knew the content.
    fn write(&mut self, n: u64) -> bool {
        let mut advice = self.index.lookup(content(n));
        if let (None, Some(history)) = (advice, &mut self.history) {
            if let Some((at, image)) = history.hook(content(n)).and_then(|at| Some((at, self.store.get(&at)?))) {
                let filled = history.loaded(&mut self.index, at, image);
                self.loads += 1;
                advice = self.index.lookup(content(n));
                self.hand_over(filled.ok().flatten());
            }
        }
        if advice == Some(place(n)) {
            return true;
        }
        self.index.update(content(n), place(n));
        let filled = self.history.as_mut().and_then(|history| history.add(content(n), place(n)));
        self.hand_over(filled);
        false
    }

    fn hand_over(&mut self, section: Option<Vec<u8>>) {
        self.handed_over.extend(section);
        if self.handed_over.len() < CHAPTER {
            return;
        }
        let chapter = self.chapter;
        let places = (0..).map(|section| SectionAt { chapter, section });
        self.store.extend(places.zip(self.handed_over.drain(..)));
        self.chapter += 1;
        if let Some(history) = &mut self.history {
            history.chapter_closed(chapter, CHAPTER as u16);
        }
    }
}

/// Measures with a level 1 of `bytes` bytes, without and with a level 2.
pub fn measure(bytes: usize) -> impl Iterator<Item = Record> {
    [false, true].into_iter().map(move |with_history| twice(bytes, with_history))
}

/// Time is that of a write in the second pass, without the reads of sections.
fn twice(bytes: usize, with_history: bool) -> Record {
    log::info!("a sequence written twice, {} level 2", if with_history { "with" } else { "without" });
    let index = Index::new(bytes);
    let contents = index.capacity() * TIMES;
    // Room for all that is written, and for what is written again because it was not found.
    let window_sections = (contents / SECTION_RECORDS as u64) as u32 * 5 / 4;
    let config = HistoryConfig { nonce: 1, window_sections, section_records: SECTION_RECORDS as u16 };
    let history = with_history.then(|| History::new(config, 0..=255));
    let (store, handed_over) = (BTreeMap::new(), Vec::new());
    let mut world = World { index, history, store, handed_over, chapter: 0, loads: 0 };
    let first = (0..contents).filter(|&n| world.write(n)).count();
    let in_vain = std::mem::take(&mut world.loads);
    let start = processor_time();
    let second = (0..contents).filter(|&n| world.write(n)).count();
    let took = (processor_time() - start).as_secs_f64() * 1e9 / contents as f64;
    let percent = |found: usize| found as f64 / contents as f64 * 100.0;
    Record::new("sequence", if with_history { "with level 2" } else { "level 1 alone" })
        .with("found_percent", percent(second))
        .with("write_ns", took)
        .with("sections_read", world.loads)
        .with("first_found_percent", percent(first))
        .with("first_sections_read", in_vain)
}
