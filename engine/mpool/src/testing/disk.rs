// SPDX-License-Identifier: BSD-3-Clause

//! A virtual disk: what is visible, what would survive a power cut, and what a cut leaves.
//!
//! Each write and discard is a [`Change`]. It goes through three moments, which the scheduler chooses: it takes
//! effect (reads see it), it ends (its caller is told), it becomes durable. Durable is: ended, on a disk without a
//! volatile cache; ended, with FUA; or ended before a flush began that has ended. At a power cut each 512-byte sector
//! of each change that is not durable survives or does not, by itself; an aligned unit of `atomic_write` bytes that
//! the change covers, or inside which it lies, survives as a whole or not at all. Of several changes of one sector
//! the last survivor shows, so any of them can show, or what was durable before. A change that became durable is
//! never undone by an earlier one.

use std::ops::Range;
use std::rc::Rc;

use super::image::{Filler, Image, ATOM, PAGE};
use super::random::Random;
use crate::DeviceProperties;

/// What is written or discarded.
#[derive(Debug, Clone)]
pub enum Content {
    /// These bytes.
    Data(Rc<[u8]>),
    /// So many discarded bytes.
    Discard(u64, Filler),
}

/// A write or discard that is not durable.
#[derive(Debug, Clone)]
pub struct Change {
    /// Number of the operation.
    pub number: u64,
    /// First byte.
    pub at: u64,
    /// What it puts there.
    pub content: Content,
    /// A write that is durable when it ends.
    pub fua: bool,
    /// When it ended, on the disk's own count; none before.
    ended: Option<u64>,
    /// Parts that a later change, durable by now, has overwritten.
    dead: Vec<Range<u64>>,
}

impl Change {
    /// A change that has not begun.
    #[must_use]
    pub const fn new(number: u64, at: u64, content: Content, fua: bool) -> Change {
        Change { number, at, content, fua, ended: None, dead: Vec::new() }
    }

    /// The bytes that it covers.
    #[must_use]
    pub fn covers(&self) -> Range<u64> {
        let count = match &self.content {
            Content::Data(bytes) => bytes.len() as u64,
            Content::Discard(count, _) => *count,
        };
        self.at..self.at + count
    }

    fn apply(&self, image: &mut Image, part: Range<u64>) {
        match &self.content {
            Content::Data(bytes) => {
                image.write(part.start, &bytes[(part.start - self.at) as usize..(part.end - self.at) as usize]);
            }
            Content::Discard(_, filler) => image.fill(part.start, part.end - part.start, *filler),
        }
    }

    /// Puts it into `image`, the dead parts left out.
    fn apply_live(&self, image: &mut Image, part: Range<u64>) {
        if self.dead.is_empty() {
            return self.apply(image, part);
        }
        for at in part.clone().step_by(ATOM) {
            if !self.dead.iter().any(|dead| dead.contains(&at)) {
                self.apply(image, at..(at + ATOM as u64).min(part.end));
            }
        }
    }
}

/// How much of what is not durable a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Each sector in so many of 1000 cases.
    Sectors(u32),
    /// Each change, as a whole, in so many of 1000 cases.
    Changes(u32),
}

impl Keep {
    /// One of the kinds.
    pub fn draw(random: &mut Random) -> Keep {
        match random.below(8) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            2 | 3 => Keep::Changes(random.pick(&[100, 500, 900])),
            _ => Keep::Sectors(random.pick(&[20, 200, 500, 800, 980])),
        }
    }
}

/// What a power cut leaves, operation by operation.
#[derive(Debug)]
pub struct Fate<'a> {
    /// Of all operations but one.
    pub others: Keep,
    /// Of one operation.
    pub special: Option<(u64, Keep)>,
    /// Where chance comes from.
    pub random: &'a mut Random,
}

impl Fate<'_> {
    fn of(&mut self, number: u64) -> Keep {
        let keep = self.special.filter(|(special, _)| *special == number).map_or(self.others, |(_, keep)| keep);
        match keep {
            Keep::Changes(per_mille) if self.random.chance(per_mille) => Keep::Everything,
            Keep::Changes(_) => Keep::Nothing,
            keep => keep,
        }
    }
}

/// The number of changes from earlier lives.
const EARLIER: u64 = u64::MAX;

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What it says of itself.
    pub properties: DeviceProperties,
    visible: Image,
    durable: Image,
    /// In the order in which they took effect.
    changes: Vec<Change>,
    /// Counts what ends.
    endings: u64,
}

