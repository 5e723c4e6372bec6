// SPDX-License-Identifier: BSD-3-Clause

//! Group commit: flush sets in flight, and the callers that wait for them.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::Poll;

use futures::future::{FutureExt, LocalBoxFuture, Shared};

use super::append::SMALL_BUFFER_BYTES;
use super::{Mlog, Position};
use crate::device::IoBuf;
use crate::error::{Kind, PoolError, Result};
use crate::mlog::writer::{FlushSet, SetId};

/// A flush set in flight. Every waiter polls it.
pub(super) type Flight = Shared<LocalBoxFuture<'static, ()>>;

/// Consecutive small flush sets after which large buffers are freed.
const QUIET_SETS: u32 = 16;

/// The outcome for a waiter; empty until then.
type Ticket = Rc<OnceCell<Result<()>>>;

/// The callers that wait for durability, in the order of their appends.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    waiting: VecDeque<(Position, Ticket)>,
    /// The number of tickets that the last flush set completed.
    last_group: usize,
}

impl Tickets {
    fn issue(&mut self, position: Position) -> Ticket {
        let ticket = Ticket::default();
        self.waiting.push_back((position, Rc::clone(&ticket)));
        ticket
    }

    /// Completes all tickets up to `position`. Returns their number.
    fn complete(&mut self, position: Position, outcome: &Result<()>) -> usize {
        let group = self.waiting.iter().take_while(|(waited, _)| *waited <= position).count();
        for (_, ticket) in self.waiting.drain(..group) {
            // A ticket is completed once: it leaves the queue.
            let _ = ticket.set(outcome.clone());
        }
        group
    }

    /// Fails all tickets.
    pub(super) fn fail(&mut self, error: &PoolError) {
        self.complete(Position(u64::MAX), &Err(error.clone()));
    }
}

impl Mlog {
    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// NotFound: the log is closed. Io: what was not durable is lost, now or since an earlier failure.
    pub async fn sync(&self) -> Result<()> {
        let (position, dirty) = {
            let state = self.state.borrow();
            self.check_usable(&state)?;
            (state.writer.appended(), state.writer.is_dirty())
        };
        if dirty {
            self.wait_for(position).await?;
        }
        Ok(())
    }

    pub(super) fn lost(&self) -> PoolError {
        let reason = "a flush failed and what it was to make durable is lost; it must be opened anew";
        PoolError::new(Kind::Io, self.id.to_string(), reason)
    }

    /// Waits until everything up to `position` is durable.
    pub(super) async fn wait_for(&self, position: Position) -> Result<()> {
        let ticket = self.state.borrow_mut().tickets.issue(position);
        self.wait(ticket).await
    }

    async fn wait(&self, ticket: Ticket) -> Result<()> {
        let mut first = true;
        loop {
            if let Some(outcome) = ticket.get() {
                return outcome.clone();
            }
            if std::mem::take(&mut first) && self.others_follow() {
                // The last set completed several waiters; they have been woken as well, and their next appends should
                // share one set.
                yield_once().await;
                continue;
            }
            match self.launch(true) {
                Some(flight) => flight.await,
                None => assert!(ticket.get().is_some(), "what is waited for is in a flush set"),
            }
        }
    }

    fn others_follow(&self) -> bool {
        self.flight.borrow().is_none() && self.state.borrow().tickets.last_group > 1
    }

    /// The flush set in flight, or the next one; none when there is nothing to write. With `partial` a buffer that is
    /// not full is written too.
    pub(super) fn launch(&self, partial: bool) -> Option<Flight> {
        let mut flight = self.flight.borrow_mut();
        if flight.is_none() {
            let mut state = self.state.borrow_mut();
            let set = state.writer.next_flush(partial)?;
            *flight = Some(self.fly(set, state.incarnation));
        }
        flight.clone()
    }

    fn fly(&self, set: FlushSet<IoBuf>, incarnation: u64) -> Flight {
        let (log, media) = (Weak::clone(&self.me), Rc::clone(&self.media));
        let found = self.found_unflushed.replace(false);
        let flight = async move {
            let flushed = if found { media.flush().await } else { Ok(()) };
            let (buffer, outcome) = match flushed {
                Ok(()) => media.write_durable(set.at, set.buffer, set.range.clone()).await,
                Err(error) => (set.buffer, Err(error)),
            };
            if let Some(log) = log.upgrade() {
                log.landed(set.id, incarnation, buffer, set.range.len(), outcome);
            }
        };
        flight.boxed_local().shared()
    }

    fn landed(&self, set: SetId, incarnation: u64, buffer: IoBuf, bytes: usize, outcome: Result<()>) {
        *self.flight.borrow_mut() = None;
        self.flushes.set(self.flushes.get() + 1);
        let mut state = self.state.borrow_mut();
        if state.incarnation != incarnation {
            return;
        }
        let state = &mut *state;
        let settled = state.writer.flushed(set, buffer, outcome.is_ok());
        state.tickets.last_group = state.tickets.complete(settled.durable, &Ok(()));
        if let Some(lost) = settled.lost {
            let end = state.writer.end();
            state.rolled_back = Some(state.rolled_back.map_or(end, |earlier| earlier.min(end)));
            for marker in [&mut state.cstart, &mut state.cend] {
                marker.take_if(|at| *at > settled.durable);
            }
            let error = match outcome {
                Err(error) => error.while_doing(&self.id.to_string()),
                Ok(()) => self.lost(),
            };
            state.tickets.complete(lost, &Err(error));
        }
        state.quiet = if bytes > SMALL_BUFFER_BYTES { 0 } else { state.quiet.saturating_add(1) };
        if state.quiet >= QUIET_SETS && state.writer.buffer_bytes() > SMALL_BUFFER_BYTES {
            state.writer.release_buffers();
        }
    }

    /// Frees the buffers of an idle log. They are allocated again when needed.
    pub fn trim(&self) {
        self.state.borrow_mut().writer.release_buffers();
    }

    /// Waits until nothing is in flight.
    pub(super) async fn land(&self) {
        let flight = self.flight.borrow().clone();
        if let Some(flight) = flight {
            flight.await;
        }
    }

    /// Starts the flush of a full buffer, if there is one, without waiting for it.
    pub(super) async fn kick(&self) {
        if let Some(mut flight) = self.launch(false) {
            let _ = futures::poll!(&mut flight);
        }
    }
}

/// Lets other tasks of the thread run first.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
