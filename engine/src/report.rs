// SPDX-License-Identifier: BSD-3-Clause

//! Events for the operator, not more than a log can bear.
//!
//! A failing base bdev fails thousands of transfers a second. Within a window only the first few events are reported
//! one by one; the others are counted, and the count is reported when the window ends (rate-limited, the
//! unreported count carried over).

use crate::env::{Env, Event};
use crate::timers::{TimerUser, Timers};
use crate::units::Nanos;

/// Events reported one by one in each window.
pub const EVENTS_PER_WINDOW: u32 = 10;

/// Length of a window.
pub const WINDOW: Nanos = Nanos(5_000_000_000);

/// Limits the rate of events of one shard.
#[derive(Debug, Default)]
pub struct Reporter {
    reported: u32,
    suppressed: u64,
    /// A window has begun; its end is a timer.
    open: bool,
}

impl Reporter {
    /// Reports an event, or counts it.
    pub fn report<E: Env>(&mut self, env: &mut E, timers: &mut Timers, event: Event) {
        if !std::mem::replace(&mut self.open, true) {
            let ends = Nanos(env.now().0 + WINDOW.0);
            timers.arm(env, TimerUser::Reporter, ends);
        }
        if self.reported < EVENTS_PER_WINDOW {
            self.reported += 1;
            env.report(event);
        } else {
            self.suppressed += 1;
        }
    }

    /// Ends the window: its timer has come.
    pub fn timer<E: Env>(&mut self, env: &mut E) {
        self.open = false;
        self.reported = 0;
        let suppressed = std::mem::take(&mut self.suppressed);
        if suppressed > 0 {
            env.report(Event::Suppressed(suppressed));
        }
    }
}