impl Disk {
    /// A disk on which an image is durable.
    #[must_use]
    pub fn new(properties: DeviceProperties, image: Image) -> Disk {
        Disk { properties, visible: image.clone(), durable: image, changes: Vec::new(), endings: 0 }
    }

    /// What reads see now.
    pub fn read(&self, at: u64, target: &mut [u8]) {
        self.visible.read(at, target);
    }

    /// A change takes effect.
    pub fn apply(&mut self, change: Change) {
        change.apply(&mut self.visible, change.covers());
        self.changes.push(change);
    }

    /// A change that took effect ends.
    pub fn end(&mut self, number: u64) {
        self.endings += 1;
        let Some(place) = self.changes.iter().position(|change| change.number == number) else { return };
        let change = &mut self.changes[place];
        change.ended = Some(self.endings);
        if change.fua || !self.properties.volatile_cache {
            self.make_durable(place);
        }
    }

    /// The numbers of changes begin anew; all changes that took effect have ended.
    pub fn forget_numbers(&mut self) {
        for change in &mut self.changes {
            change.number = EARLIER;
        }
    }

    /// Begins a flush: the value is for [`Disk::end_flush`].
    #[must_use]
    pub const fn begin_flush(&self) -> u64 {
        self.endings
    }

    /// A flush ends: what had ended when it began is durable.
    pub fn end_flush(&mut self, began: u64) {
        while let Some(place) = self.changes.iter().position(|change| change.ended.is_some_and(|at| at <= began)) {
            self.make_durable(place);
        }
    }

    fn make_durable(&mut self, place: usize) {
        let change = self.changes.remove(place);
        let covers = change.covers();
        change.apply_live(&mut self.durable, covers.clone());
        for earlier in &mut self.changes[..place] {
            let other = earlier.covers();
            let common = covers.start.max(other.start)..covers.end.min(other.end);
            if !common.is_empty() {
                earlier.dead.push(common);
            }
        }
    }

    /// Changes the content behind the disk's back.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.visible.write(at, bytes);
        self.durable.write(at, bytes);
    }

    /// Changes the content behind the disk's back: bits of one byte flip.
    pub fn spoil(&mut self, at: u64, bits: u8) {
        for image in [&mut self.visible, &mut self.durable] {
            image.flip(at, bits);
        }
    }

    /// The power fails for a moment: what is not durable is lost.
    pub fn lose_cache(&mut self) {
        self.visible = self.durable.clone();
        self.changes.clear();
    }

    /// What is visible, as an orderly end leaves it.
    #[must_use]
    pub fn into_visible(self) -> Image {
        self.visible
    }

    /// What the power cut leaves. `begun` are the changes that have not taken effect.
    #[must_use]
    pub fn cut(mut self, mut begun: Vec<Change>, fate: &mut Fate<'_>) -> Image {
        for last in (1..begun.len()).rev() {
            begun.swap(last, fate.random.index(last + 1));
        }
        self.changes.append(&mut begun);
        let unit = u64::from(self.properties.atomic_write);
        for change in &self.changes {
            let keep = fate.of(change.number);
            for part in atoms(change, unit) {
                let survives = match keep {
                    Keep::Nothing => false,
                    Keep::Everything => true,
                    Keep::Sectors(per_mille) | Keep::Changes(per_mille) => fate.random.chance(per_mille),
                };
                if survives {
                    change.apply_live(&mut self.durable, part);
                }
            }
        }
        self.durable
    }
}

/// Cuts a change into the parts that survive or not: whole units where it covers them, or lies within one; else
/// sectors of 512 bytes, and pages of a discard.
fn atoms(change: &Change, unit: u64) -> Vec<Range<u64>> {
    let covers = change.covers();
    let within_one = covers.start / unit == (covers.end - 1) / unit;
    let step = if matches!(change.content, Content::Data(_)) { ATOM as u64 } else { PAGE as u64 };
    let mut parts = Vec::new();
    let mut at = covers.start;
    while at < covers.end {
        let whole = within_one || (at.is_multiple_of(unit) && at + unit <= covers.end);
        let step = if whole { step.max(unit) } else { step };
        let end = ((at / step + 1) * step).min(covers.end);
        parts.push(at..end);
        at = end;
    }
    parts
}
