// SPDX-License-Identifier: BSD-3-Clause

//! Which sections exist, by number, and where each one is. Data only.
//!
//! Invariants: numbers ascend without gaps from the oldest closed chapter to the open one. For a chapter of an earlier
//! load, the starts of its sections are known once it has been read as a whole; until then nobody knows their numbers,
//! so nobody asks for them.

use std::collections::VecDeque;
use std::rc::Rc;

use engine::volume::store::{Chapter, ChapterReader};

/// Offset in the head of a section's first page of its number of pages (engine, `format::index_section`).
const PAGES_AT: usize = 6;

/// Where the bytes of a section are.
#[derive(Debug, Clone)]
pub enum Found {
    /// In memory.
    Here(Rc<[u8]>),
    /// In a closed chapter, at this offset, with this length.
    Stored(Chapter, u64, usize),
}

/// A closed chapter.
#[derive(Debug)]
struct Shelved {
    chapter: Chapter,
    /// Number of the chapter's first section.
    first: u32,
    /// Offsets of the sections' starts, and of the end of the last one; empty while unknown.
    starts: Vec<u64>,
    /// Created at the first read.
    reader: Option<Rc<ChapterReader>>,
}

/// The sections of a volume's index.
#[derive(Debug)]
pub struct Shelf {
    /// Oldest first.
    closed: VecDeque<Shelved>,
    /// Number of the open chapter's first section.
    open_first: u32,
    open: Vec<Rc<[u8]>>,
}

impl Shelf {
    /// From what is on media: closed chapters, oldest first, and the sections of the open one.
    pub fn new(chapters: Vec<Chapter>, open: Vec<Rc<[u8]>>) -> Shelf {
        let mut shelf = Shelf { closed: VecDeque::with_capacity(chapters.len()), open_first: 0, open };
        for chapter in chapters {
            let first = shelf.open_first;
            shelf.open_first = first.wrapping_add(chapter.sections);
            shelf.closed.push_back(Shelved { chapter, first, starts: Vec::new(), reader: None });
        }
        shelf
    }

    /// Number of closed chapters.
    pub fn chapters(&self) -> usize {
        self.closed.len()
    }

    /// Number of sections, closed and open.
    pub fn sections(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|shelved| u64::from(shelved.chapter.sections)).sum();
        closed + self.open.len() as u64
    }

    /// No section has a number below this.
    pub fn oldest(&self) -> u32 {
        self.closed.front().map_or(self.open_first, |shelved| shelved.first)
    }

    /// Adds a section to the open chapter, and returns its number.
    pub fn add(&mut self, section: Rc<[u8]>) -> u32 {
        self.open.push(section);
        self.open_first.wrapping_add(self.open.len() as u32 - 1)
    }

    /// The sections of the open chapter.
    pub fn open(&self) -> &[Rc<[u8]>] {
        &self.open
    }

    /// Number of the open chapter's first section.
    pub fn open_first(&self) -> u32 {
        self.open_first
    }

    /// The open chapter was closed as `chapter`; none if it could not be stored.
    pub fn close(&mut self, chapter: Option<Chapter>) {
        let sections = core::mem::take(&mut self.open);
        let first = self.open_first;
        self.open_first = first.wrapping_add(sections.len() as u32);
        if let Some(chapter) = chapter {
            let mut starts = vec![0];
            starts.extend(sections.iter().scan(0, |at, section| {
                *at += section.len() as u64;
                Some(*at)
            }));
            self.closed.push_back(Shelved { chapter, first, starts, reader: None });
        }
    }

    /// Takes out the oldest closed chapter, if there are more than `most`.
    pub fn take_surplus(&mut self, most: u64) -> Option<(Chapter, Option<Rc<ChapterReader>>)> {
        let surplus = self.closed.len() as u64 > most;
        let oldest = if surplus { self.closed.pop_front() } else { None }?;
        Some((oldest.chapter, oldest.reader))
    }

    /// Takes everything out. Numbers are not used again.
    pub fn clear(&mut self) -> (Vec<Chapter>, Vec<ChapterReader>) {
        let readers = self.take_readers();
        self.close(None);
        (self.closed.drain(..).map(|shelved| shelved.chapter).collect(), readers)
    }

    /// Takes out the readers that are not in use.
    pub fn take_readers(&mut self) -> Vec<ChapterReader> {
        let readers = self.closed.iter_mut().filter_map(|shelved| shelved.reader.take());
        readers.filter_map(|reader| Rc::try_unwrap(reader).ok()).collect()
    }

    /// The chapter before the one whose first number is `first`, or the newest one; with its own first number.
    pub fn before(&self, first: Option<u32>) -> Option<(Chapter, u32)> {
        let mut older = self.closed.iter().rev().filter(|shelved| first.is_none_or(|first| shelved.first < first));
        older.next().map(|shelved| (shelved.chapter, shelved.first))
    }

    /// Records where the sections of a chapter start, and returns these offsets; none if the chapter is gone.
    pub fn learn(&mut self, first: u32, content: &[u8]) -> Option<Vec<u64>> {
        let shelved = self.closed.iter_mut().find(|shelved| shelved.first == first)?;
        shelved.starts = starts_of(content, shelved.chapter.sections);
        Some(shelved.starts.clone())
    }

    /// Where a section is; none if there is none of this number, or its start is unknown.
    pub fn find(&self, number: u32) -> Option<Found> {
        if let Some(within) = number.checked_sub(self.open_first) {
            return self.open.get(within as usize).cloned().map(Found::Here);
        }
        let behind = self.closed.partition_point(|shelved| shelved.first <= number);
        let shelved = self.closed.get(behind.checked_sub(1)?)?;
        let within = (number - shelved.first) as usize;
        let (start, end) = (*shelved.starts.get(within)?, *shelved.starts.get(within + 1)?);
        Some(Found::Stored(shelved.chapter, start, (end - start) as usize))
    }

    /// The reader of a chapter, if there is one.
    pub fn reader(&self, chapter: &Chapter) -> Option<Rc<ChapterReader>> {
        self.closed.iter().find(|shelved| shelved.chapter == *chapter)?.reader.clone()
    }

    /// Keeps a reader for the chapter's next use. Does nothing if the chapter is gone or has one.
    pub fn keep_reader(&mut self, chapter: &Chapter, reader: &Rc<ChapterReader>) {
        let shelved = self.closed.iter_mut().find(|shelved| shelved.chapter == *chapter);
        if let Some(shelved) = shelved.filter(|shelved| shelved.reader.is_none()) {
            shelved.reader = Some(Rc::clone(reader));
        }
    }
}

