// SPDX-License-Identifier: BSD-3-Clause

//! Logs when free space becomes scarce or returns.
//!
//! Every period the free share of the usable space, over all media classes, is computed. It is logged when it is below
//! 50 % and has changed by 5 points or more, up or down, since it was last logged.
//!
//! Differs from mpool: the sums start at zero (its section 13, 19); a pool without a log line counts as logged at 100
//! %, so that the first line appears as soon as less than half is free.

use super::host::{Host, Level};
use super::tasks::TaskGroup;
use crate::units::Nanos;

/// Points by which the free share must change.
const POINTS_MOVED: u64 = 5;

/// Free shares from this on are not logged.
const PLENTY_PERCENT: u64 = 50;

/// The space in one media class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassSpace {
    /// Bytes for ordinary allocations.
    pub usable_bytes: u64,
    /// Usable bytes that are free.
    pub free_usable_bytes: u64,
}

/// Decides what is logged.
#[derive(Debug, Clone)]
pub struct UsageLogger {
    logged_percent: u64,
}

impl Default for UsageLogger {
    fn default() -> UsageLogger {
        UsageLogger { logged_percent: 100 }
    }
}

impl UsageLogger {
    /// The free share in percent if it is to be logged now.
    pub fn decide(&mut self, classes: impl IntoIterator<Item = ClassSpace>) -> Option<u64> {
        let percent = free_percent(classes)?;
        if percent >= PLENTY_PERCENT || percent.abs_diff(self.logged_percent) < POINTS_MOVED {
            return None;
        }
        self.logged_percent = percent;
        Some(percent)
    }
}

/// The free share of the usable space in percent, rounded down; none when nothing is usable.
fn free_percent(classes: impl IntoIterator<Item = ClassSpace>) -> Option<u64> {
    let (mut usable, mut free) = (0_u128, 0_u128);
    for class in classes {
        usable += u128::from(class.usable_bytes);
        free += u128::from(class.free_usable_bytes.min(class.usable_bytes));
    }
    Some((100 * free).checked_div(usable)? as u64)
}

/// Logs the usage of the pool `name` every `period`, which may change, until `tasks` are stopped. `spaces` returns the
/// present space.
pub async fn log_usage<I>(
    tasks: TaskGroup,
    host: &dyn Host,
    name: &str,
    mut period: impl FnMut() -> Nanos,
    spaces: impl Fn() -> I,
) where
    I: IntoIterator<Item = ClassSpace>,
{
    let mut logger = UsageLogger::default();
    while !tasks.sleep_or_stop(period()).await {
        if let Some(percent) = logger.decide(spaces()) {
            host.log(Level::Info, &format!("pool '{name}': {percent} % of the usable space is free"));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::testing::World;

    fn free(percent: u64) -> [ClassSpace; 1] {
        [ClassSpace { usable_bytes: 1000, free_usable_bytes: percent * 10 }]
    }

    /// mpool-110: at least 5 points, up or down, and below 50 %.
    #[test]
    fn moves_of_5_points_below_50_percent_are_logged() {
        let mut logger = UsageLogger::default();
        let logged: Vec<u64> = [95, 60, 50, 49, 48, 45, 44, 41, 39, 43, 44, 80, 40, 39, 34, 0]
            .into_iter()
            .filter_map(|percent| logger.decide(free(percent)))
            .collect();
        assert_eq!(logged, [49, 44, 39, 44, 39, 34, 0]);
    }

    /// mpool-110: all classes count together, from zero each time; one that is used over its share has nothing free.
    #[test]
    fn the_classes_are_summed() {
        let mut logger = UsageLogger::default();
        let class = |usable_bytes, free_usable_bytes| ClassSpace { usable_bytes, free_usable_bytes };
        assert_eq!(logger.decide([class(100, 0), class(300, 100)]), Some(25));
        assert_eq!(logger.decide([class(100, 0), class(300, 100)]), None);
        assert_eq!(logger.decide([class(u64::MAX, 0), class(u64::MAX, u64::MAX / 5)]), Some(10));
        assert_eq!(logger.decide([]), None);
        assert_eq!(logger.decide([class(0, 7)]), None);
    }

    /// mpool-110: the loop checks once a period and ends when stopped.
    #[test]
    fn the_loop_follows_the_clock() {
        let world = World::new();
        let host = Rc::clone(&world.host);
        let tasks = TaskGroup::new(host.clone());
        let percent = Rc::new(Cell::new(40));
        let (looping, log, shown) = (tasks.clone(), host.clone(), Rc::clone(&percent));
        let period = Nanos(60_000_000_000);
        tasks.spawn(async move {
            log_usage(looping, &*log, "mp1", || period, || free(shown.get())).await;
        });
        world.run_for(Nanos(59_999_999_999));
        assert_eq!(world.lines(), [""; 0]);
        world.run_for(Nanos(1));
        assert_eq!(world.lines(), ["pool 'mp1': 40 % of the usable space is free"]);
        percent.set(20);
        world.run_for(Nanos(59_999_999_999));
        assert_eq!(world.lines().len(), 1);
        world.run_for(Nanos(1));
        assert_eq!(world.lines().len(), 2);
        tasks.stop();
        world.run(tasks.drain());
        assert_eq!(world.lines().len(), 2);
    }
}
