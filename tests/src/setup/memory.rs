// SPDX-License-Identifier: BSD-3-Clause

//! Where SPDK programs get their memory: from hugepages, reserved here when there are too few and we may; else from
//! ordinary pages (`--no-huge`), which SPDK 26.01 can do and 20.07 cannot.

use std::path::Path;
use std::process::Command;

use super::error::{io, run, SetupError};
use crate::target::leftovers::{self, hugetlbfs_mounts};

/// Set to anything, it makes programs do without hugepages even where there are some.
const NO_HUGE_VARIABLE: &str = "SPDK_DEDUPE_NO_HUGE";
const MEMINFO: &str = "/proc/meminfo";
const NR_HUGEPAGES: &str = "/proc/sys/vm/nr_hugepages";
const MOUNT_POINT: &str = "/dev/hugepages";
/// What spdk_tgt without configuration needs when its memory cannot grow.
const NO_HUGE_MIB: u64 = 1024;
/// Memory that a reservation leaves to everybody else.
const LEFT_MIB: u64 = 1024;

/// Where SPDK programs get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// From hugepages.
    Hugepages,
    /// From ordinary pages.
    NoHuge,
}

impl Memory {
    /// What to give to `-s`; without hugepages no less than a target needs.
    #[must_use]
    pub fn mib_for(self, wanted_mib: u64) -> u64 {
        match self {
            Self::Hugepages => wanted_mib,
            Self::NoHuge => wanted_mib.max(NO_HUGE_MIB),
        }
    }
}

/// Hugepages made available, and what to restore.
#[derive(Debug, Clone, Copy)]
pub struct Reservation {
    /// What programs are to use.
    pub memory: Memory,
    raised_from: Option<u64>,
}

impl Reservation {
    /// Makes at least `wanted_mib` of hugepages available if that is possible; falls back to ordinary pages if not.
    ///
    /// # Errors
    /// The kernel's own files cannot be read.
    pub fn make(wanted_mib: u64) -> Result<Self, SetupError> {
        if std::env::var_os(NO_HUGE_VARIABLE).is_some() {
            return Ok(Self { memory: Memory::NoHuge, raised_from: None });
        }
        leftovers::remove_of_dead();
        let before = Hugepages::read()?;
        let mut raised_from = None;
        if before.free_mib() < wanted_mib && before.size_kib > 0 {
            let missing = (wanted_mib - before.free_mib()).min(before.available_mib.saturating_sub(LEFT_MIB));
            let wanted_pages = before.total + missing * 1024 / before.size_kib;
            // Not root: nothing changes, and the check below finds that.
            if std::fs::write(NR_HUGEPAGES, wanted_pages.to_string()).is_ok() {
                raised_from = Some(before.total);
            }
        }
        let enough = Hugepages::read()?.free_mib() >= wanted_mib;
        let reservation =
            Self { memory: if enough && mounted() { Memory::Hugepages } else { Memory::NoHuge }, raised_from };
        if reservation.memory == Memory::NoHuge {
            reservation.restore();
        }
        Ok(reservation)
    }

    /// Gives hugepages back that were reserved by [`Reservation::make`].
    pub fn restore(&self) {
        if let Some(total) = self.raised_from {
            let _ = std::fs::write(NR_HUGEPAGES, total.to_string());
        }
    }
}

/// Whether a hugetlbfs is mounted; mounts one if not, which succeeds for root.
fn mounted() -> bool {
    if !hugetlbfs_mounts().is_empty() {
        return true;
    }
    let mounted = std::fs::create_dir_all(MOUNT_POINT).is_ok()
        && run(Command::new("mount").args(["-t", "hugetlbfs", "nodev", MOUNT_POINT])).is_ok();
    mounted && !hugetlbfs_mounts().is_empty()
}

#[derive(Debug, PartialEq, Eq)]
struct Hugepages {
    total: u64,
    free: u64,
    size_kib: u64,
    available_mib: u64,
}

impl Hugepages {
    fn read() -> Result<Self, SetupError> {
        let path = Path::new(MEMINFO);
        let text = std::fs::read_to_string(path).map_err(io("reading", path))?;
        Ok(Self::parse(&text))
    }

    /// A kernel without hugepages shows none of the lines: all zero then.
    fn parse(meminfo: &str) -> Self {
        let number = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        let number = |name: &str| -> u64 { number(name).unwrap_or(0) };
        Self {
            total: number("HugePages_Total"),
            free: number("HugePages_Free"),
            size_kib: number("Hugepagesize"),
            available_mib: number("MemAvailable") / 1024,
        }
    }

    fn free_mib(&self) -> u64 {
        self.free * self.size_kib / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        let text = "MemAvailable:   2097152 kB\nHugePages_Total:     512\nHugePages_Free:      500\nHugepagesize:       2048 kB\n";
        let pages = Hugepages::parse(text);
        assert_eq!((pages.total, pages.free_mib(), pages.available_mib), (512, 1000, 2048));
        assert_eq!(Hugepages::parse("").free_mib(), 0);
    }

    #[test]
    fn ordinary_pages_must_suffice_from_the_start() {
        assert_eq!(Memory::Hugepages.mib_for(256), 256);
        assert_eq!(Memory::NoHuge.mib_for(256), 1024);
        assert_eq!(Memory::NoHuge.mib_for(2048), 2048);
    }
}
