// SPDX-License-Identifier: BSD-3-Clause

//! Admission of large transfers: at most a fixed number run at a time, the others queue in order of arrival.
//!
//! Invariants: there are never more permits out than the limit; while a transfer is queued, no permit is free. A
//! returned permit goes to the oldest waiter; one that reaches a cancelled waiter goes to the next.
//!
//! Differs from mpool: a transfer that ends wakes the next waiter, where mpool's waiters polled every millisecond. In
//! mpool, "large" was a transfer that needed more than two pages of bookkeeping, with a pointer for each page: more
//! than 4 MiB.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;

/// Transfers of more bytes than this need a permit: 1024 pages, whose pointers fill two pages.
pub const LARGE_IO_BYTES: u64 = 4 << 20;

/// Admits large transfers. Clones share the permits.
#[derive(Debug, Clone)]
pub struct Admission {
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    free: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Permit>>>,
}

/// Permission for one large transfer, until this is dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    /// None in a permit that a cancelled waiter refused: it must not be returned a second time.
    state: Option<Rc<State>>,
}

impl Admission {
    /// Admits at most `permits` large transfers at a time; at least one.
    #[must_use]
    pub fn new(permits: usize) -> Admission {
        Admission { state: Rc::new(State { free: Cell::new(permits.max(1)), waiting: RefCell::default() }) }
    }

    /// Waits until a transfer of `bytes` may begin. Small transfers begin at once and get no permit. The permit must be
    /// kept until the transfer has ended.
    pub async fn admit(&self, bytes: u64) -> Option<Permit> {
        if bytes <= LARGE_IO_BYTES {
            return None;
        }
        let free = self.state.free.get();
        if free > 0 {
            self.state.free.set(free - 1);
            return Some(Permit { state: Some(Rc::clone(&self.state)) });
        }
        let (sender, receiver) = oneshot::channel();
        self.state.waiting.borrow_mut().push_back(sender);
        // Only a permit removes a sender from the queue, and the queue lives as long as the borrow of `self`.
        receiver.await.ok()
    }

    /// The number of queued transfers.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting.borrow().iter().filter(|sender| !sender.is_canceled()).count()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        loop {
            let Some(next) = state.waiting.borrow_mut().pop_front() else {
                state.free.set(state.free.get() + 1);
                return;
            };
            match next.send(Permit { state: Some(Rc::clone(&state)) }) {
                Ok(()) => return,
                // The waiter was cancelled.
                Err(mut refused) => refused.state = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::LocalPool;
    use futures::task::LocalSpawnExt;
    use futures::FutureExt;

    use super::*;

    const LARGE: u64 = 32 << 20;

    /// mpool-133: of 9 large transfers 8 run; the ninth runs when one has ended.
    #[test]
    fn the_ninth_large_transfer_waits() {
        let (mut pool, admission) = (LocalPool::new(), Admission::new(8));
        let running = Rc::new(RefCell::new(Vec::new()));
        let mut ends = Vec::new();
        for number in 0..9 {
            let (admission, running) = (admission.clone(), Rc::clone(&running));
            let (end, ended) = oneshot::channel::<()>();
            ends.push(end);
            let transfer = async move {
                let _permit = admission.admit(LARGE).await.unwrap();
                running.borrow_mut().push(number);
                ended.await.unwrap();
                running.borrow_mut().retain(|other| *other != number);
            };
            pool.spawner().spawn_local(transfer).unwrap();
        }
        pool.run_until_stalled();
        assert_eq!(*running.borrow(), (0..8).collect::<Vec<_>>());
        assert_eq!(admission.waiting(), 1);
        ends.remove(3).send(()).unwrap();
        pool.run_until_stalled();
        assert_eq!(*running.borrow(), [0, 1, 2, 4, 5, 6, 7, 8]);
    }

    /// mpool-133: small transfers pass while large ones are queued.
    #[test]
    fn small_transfers_do_not_wait() {
        let admission = Admission::new(1);
        let _only = admission.admit(LARGE_IO_BYTES + 1).now_or_never().unwrap().unwrap();
        assert!(admission.admit(LARGE_IO_BYTES + 1).now_or_never().is_none());
        assert!(admission.admit(LARGE_IO_BYTES).now_or_never().unwrap().is_none());
    }

    /// mpool-133: queued transfers run in order of arrival, also when one arrives as a permit is handed over.
    #[test]
    fn permits_go_round_in_order() {
        let admission = Admission::new(1);
        let permit = admission.admit(LARGE).now_or_never().unwrap().unwrap();
        let mut first = Box::pin(admission.admit(LARGE));
        let mut second = Box::pin(admission.admit(LARGE));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(permit);
        assert!(admission.admit(LARGE).now_or_never().is_none(), "no overtaking");
        assert!(second.as_mut().now_or_never().is_none());
        drop(first.now_or_never().unwrap());
        assert!(second.now_or_never().unwrap().is_some());
    }

    #[test]
    fn who_no_longer_waits_loses_no_permit() {
        let admission = Admission::new(1);
        let permit = admission.admit(LARGE).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(admission.admit(LARGE))).collect();
        assert!(waiting.iter_mut().all(|future| future.as_mut().now_or_never().is_none()));
        // The first is cancelled while it waits, the second after it was handed a permit.
        drop(waiting.remove(0));
        drop(permit);
        drop(waiting.remove(0));
        drop(waiting.remove(0).now_or_never().unwrap().unwrap());
        drop(waiting.remove(0));
        assert_eq!(admission.waiting(), 0);
        assert!(admission.admit(LARGE).now_or_never().unwrap().is_some(), "it is free again");
    }
}
