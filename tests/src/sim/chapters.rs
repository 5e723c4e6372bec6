// SPDX-License-Identifier: BSD-3-Clause

//! The history of the index as a host keeps it: sections in chapters, in memory, slow and unreliable.
//!
//! Sections are written one by one; a chapter with enough of them is closed, or lost. When there are more chapters than
//! the window holds, the oldest is forgotten. A read takes time, and may fail or return something else. When a volume is
//! loaded again, every shard gets every section, newest chapter first. None of this may change what clients see.

use std::collections::{BTreeMap, VecDeque};

use engine::{HistoryConfig, SectionAt, ShardId};
use mpool::testing::Random;

/// Sections that a shard may have handed over and the host not yet written.
const UNWRITTEN: usize = 2;

/// How a volume's history is kept.
#[derive(Debug, Clone, Copy)]
pub struct ChapterPlan {
    /// Seed of what is left to chance.
    pub seed: u64,
    /// Records of a full section.
    pub section_records: u16,
    /// Sections of a full chapter.
    pub chapter_sections: u16,
    /// Chapters kept.
    pub window_chapters: usize,
    /// Sections not taken, in 1000.
    pub dropped: u32,
    /// Chapters that cannot be written, in 1000.
    pub lost: u32,
    /// Reads that fail, in 1000.
    pub failed: u32,
    /// Reads that bring something else, in 1000.
    pub spoilt: u32,
    /// Most nanoseconds that a read takes.
    pub slowest: u64,
}

impl ChapterPlan {
    /// Small sections that are taken and read at once.
    pub const SOUND: ChapterPlan = ChapterPlan {
        seed: 0,
        section_records: 64,
        chapter_sections: 2,
        window_chapters: 64,
        dropped: 0,
        lost: 0,
        failed: 0,
        spoilt: 0,
        slowest: 0,
    };

    /// Draws a plan.
    pub fn draw(random: &mut Random) -> ChapterPlan {
        ChapterPlan {
            seed: random.draw(),
            section_records: random.pick(&[4, 16, 64]),
            chapter_sections: random.pick(&[1, 2, 5]),
            window_chapters: random.pick(&[2, 10, 50]),
            dropped: random.pick(&[0, 0, 300]),
            lost: random.pick(&[0, 0, 300]),
            failed: random.pick(&[0, 0, 300]),
            spoilt: random.pick(&[0, 0, 300]),
            // Up to several times as long as a query waits.
            slowest: random.pick(&[0, 1_000_000, 30_000_000, 200_000_000]),
        }
    }

    /// What a shard is to know of it.
    #[must_use]
    pub fn config(&self, nonce: u64) -> HistoryConfig {
        let window_sections = self.window_chapters as u32 * u32::from(self.chapter_sections);
        HistoryConfig { nonce, window_sections, section_records: self.section_records }
    }
}

/// What one shard has handed over and what is not in a closed chapter.
#[derive(Debug, Clone, Default)]
struct OpenChapter {
    unwritten: VecDeque<Vec<u8>>,
    written: Vec<Vec<u8>>,
    /// Sections not taken of which the shard does not know yet.
    dropped: u32,
}

#[derive(Debug, Clone)]
struct Read {
    shard: ShardId,
    at: SectionAt,
    ready: u64,
    /// What has been read already of a chapter that is deleted meanwhile.
    early: Option<Vec<u8>>,
}

/// What shards are to be told.
#[derive(Debug)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// A chapter is closed; those before `oldest` are no more.
    Closed {
        /// Whose it is.
        shard: ShardId,
        /// Its number.
        chapter: u32,
        /// Sections in it.
        sections: u16,
        /// Number of the oldest chapter that there is.
        oldest: u32,
    },
    /// A chapter could not be written.
    Lost {
        /// Whose it was.
        shard: ShardId,
        /// Sections in it.
        sections: u16,
    },
    /// A read has ended.
    Read {
        /// Who asked.
        shard: ShardId,
        /// For what.
        at: SectionAt,
        /// What there is.
        result: Result<Vec<u8>, ()>,
    },
    /// A section for all shards.
    Refill {
        /// Where it is.
        at: SectionAt,
        /// The section.
        section: Vec<u8>,
    },
}

/// The chapters of a volume.
#[derive(Debug, Clone)]
pub struct Chapters {
    plan: ChapterPlan,
    random: Random,
    open: Vec<OpenChapter>,
    closed: BTreeMap<u32, Vec<Vec<u8>>>,
    next: u32,
    reads: Vec<Read>,
    /// Sections to be given to all shards; the last one first.
    refill: Vec<SectionAt>,
}

impl Chapters {
    /// No chapters.
    #[must_use]
    pub fn new(plan: ChapterPlan) -> Chapters {
        Chapters {
            plan,
            random: Random::stream(plan.seed, 0),
            open: Vec::new(),
            closed: BTreeMap::new(),
            next: 0,
            reads: Vec::new(),
            refill: Vec::new(),
        }
    }

    /// A life begins, on so many shards: what was not closed before is gone, and all sections are given out.
    pub fn begin(&mut self, shards: usize) {
        self.open = vec![OpenChapter::default(); shards];
        self.reads.clear();
        let section = |(chapter, sections): (&u32, &Vec<Vec<u8>>)| {
            let chapter = *chapter;
            (0..sections.len() as u16).map(move |section| SectionAt { chapter, section })
        };
        self.refill = self.closed.iter().flat_map(section).collect();
    }

