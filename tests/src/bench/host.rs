// SPDX-License-Identifier: BSD-3-Clause

//! What the benchmark needs of the machine: huge pages, and to know whether it had the cores for itself.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const MOUNT_POINT: &str = "/dev/hugepages";
const PAGE_COUNT: &str = "/proc/sys/vm/nr_hugepages";

/// Makes sure that `mib` MiB of huge pages are free and can be mapped; reserves more when there are too few, which
/// takes root's rights. They stay reserved.
///
/// # Errors
/// What is missing, for the user.
pub fn ensure_huge_pages(mib: u64) -> Result<(), String> {
    let page_kib = memory_info("Hugepagesize:").ok_or("this kernel has no huge pages")?;
    let wanted = (mib << 10).div_ceil(page_kib);
    let free = memory_info("HugePages_Free:").unwrap_or(0);
    if free < wanted {
        let total = memory_info("HugePages_Total:").unwrap_or(0);
        let new_total = total + wanted - free;
        fs::write(PAGE_COUNT, new_total.to_string()).map_err(|error| {
            format!("{free} of {wanted} huge pages are free, and {PAGE_COUNT} cannot be set: {error}")
        })?;
        let free = memory_info("HugePages_Free:").unwrap_or(0);
        if free < wanted {
            return Err(format!("only {free} of {wanted} huge pages could be reserved: memory is short or fragmented"));
        }
    }
    mount_huge_pages()
}

fn memory_info(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn mount_huge_pages() -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(|error| format!("/proc/mounts: {error}"))?;
    if mounts.lines().any(|line| line.split_whitespace().nth(2) == Some("hugetlbfs")) {
        return Ok(());
    }
    let failed =
        |reason: String| format!("no hugetlbfs is mounted, and mounting one on {MOUNT_POINT} failed: {reason}");
    fs::create_dir_all(Path::new(MOUNT_POINT)).map_err(|error| failed(error.to_string()))?;
    let status = Command::new("mount").args(["-t", "hugetlbfs", "nodev", MOUNT_POINT]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Time that each reactor's thread of this process ran, and waited for its core, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct ReactorTimes(HashMap<String, (u64, u64)>);

impl ReactorTimes {
    /// As of now.
    #[must_use]
    pub fn now() -> ReactorTimes {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        ReactorTimes(tasks.filter_map(|task| reactor_times(&task.path())).collect())
    }

    /// The smallest part of the time since `earlier` that a reactor had its core, of the time that it wanted it.
    #[must_use]
    pub fn share_since(&self, earlier: &ReactorTimes) -> Option<f64> {
        let share = |(name, (ran, waited)): (&String, &(u64, u64))| {
            let (ran_before, waited_before) = earlier.0.get(name)?;
            let (ran, waited) = (ran.checked_sub(*ran_before)?, waited.checked_sub(*waited_before)?);
            (ran > 0).then(|| ran as f64 / (ran + waited) as f64)
        };
        self.0.iter().filter_map(share).min_by(f64::total_cmp)
    }
}

fn reactor_times(task: &Path) -> Option<(String, (u64, u64))> {
    let name = fs::read_to_string(task.join("comm")).ok()?.trim().to_owned();
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    name.starts_with("reactor_").then_some((name, (numbers.next()?, numbers.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_worst_reactor() {
        let times = |a, b| ReactorTimes(HashMap::from([("reactor_0".to_owned(), a), ("reactor_1".to_owned(), b)]));
        let (before, after) = (times((100, 0), (100, 50)), times((200, 0), (190, 60)));
        assert_eq!(after.share_since(&before), Some(0.9));
        assert_eq!(ReactorTimes::default().share_since(&before), None);
    }
}
