// SPDX-License-Identifier: BSD-3-Clause

//! The tunables that an operator changes in an active pool, and that the pool keeps on its media.
//!
//! Each has a number on media, which is never given to another. Which are not among them: those of whole hosts
//! (`pools_max`, `large_io_max`), those that a pool is created with (its containers, logs and the size of its maps),
//! those that its space maps are built with, and what has a record of its own (spare zones, readahead).
//!
//! Differs from mpool: there they were parameters of the kernel's module, for all pools, until the next boot.

use core::fmt;
use core::ops::RangeInclusive;

use super::{check, Tunables};
use crate::error::Result;

macro_rules! kept {
    ($($(#[doc = $help:literal])+ $number:literal $name:ident: $low:expr, $high:expr, $get:expr, $set:expr;)+) => {
        /// All of them: number on media, name, what it is, range, and how to get and set it.
        const ROWS: &[Row] = &[
            $(Row {
                number: $number,
                name: stringify!($name),
                help: &[$($help),+],
                low: $low,
                high: $high,
                get: $get,
                set: $set,
            },)+
        ];
    };
}

struct Row {
    number: u8,
    name: &'static str,
    help: &'static [&'static str],
    low: u64,
    high: u64,
    get: fn(&Tunables) -> u64,
    /// Takes values of the range only.
    set: fn(&mut Tunables, u64),
}

/// A setter whose values fit 32 bits.
macro_rules! set {
    ($setter:ident) => {
        |tunables, value| {
            tunables.$setter(value as u32);
        }
    };
}

macro_rules! get {
    ($getter:ident) => {
        |tunables| u64::from(tunables.$getter())
    };
}

kept! {
    /// Largest piece of a transfer to a bdev, in KiB.
    1 chunk_kib: 128, 1024, get!(chunk_kib), set!(set_chunk_kib);
    /// Largest read or write of an object, in MiB.
    2 io_mib_max: 1, 128, get!(io_mib_max), set!(set_io_mib_max);
    /// Cache maps that there can be.
    3 maps_max: 1024, 1 << 30, get!(maps_max), set!(set_maps_max);
    /// Memory for pages of cache maps, in MiB, from the next activation on.
    4 cache_mib: 1, u32::MAX as u64, get!(cache_mib), set!(set_cache_mib);
    /// Metadata containers that an activation reads together.
    5 load_jobs: 1, 255, get!(load_jobs), set!(set_load_jobs);
    /// A metadata container filled so far, in percent, is compacted ahead of need.
    6 precompact_fill_percent: 0, 100, get!(precompact_fill_percent), set!(set_precompact_fill_percent);
    /// It is compacted only if so much of it is garbage, in percent.
    7 precompact_garbage_percent: 0, 100, get!(precompact_garbage_percent), set!(set_precompact_garbage_percent);
    /// Time between two looks at the metadata containers, in seconds.
    8 precompact_period_seconds: 1, 3600, get!(precompact_period_seconds), set!(set_precompact_period_seconds);
    /// Metadata containers after the next one to be compacted that get no new objects; 0 disables compaction ahead of need.
    9 no_alloc_mdcs: 0, 255, get!(no_alloc_mdcs), set!(set_no_alloc_mdcs);
    /// Metadata containers are added when those that exist are fuller than that, in percent.
    10 grow_fill_percent: 0, 100, get!(grow_fill_percent), set!(set_grow_fill_percent);
    /// They are added only if less of them is garbage, in percent.
    11 grow_garbage_percent: 0, 100, get!(grow_garbage_percent), set!(set_grow_garbage_percent);
    /// The number of metadata containers grows to a multiple of this.
    12 mdc_set: 1, 255, get!(mdc_set), set!(set_mdc_set);
    /// Attempts to compact a metadata container before it fails.
    13 compaction_attempts: 1, u32::MAX as u64, get!(compaction_attempts), set!(set_compaction_attempts);
    /// Time between two looks at the free space, in ms; it is logged when it becomes scarce.
    14 usage_log_period_ms: 1, u32::MAX as u64, get!(usage_log_period_ms), set!(set_usage_log_period_ms);
    /// Share of the cache's memory, in percent, from which on it is reaped.
    15 reap_mempct: 5, 100, |tunables| tunables.reaper.mempct().into(), |tunables, value| tunables.reaper.mempct = value as u32;
    /// Time for which what is not used stays in the cache, in us.
    16 reap_ttl_us: 100, u64::MAX, |tunables| tunables.reaper.ttl_us(), |tunables, value| tunables.reaper.ttl_us = value;
    /// What the reaper logs at level debug: nothing, pressure, ticks, objects.
    17 reap_debug: 0, 3, |tunables| tunables.reaper.debug().into(), |tunables, value| tunables.reaper.debug = value as u32;
}

/// One of the tunables that a pool keeps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptTunable(u8);

impl fmt::Debug for KeptTunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl KeptTunable {
    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = KeptTunable> {
        ROWS.iter().map(|row| KeptTunable(row.number))
    }

    /// The one with a number on media.
    #[must_use]
    pub fn from_number(number: u8) -> Option<KeptTunable> {
        ROWS.iter().find(|row| row.number == number).map(|row| KeptTunable(row.number))
    }

    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<KeptTunable> {
        ROWS.iter().find(|row| row.name == name).map(|row| KeptTunable(row.number))
    }

    /// Its number on media.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The rows are in the order of their numbers, which begin with 1 and have no gap.
    fn row(self) -> &'static Row {
        &ROWS[usize::from(self.0) - 1]
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it is, in the lines of a doc comment.
    #[must_use]
    pub fn help(self) -> &'static [&'static str] {
        self.row().help
    }

    /// The values that it may have.
    #[must_use]
    pub fn range(self) -> RangeInclusive<u64> {
        self.row().low..=self.row().high
    }
}

