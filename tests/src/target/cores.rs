// SPDX-License-Identifier: BSD-3-Clause

//! Cores for SPDK programs: each polls its cores without pause, so two programs on one core crawl.
//!
//! A lease takes all its cores at once or none, so that two runs (or two tests of one run) cannot block each other
//! half way. It is a lock on a file for each core, which the kernel frees when its holder dies. Programs other than
//! ours do not take part; SPDK's own core locks are therefore switched off where a program has them.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{flock, FlockOperation};

use super::error::{io, TargetError};

const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// After this long the cores are shared rather than waited for: a slow run is better than none.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Cores that no other lease of this machine holds; free when dropped.
#[derive(Debug)]
pub struct CoreLease {
    cores: Vec<usize>,
    _locks: Vec<File>,
}

impl CoreLease {
    /// Takes `wanted` cores, or all if the machine has fewer, waiting for them to become free.
    ///
    /// # Errors
    /// The lock files cannot be used.
    pub fn take(wanted: usize) -> Result<Self, TargetError> {
        let available = available_cores()?;
        let wanted = wanted.clamp(1, available.len());
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(lease) = Self::try_take(&available, wanted)? {
                return Ok(lease);
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
        Ok(Self { cores: available[..wanted].to_vec(), _locks: Vec::new() })
    }

    fn try_take(available: &[usize], wanted: usize) -> Result<Option<Self>, TargetError> {
        let mut cores = Vec::new();
        let mut locks = Vec::new();
        for &core in available {
            let path = std::env::temp_dir().join(format!("spdk-dedupe-core-{core}.lock"));
            let file =
                File::options().create(true).truncate(false).write(true).open(&path).map_err(io("opening", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => continue,
                Err(error) => return Err(io("locking", &path)(error.into())),
            }
            cores.push(core);
            locks.push(file);
            if cores.len() == wanted {
                return Ok(Some(Self { cores, _locks: locks }));
            }
        }
        Ok(None)
    }

    /// The cores, ascending.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }
}

/// The cores as SPDK's `-m` takes them.
#[must_use]
pub fn mask(cores: &[usize]) -> String {
    let list: Vec<_> = cores.iter().map(usize::to_string).collect();
    format!("[{}]", list.join(","))
}

/// The cores this process may run on.
fn available_cores() -> Result<Vec<usize>, TargetError> {
    let path = std::path::Path::new("/proc/self/status");
    let status = std::fs::read_to_string(path).map_err(io("reading", path))?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    Ok(parse_list(list))
}

/// `0-2,5`.
fn parse_list(list: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last);
        }
    }
    if cores.is_empty() {
        cores.push(0);
    }
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        assert_eq!(parse_list("\t0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse_list(""), [0]);
        assert_eq!(mask(&[0, 2]), "[0,2]");
    }
}
