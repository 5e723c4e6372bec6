// SPDX-License-Identifier: BSD-3-Clause

//! Rate limit for events to the operator.
//!
//! A failing base bdev fails thousands of transfers a second. Within a window only the first few events are reported
//! one by one; the rest are counted, and the count is reported when the window ends.

use mpool::units::Nanos;

use crate::env::{Env, Event};
use crate::timers::{TimerUser, Timers};

/// Events reported one by one in each window.
pub const EVENTS_PER_WINDOW: u32 = 10;

/// Length of a window.
pub const WINDOW: Nanos = Nanos(5_000_000_000);

/// Limits the rate of events of one shard.
#[derive(Debug, Default)]
pub struct Reporter {
    reported: u32,
    suppressed: u64,
    /// Index queries that timed out since the last report.
    timed_out: u64,
    /// Whether timed-out queries were reported in this window.
    timeouts_reported: bool,
    /// Whether a window is open; a timer ends it.
    open: bool,
}

impl Reporter {
    /// Reports an event, or counts it when the window's limit is reached.
    pub fn report<E: Env>(&mut self, env: &mut E, timers: &mut Timers, event: Event) {
        self.open(env, timers);
        if self.reported < EVENTS_PER_WINDOW {
            self.reported += 1;
            env.report(event);
        } else {
            self.suppressed += 1;
        }
    }

    /// Counts index queries that timed out. A slow base lets thousands time out, which would use up the reports that
    /// other events need. So the first are reported at once, and one report per window covers all that have timed out
    /// since.
    pub fn queries_timed_out<E: Env>(&mut self, env: &mut E, timers: &mut Timers, count: u64) {
        self.open(env, timers);
        self.timed_out += count;
        if !std::mem::replace(&mut self.timeouts_reported, true) {
            env.report(Event::QueriesTimedOut(std::mem::take(&mut self.timed_out)));
        }
    }

    /// Opens a window unless one is open.
    fn open<E: Env>(&mut self, env: &mut E, timers: &mut Timers) {
        if !std::mem::replace(&mut self.open, true) {
            let ends = Nanos(env.now().0 + WINDOW.0);
            timers.arm(env, TimerUser::Reporter, ends);
        }
    }

    /// The timer fired and ends the window: reports the suppressed count. If queries timed out, their report opens the
    /// next window.
    pub fn timer<E: Env>(&mut self, env: &mut E, timers: &mut Timers) {
        self.open = false;
        self.reported = 0;
        self.timeouts_reported = false;
        if self.timed_out > 0 {
            self.queries_timed_out(env, timers, 0);
        }
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            env.report(Event::Suppressed(suppressed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_device::Clock;
    use crate::units::Pbn;

    /// Advances the time by a window, and fires the window's timer if it is set.
    fn pass(reporter: &mut Reporter, timers: &mut Timers, clock: &mut Clock) -> Vec<Event> {
        clock.now = Nanos(clock.now.0 + WINDOW.0);
        if timers.due(clock).count() > 0 {
            reporter.timer(clock, timers);
        }
        std::mem::take(&mut clock.reports)
    }

    #[test]
    fn more_events_than_a_log_can_bear_are_counted() {
        let (mut reporter, mut timers, mut clock) = (Reporter::default(), Timers::default(), Clock::default());
        let event = Event::InvalidAdvice { pbn: Pbn(1) };
        (0..EVENTS_PER_WINDOW + 7).for_each(|_| reporter.report(&mut clock, &mut timers, event.clone()));
        assert_eq!(std::mem::take(&mut clock.reports), vec![event.clone(); EVENTS_PER_WINDOW as usize]);
        assert_eq!(pass(&mut reporter, &mut timers, &mut clock), [Event::Suppressed(7)]);
        assert_eq!(pass(&mut reporter, &mut timers, &mut clock), [], "that was all");
        reporter.report(&mut clock, &mut timers, event.clone());
        assert_eq!(clock.reports, [event]);
    }

    /// vdo-27: queries that time out are reported at once when they are the first, and else all together, once a window;
    /// none goes unreported, and they take nothing from the other events.
    #[test]
    fn queries_that_time_out_are_reported_once_a_window() {
        let (mut reporter, mut timers, mut clock) = (Reporter::default(), Timers::default(), Clock::default());
        let timed_out = |count| Event::QueriesTimedOut(count);
        for count in 1..100 {
            reporter.queries_timed_out(&mut clock, &mut timers, count);
        }
        assert_eq!(std::mem::take(&mut clock.reports), [timed_out(1)]);
        assert_eq!(pass(&mut reporter, &mut timers, &mut clock), [timed_out((2..100).sum())]);
        reporter.queries_timed_out(&mut clock, &mut timers, 5);
        assert_eq!(clock.reports, [], "what was carried over has begun a window");
        assert_eq!(pass(&mut reporter, &mut timers, &mut clock), [timed_out(5)]);
        assert_eq!(pass(&mut reporter, &mut timers, &mut clock), []);
        reporter.queries_timed_out(&mut clock, &mut timers, 6);
        let event = Event::InvalidAdvice { pbn: Pbn(1) };
        (0..EVENTS_PER_WINDOW).for_each(|_| reporter.report(&mut clock, &mut timers, event.clone()));
        assert_eq!(clock.reports.len(), 1 + EVENTS_PER_WINDOW as usize);
        assert_eq!(clock.reports[0], timed_out(6));
    }
}
