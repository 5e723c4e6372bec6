// SPDX-License-Identifier: BSD-3-Clause

//! Events for the operator, not more than a log can bear.
//!
//! A failing base bdev fails thousands of transfers a second. Within a window only the first few events are reported
//! one by one; the others are counted, and the count is reported when the window ends (rate-limited, the
//! unreported count carried over).

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
    /// Queries that timed out since they were reported last.
    timed_out: u64,
    /// Such a report was made in this window.
    timeouts_reported: bool,
    /// A window has begun; its end is a timer.
    open: bool,
}

impl Reporter {
    /// Reports an event, or counts it.
    pub fn report<E: Env>(&mut self, env: &mut E, timers: &mut Timers, event: Event) {
        self.open(env, timers);
        if self.reported < EVENTS_PER_WINDOW {
            self.reported += 1;
            env.report(event);
        } else {
            self.suppressed += 1;
        }
    }

    /// Counts queries of the index that timed out: a base that is slow lets thousands of them do so, and each would use up the
    /// reports that others need. The first are reported at once, and one report a window has all that have come since.
    pub fn queries_timed_out<E: Env>(&mut self, env: &mut E, timers: &mut Timers, count: u64) {
        self.open(env, timers);
        self.timed_out += count;
        if !std::mem::replace(&mut self.timeouts_reported, true) {
            env.report(Event::QueriesTimedOut(std::mem::take(&mut self.timed_out)));
        }
    }

    /// Begins a window, unless there is one.
    fn open<E: Env>(&mut self, env: &mut E, timers: &mut Timers) {
        if !std::mem::replace(&mut self.open, true) {
            let ends = Nanos(env.now().0 + WINDOW.0);
            timers.arm(env, TimerUser::Reporter, ends);
        }
    }

    /// Ends the window: its timer has come. What it has held back is reported, and queries among it begin the next window.
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

    /// Time passes until the timer of the window is due, which fires if it is set.
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
