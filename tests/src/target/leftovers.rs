// SPDX-License-Identifier: BSD-3-Clause

//! Files that an SPDK process leaves behind when it is killed (and SPDK 20.07 even when it ends well).
//!
//! Hugepage files that stay hold the machine's hugepages, so that after a few runs no target starts any more. Removed
//! are the files of processes that we have seen die, and of process ids that no longer exist; never those of a
//! running process.

use std::path::{Path, PathBuf};

const RUN_DIR: &str = "/var/run/dpdk";
const SHM_DIR: &str = "/dev/shm";

/// Removes what the process, which must have ended, left.
pub fn remove_of(pid: u32) {
    remove_where(|found| found == pid);
}

/// Removes what processes left that no longer exist.
pub fn remove_of_dead() {
    remove_where(|found| !Path::new(&format!("/proc/{found}")).exists());
}

/// What cannot be removed (another user's) is not ours to complain about.
fn remove_where(is_gone: impl Fn(u32) -> bool) {
    for dir in hugetlbfs_mounts() {
        for path in entries(&dir) {
            if pid_of_hugepage_file(&path).is_some_and(&is_gone) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
    for path in entries(Path::new(RUN_DIR)) {
        if pid_of_run_dir(&path).is_some_and(&is_gone) {
            let _ = std::fs::remove_dir_all(path);
        }
    }
    for path in entries(Path::new(SHM_DIR)) {
        if pid_of_trace(&path).is_some_and(&is_gone) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where hugepages can be mapped from.
pub fn hugetlbfs_mounts() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (dir, kind) = (words.nth(1)?, words.next()?);
            (kind == "hugetlbfs").then(|| PathBuf::from(dir))
        })
        .collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// `spdk_pid4711map_12`: the file prefix that SPDK gives DPDK when no shared-memory id is set.
fn pid_of_hugepage_file(path: &Path) -> Option<u32> {
    let rest = name(path)?.strip_prefix("spdk_pid")?;
    rest.split_once("map_")?.0.parse().ok()
}

/// `spdk_pid4711`.
fn pid_of_run_dir(path: &Path) -> Option<u32> {
    name(path)?.strip_prefix("spdk_pid")?.parse().ok()
}

/// `spdk_tgt_trace.pid4711`.
fn pid_of_trace(path: &Path) -> Option<u32> {
    name(path)?.rsplit_once("_trace.pid")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_spdk_gives_are_recognised() {
        let pid = |name: &str| {
            let path = Path::new("/x").join(name);
            (pid_of_hugepage_file(&path), pid_of_run_dir(&path), pid_of_trace(&path))
        };
        assert_eq!(pid("spdk_pid12map_3"), (Some(12), None, None));
        assert_eq!(pid("spdk_pid12"), (None, Some(12), None));
        assert_eq!(pid("spdk_tgt_trace.pid12"), (None, None, Some(12)));
        for other in ["rtemap_0", "spdk_pidmap_", "spdk0map_1", "pid12", "trace.pid"] {
            assert_eq!(pid(other), (None, None, None), "{other}");
        }
    }
}