impl Tunables {
    /// A tunable.
    #[must_use]
    pub fn get(&self, tunable: KeptTunable) -> u64 {
        (tunable.row().get)(self)
    }

    /// Changes a tunable.
    ///
    /// # Errors
    /// Invalid: the value is not in its range; nothing has changed.
    pub fn set(&mut self, tunable: KeptTunable, value: u64) -> Result<()> {
        check(tunable.name(), value, &tunable.range())?;
        (tunable.row().set)(self, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ROWS as ALL, *};
    use super::*;

    #[test]
    fn each_is_found_by_number_and_by_name() {
        let numbers: Vec<u8> = KeptTunable::all().map(KeptTunable::number).collect();
        assert_eq!(numbers, (1..=17).collect::<Vec<u8>>());
        for tunable in KeptTunable::all() {
            assert_eq!(KeptTunable::from_number(tunable.number()), Some(tunable));
            assert_eq!(KeptTunable::named(tunable.name()), Some(tunable));
            assert!(!tunable.help().concat().is_empty(), "an operator reads what it is: {tunable:?}");
        }
        assert_eq!((KeptTunable::from_number(0), KeptTunable::from_number(18)), (None, None));
        assert_eq!(KeptTunable::named("pools_max"), None);
    }

    /// mpool-134: what an operator sets is refused outside its range, with the name and the range, and kept at its ends; each
    /// changes itself alone.
    #[test]
    fn values_outside_their_range_are_refused() {
        for tunable in KeptTunable::all() {
            let (low, high) = tunable.range().into_inner();
            let (mut tunables, default) = (Tunables::default(), Tunables::default());
            for outside in [low.checked_sub(1), high.checked_add(1)].into_iter().flatten() {
                let error = tunables.set(tunable, outside).expect_err("outside").to_string();
                assert_eq!(error, format!("{}: {outside} is not in its range of {low} to {high}", tunable.name()));
            }
            assert_eq!(tunables, default);
            for value in [low, high] {
                tunables.set(tunable, value).expect("within");
                assert_eq!(tunables.get(tunable), value);
                let mut others = KeptTunable::all().filter(|other| *other != tunable);
                assert!(others.all(|other| tunables.get(other) == default.get(other)), "{tunable:?}");
            }
        }
    }

    #[test]
    fn ranges_are_those_of_the_tunables() {
        for tunable in KeptTunable::all().filter(|tunable| !tunable.name().starts_with("reap_")) {
            let row = ALL.iter().find(|row| row.0 == tunable.name()).expect("a tunable");
            assert_eq!(tunable.range(), u64::from(row.2)..=u64::from(row.3), "{tunable:?}");
        }
    }
}