/// The offsets of a chapter's sections, as far as their heads are valid, and of the end of the last one.
fn starts_of(content: &[u8], most: u32) -> Vec<u64> {
    let page = engine::format::index_section::PAGE_BYTES;
    let (mut starts, mut at) = (vec![0], 0);
    while starts.len() <= most as usize {
        let head = content.get(at..).and_then(|rest| rest.get(PAGES_AT..)?.first_chunk().copied());
        let pages = head.map_or(0, |bytes| usize::from(u16::from_le_bytes(bytes)));
        at += pages * page;
        if pages == 0 || at > content.len() {
            break;
        }
        starts.push(at as u64);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpool::ObjectId;

    fn section(pages: u16) -> Rc<[u8]> {
        let mut bytes = vec![0; usize::from(pages) * 4096];
        bytes[PAGES_AT..PAGES_AT + 2].copy_from_slice(&pages.to_le_bytes());
        Rc::from(bytes)
    }

    fn chapter(number: u64, sections: u32) -> Chapter {
        Chapter { number, object: ObjectId(number << 8), sections, bytes: 1 << 20 }
    }

    fn stored(shelf: &Shelf, number: u32) -> Option<(u64, u64, usize)> {
        match shelf.find(number)? {
            Found::Stored(chapter, start, bytes) => Some((chapter.number, start, bytes)),
            Found::Here(_) => None,
        }
    }

    /// A section keeps its number when its chapter is closed, and is found in its new place.
    #[test]
    fn numbers_stay_when_chapters_close() {
        let mut shelf = Shelf::new(Vec::new(), vec![section(2)]);
        assert_eq!((shelf.add(section(16)), shelf.add(section(1))), (1, 2));
        assert!(matches!(shelf.find(1), Some(Found::Here(bytes)) if bytes.len() == 16 * 4096));
        shelf.close(Some(chapter(7, 3)));
        assert_eq!(shelf.add(section(3)), 3);
        assert_eq!(stored(&shelf, 0), Some((7, 0, 8192)));
        assert_eq!(stored(&shelf, 2), Some((7, 18 * 4096, 4096)));
        assert!(matches!(shelf.find(3), Some(Found::Here(_))));
        assert!(shelf.find(4).is_none());
        assert_eq!((shelf.oldest(), shelf.sections(), shelf.chapters()), (0, 4, 1));
    }

    /// A chapter that could not be stored leaves a gap in what can be found, but none in the numbers.
    #[test]
    fn what_is_lost_is_not_found() {
        let mut shelf = Shelf::new(Vec::new(), vec![section(1), section(1)]);
        shelf.close(None);
        assert_eq!(shelf.add(section(1)), 2);
        assert!(shelf.find(0).is_none() && shelf.find(2).is_some());
        let (chapters, _) = shelf.clear();
        assert!(chapters.is_empty());
        assert_eq!((shelf.oldest(), shelf.add(section(1))), (3, 3));
    }

    #[test]
    fn the_oldest_chapters_fall_off() {
        let mut shelf = Shelf::new(vec![chapter(3, 5), chapter(4, 2)], Vec::new());
        assert!(shelf.take_surplus(2).is_none());
        assert_eq!(shelf.take_surplus(1).map(|(chapter, _)| chapter.number), Some(3));
        assert_eq!((shelf.oldest(), shelf.add(section(1))), (5, 7));
    }

    /// Chapters of an earlier load are visited newest first, and their sections are found once they were read.
    #[test]
    fn old_chapters_are_learnt() {
        let mut shelf = Shelf::new(vec![chapter(3, 2), chapter(9, 3)], Vec::new());
        let newest = shelf.before(None).expect("two");
        assert_eq!((newest.0.number, newest.1), (9, 2));
        assert_eq!(shelf.before(Some(2)).map(|(chapter, first)| (chapter.number, first)), Some((3, 0)));
        assert!(shelf.before(Some(0)).is_none() && shelf.find(2).is_none());
        let content = [&section(2)[..], &section(1), &section(4), &section(5)].concat();
        assert_eq!(shelf.learn(2, &content), Some(vec![0, 8192, 12288, 28672]), "three, as is recorded");
        assert_eq!(stored(&shelf, 4), Some((9, 12288, 16384)));
        assert_eq!(shelf.learn(1, &content), None);
    }

    /// Whatever a chapter's bytes are, its sections lie inside it.
    #[test]
    fn damaged_heads_end_a_chapter() {
        assert_eq!(starts_of(&[], 9), [0]);
        assert_eq!(starts_of(&[0; 4096], 9), [0], "no pages");
        assert_eq!(starts_of(&[0xff; 4096], 9), [0], "too many");
        assert_eq!(starts_of(&[&section(1)[..], &[0xff; 3]].concat(), 9), [0, 4096]);
    }
}
