// SPDX-License-Identifier: BSD-3-Clause

//! Multiplexes several timers of a shard onto the one of [`Env::arm_timer`].
//!
//! Each user has one timer, which a later call moves. The environment's timer is armed for the earliest of them, and
//! armed again only when the earliest becomes earlier: a timer that is moved to later or stopped costs at most one call
//! that finds nothing due. Invariant: while a timer is set, the environment's timer fires no later than that.

use mpool::units::Nanos;

use crate::env::Env;

/// The users of timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerUser {
    /// Ends the window of the event rate limit.
    Reporter,
    /// Bounds how long a fragment waits for partners.
    Packer,
    /// Bounds how long an index query waits.
    Index,
    /// Bounds how long a hash lock waits for the slab of its candidate.
    Slab,
    /// Retries failed metadata writes.
    Metadata,
}

impl TimerUser {
    /// All users, in the order in which they are served when due together.
    const ALL: [TimerUser; 5] =
        [TimerUser::Reporter, TimerUser::Packer, TimerUser::Index, TimerUser::Slab, TimerUser::Metadata];
}

/// The timers of one shard.
#[derive(Debug, Default)]
pub struct Timers {
    /// When each user wants to be called, indexed by user.
    set: [Option<Nanos>; TimerUser::ALL.len()],
    /// When the environment's timer fires, if it is armed.
    armed: Option<Nanos>,
}

impl Timers {
    /// Sets the timer of `user` and replaces an earlier setting.
    pub fn arm<E: Env>(&mut self, env: &mut E, user: TimerUser, at: Nanos) {
        self.set[user as usize] = Some(at);
        self.ask(env);
    }

    /// Stops the timer of `user`, if it is set.
    pub fn stop(&mut self, user: TimerUser) {
        self.set[user as usize] = None;
    }

    /// The environment's timer fired: returns the users that are due and clears their timers.
    pub fn due<E: Env>(&mut self, env: &mut E) -> impl Iterator<Item = TimerUser> + use<E> {
        self.armed = None;
        let now = env.now();
        let due = self.set.map(|at| at.is_some_and(|at| at <= now));
        for (at, _) in self.set.iter_mut().zip(due).filter(|(_, due)| *due) {
            *at = None;
        }
        self.ask(env);
        TimerUser::ALL.into_iter().filter(move |user| due[*user as usize])
    }

    /// Arms the environment's timer for the earliest user, unless it already fires that early.
    fn ask<E: Env>(&mut self, env: &mut E) {
        let Some(earliest) = self.set.iter().flatten().min().copied() else { return };
        if self.armed.is_none_or(|armed| armed > earliest) {
            self.armed = Some(earliest);
            env.arm_timer(earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_device::Clock;

    fn due(timers: &mut Timers, clock: &mut Clock, now: u64) -> Vec<TimerUser> {
        clock.now = Nanos(now);
        clock.armed = None;
        timers.due(clock).collect()
    }

    #[test]
    fn the_world_is_asked_for_the_earliest_only() {
        let (mut timers, mut clock) = (Timers::default(), Clock::default());
        timers.arm(&mut clock, TimerUser::Index, Nanos(50));
        assert_eq!(clock.armed, Some(Nanos(50)));
        timers.arm(&mut clock, TimerUser::Packer, Nanos(20));
        assert_eq!(clock.armed, Some(Nanos(20)));
        timers.arm(&mut clock, TimerUser::Reporter, Nanos(30));
        assert_eq!(clock.armed, Some(Nanos(20)));

        assert_eq!(due(&mut timers, &mut clock, 20), [TimerUser::Packer]);
        assert_eq!(clock.armed, Some(Nanos(30)));
        assert_eq!(due(&mut timers, &mut clock, 60), [TimerUser::Reporter, TimerUser::Index]);
        assert_eq!(clock.armed, None);
        assert_eq!(due(&mut timers, &mut clock, 100), []);
    }

    #[test]
    fn a_timer_that_was_moved_or_stopped_does_not_fire_at_its_old_time() {
        let (mut timers, mut clock) = (Timers::default(), Clock::default());
        timers.arm(&mut clock, TimerUser::Index, Nanos(50));
        timers.arm(&mut clock, TimerUser::Index, Nanos(80));
        timers.arm(&mut clock, TimerUser::Packer, Nanos(60));
        timers.stop(TimerUser::Packer);
        assert_eq!(due(&mut timers, &mut clock, 70), []);
        assert_eq!(clock.armed, Some(Nanos(80)), "the call that found nothing asks for the next");
        timers.arm(&mut clock, TimerUser::Index, Nanos(75));
        assert_eq!(clock.armed, Some(Nanos(75)), "moved to earlier");
        assert_eq!(due(&mut timers, &mut clock, 75), [TimerUser::Index]);
    }

    #[test]
    fn every_timer_fires_once_at_the_first_call_after_its_time() {
        let (mut timers, mut clock) = (Timers::default(), Clock::default());
        let mut model = [None; TimerUser::ALL.len()];
        let mut random = 7u64;
        for now in 0..20_000u64 {
            clock.now = Nanos(now);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let user = TimerUser::ALL[(random >> 40) as usize % TimerUser::ALL.len()];
            match (random >> 33) % 8 {
                0 | 1 => {
                    let at = now + (random >> 50) % 40;
                    timers.arm(&mut clock, user, Nanos(at));
                    model[user as usize] = Some(at);
                }
                2 => {
                    timers.stop(user);
                    model[user as usize] = None;
                }
                _ => {}
            }
            if clock.armed.is_some_and(|at| at.0 <= now) {
                clock.armed = None;
                let expected = TimerUser::ALL.map(|user| model[user as usize].take_if(|at| *at <= now).is_some());
                let found: Vec<TimerUser> = timers.due(&mut clock).collect();
                assert_eq!(TimerUser::ALL.map(|user| found.contains(&user)), expected, "at {now}");
            }
            assert!(model.iter().flatten().all(|at| *at > now), "a timer was missed at {now}: {model:?}");
        }
    }
}