    /// All chapters are deleted, and what is not closed. What is being read of them arrives all the same.
    pub fn clear(&mut self) {
        for Read { at, early, .. } in &mut self.reads {
            let sections = self.closed.get(&at.chapter);
            *early = sections.and_then(|sections| sections.get(usize::from(at.section))).cloned();
        }
        self.open.fill(OpenChapter::default());
        self.closed.clear();
        self.refill.clear();
    }

    /// The volume has been saved: each shard's last section.
    pub fn save(&mut self, saved: Vec<Option<Vec<u8>>>) {
        for (shard, section) in saved.into_iter().enumerate() {
            let OpenChapter { unwritten, mut written, .. } = std::mem::take(&mut self.open[shard]);
            written.extend(unwritten);
            written.extend(section);
            if !written.is_empty() {
                self.close(written);
            }
        }
    }

    /// A shard hands a section over.
    pub fn append(&mut self, shard: ShardId, section: Vec<u8>) {
        let drops = self.random.chance(self.plan.dropped);
        let open = &mut self.open[shard.index()];
        // After one that was not taken no other is, until the shard knows: it knows them by their order alone.
        if drops || open.dropped > 0 || open.unwritten.len() == UNWRITTEN {
            open.dropped += 1;
        } else {
            open.unwritten.push_back(section);
        }
    }

    /// How many sections of a shard were not taken since it was asked last.
    pub fn take_dropped(&mut self, shard: ShardId) -> u32 {
        self.open.get_mut(shard.index()).map_or(0, |open| std::mem::take(&mut open.dropped))
    }

    /// A shard asks for a section.
    pub fn read(&mut self, shard: ShardId, at: SectionAt, now: u64) {
        let ready = now + self.random.below(self.plan.slowest + 1);
        self.reads.push(Read { shard, at, ready, early: None });
    }

    /// Sections that are being read, and for whom.
    pub fn reads(&self) -> impl Iterator<Item = (ShardId, SectionAt)> + '_ {
        self.reads.iter().map(|read| (read.shard, read.at))
    }

    /// Sections in closed chapters.
    #[must_use]
    pub fn sections(&self) -> usize {
        self.closed.values().map(Vec::len).sum()
    }

    /// When the next read can end.
    #[must_use]
    pub fn ready(&self) -> Option<u64> {
        self.reads.iter().map(|read| read.ready).min()
    }

    /// Things that can happen now; they have numbers from 0: writes, then a refill, then reads.
    #[must_use]
    pub fn possible(&self, now: u64) -> usize {
        self.writes().count() + self.ready_reads(now).count() + usize::from(!self.refill.is_empty())
    }

    fn writes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.open.len()).filter(|shard| !self.open[*shard].unwritten.is_empty())
    }

    fn ready_reads(&self, now: u64) -> impl Iterator<Item = usize> + '_ {
        (0..self.reads.len()).filter(move |read| self.reads[*read].ready <= now)
    }

    /// The number of the first thing that can happen now and is not a read that is held back.
    pub fn first(&self, now: u64, held: impl Fn(ShardId, SectionAt) -> bool) -> Option<usize> {
        let others = self.possible(now) - self.ready_reads(now).count();
        if others > 0 {
            return Some(0);
        }
        self.ready_reads(now).position(|read| !held(self.reads[read].shard, self.reads[read].at))
    }

    /// Lets one of them happen.
    ///
    /// # Panics
    /// If there is none of that number.
    pub fn perform(&mut self, number: usize, now: u64) -> Told {
        let shard = self.writes().nth(number);
        if let Some(shard) = shard {
            return self.write(shard);
        }
        let mut number = number - self.writes().count();
        if !self.refill.is_empty() {
            if number == 0 {
                return self.give();
            }
            number -= 1;
        }
        let read = self.ready_reads(now).nth(number).expect("a number below that of the things that can happen");
        let Read { shard, at, early, .. } = self.reads.swap_remove(read);
        let result = early.map_or_else(|| self.content(at), Ok);
        Told::Read { shard, at, result }
    }

    fn write(&mut self, shard: usize) -> Told {
        let open = &mut self.open[shard];
        let section = open.unwritten.pop_front().expect("the shard has an unwritten section");
        open.written.push(section);
        let sections = open.written.len() as u16;
        if sections < self.plan.chapter_sections {
            return Told::Nothing;
        }
        let written = std::mem::take(&mut open.written);
        let shard = ShardId(shard as u16);
        if self.random.chance(self.plan.lost) {
            return Told::Lost { shard, sections };
        }
        let chapter = self.close(written);
        let oldest = *self.closed.keys().next().expect("a chapter was just closed");
        Told::Closed { shard, chapter, sections, oldest }
    }

    fn close(&mut self, sections: Vec<Vec<u8>>) -> u32 {
        let chapter = self.next;
        self.next += 1;
        self.closed.insert(chapter, sections);
        while self.closed.len() > self.plan.window_chapters {
            self.closed.pop_first();
        }
        chapter
    }

    fn give(&mut self) -> Told {
        let Some(at) = self.refill.pop() else { return Told::Nothing };
        match self.content(at) {
            Ok(section) => Told::Refill { at, section },
            Err(()) => Told::Nothing,
        }
    }

    /// What is read of a section.
    fn content(&mut self, at: SectionAt) -> Result<Vec<u8>, ()> {
        let sections = self.closed.get(&at.chapter).ok_or(())?;
        let section = sections.get(usize::from(at.section)).ok_or(())?;
        if self.random.chance(self.plan.failed) {
            return Err(());
        }
        let mut section = section.clone();
        if self.random.chance(self.plan.spoilt) {
            let (byte, bit) = (self.random.index(section.len()), self.random.below(8));
            section[byte] ^= 1 << bit;
            if self.random.chance(300) {
                section.truncate(byte);
            }
        }
        Ok(section)
    }
}
