// SPDX-License-Identifier: BSD-3-Clause

//! What a slab object may contain, sector by sector: what was durable, or any write begun since that is not durable.

use std::collections::BTreeMap;

use mpool::testing::{mix, ATOM};

/// A write that is not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    tag: u64,
    /// When it was acknowledged; none before, or when it failed.
    ended: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Sector {
    /// None: never written, so anything can be there.
    durable: Option<u64>,
    versions: Vec<Version>,
}

/// The expected content of one slab object.
#[derive(Debug, Clone, Default)]
pub struct SlabModel {
    sectors: BTreeMap<u64, Sector>,
    clock: u64,
    after_crash: bool,
}

/// Fills sectors from byte `at` of the object on as the write `tag` does.
pub fn fill(tag: u64, at: u64, target: &mut [u8]) {
    for (place, sector) in (at / ATOM as u64..).zip(target.chunks_mut(ATOM)) {
        for (word, bytes) in sector.chunks_mut(8).enumerate() {
            let value = if word == 0 { tag } else { mix(tag ^ place << 20 ^ word as u64) };
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }
}

impl SlabModel {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A write begins.
    pub fn begin(&mut self, tag: u64, at: u64, bytes: u64) {
        for place in at / ATOM as u64..(at + bytes) / ATOM as u64 {
            self.sectors.entry(place).or_default().versions.push(Version { tag, ended: None });
        }
    }

    /// A write is acknowledged; with `durable` for good.
    pub fn acknowledge(&mut self, tag: u64, durable: bool) {
        let now = self.tick();
        for sector in self.sectors.values_mut() {
            if let Some(version) = sector.versions.iter_mut().find(|version| version.tag == tag) {
                version.ended = Some(now);
            }
            if durable {
                sector.settle(|version| version.tag == tag);
            }
        }
    }

    /// The moment at which a flush begins.
    pub fn mark(&mut self) -> u64 {
        self.tick()
    }

    /// The flush that began at `mark` has ended.
    pub fn flushed(&mut self, mark: u64) {
        for sector in self.sectors.values_mut() {
            sector.settle(|version| version.ended.is_some_and(|ended| ended < mark));
        }
    }

    /// The power was cut.
    pub fn crash(&mut self) {
        self.after_crash = true;
    }

    /// The sectors that were written, as runs of bytes: start and length.
    #[must_use]
    pub fn written(&self) -> Vec<(u64, usize)> {
        self.sectors.keys().map(|place| (place * ATOM as u64, ATOM)).collect()
    }

    /// Compares what was read at `at` with what may be there, and takes it for durable.
    ///
    /// # Errors
    /// What is wrong.
    pub fn settle(&mut self, at: u64, read: &[u8]) -> Result<(), String> {
        let after_crash = self.after_crash;
        for (place, bytes) in (at / ATOM as u64..).zip(read.chunks(ATOM)) {
            let Some(sector) = self.sectors.get_mut(&place) else { continue };
            let found = sector.find(place, bytes, after_crash)?;
            if after_crash {
                sector.durable = found;
                sector.versions.clear();
            }
        }
        Ok(())
    }

    /// All that was written was read and settled.
    pub fn settled(&mut self) {
        self.after_crash = false;
    }
}

impl Sector {
    /// The last version that `is_durable` names is durable, and those before it cannot come back.
    fn settle(&mut self, is_durable: impl Fn(&Version) -> bool) {
        if let Some(last) = self.versions.iter().rposition(is_durable) {
            self.durable = Some(self.versions[last].tag);
            self.versions.drain(..=last);
        }
    }

    fn find(&self, place: u64, bytes: &[u8], after_crash: bool) -> Result<Option<u64>, String> {
        let is = |tag: u64| {
            let mut expected = [0; ATOM];
            fill(tag, place * ATOM as u64, &mut expected);
            bytes == expected
        };
        let last_ended = self.versions.iter().rposition(|version| version.ended.is_some());
        let first_possible = if after_crash { 0 } else { last_ended.unwrap_or(0) };
        let possible = &self.versions[first_possible.min(self.versions.len())..];
        if let Some(version) = possible.iter().find(|version| is(version.tag)) {
            return Ok(Some(version.tag));
        }
        match self.durable {
            _ if !after_crash && last_ended.is_some() => {}
            None => return Ok(None),
            Some(tag) if is(tag) => return Ok(Some(tag)),
            Some(_) => {}
        }
        let tag = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
        Err(format!("sector {place} shows {tag:#x}, but {self:?} is possible"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(tag: u64) -> [u8; 1024] {
        let mut bytes = [0; 1024];
        fill(tag, 0, &mut bytes);
        bytes
    }

    #[test]
    fn a_crash_leaves_durable_or_later_sectors() {
        let mut model = SlabModel::default();
        for tag in [1, 2, 3] {
            model.begin(tag, 0, 1024);
            model.acknowledge(tag, false);
            if tag == 2 {
                let mark = model.mark();
                model.flushed(mark);
            }
        }
        assert!(model.clone().settle(0, &content(3)).is_ok() && model.clone().settle(0, &content(2)).is_err());
        model.crash();
        let mixed = [&content(2)[..512], &content(3)[512..]].concat();
        for (bytes, right) in [(content(3).to_vec(), true), (mixed, true), (content(1).to_vec(), false)] {
            assert_eq!(model.clone().settle(0, &bytes).is_ok(), right);
        }
        model.settle(0, &content(2)).expect("it was durable");
        model.settled();
        assert!(model.settle(0, &content(3)).is_err());
    }

    #[test]
    fn what_was_never_written_can_be_anything() {
        let mut model = SlabModel::default();
        model.begin(1, 512, 512);
        model.crash();
        assert_eq!(model.written(), [(512, 512)]);
        assert!(model.settle(512, &[0xee; 512]).is_ok());
    }
}
