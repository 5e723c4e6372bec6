// SPDX-License-Identifier: BSD-3-Clause

//! Whether the benchmark had the machine's cores for itself.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

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
