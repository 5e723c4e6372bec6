// SPDX-License-Identifier: BSD-3-Clause

//! Erasures: zones on their way from an object back to the free ones.
//!
//! Zones are discarded first and become free only afterwards, so that a late discard cannot hit a new owner's data.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::oneshot;

use super::object::Object;
use crate::host::Level;
use crate::Pool;

/// The erasures in progress, and the tasks that wait for one to end.
#[derive(Debug, Default)]
pub struct Erasures {
    under_way: Cell<usize>,
    waiters: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Erasures {
    /// Waits until the next erasure ends; returns false at once when there is none.
    pub(super) async fn wait_for_one(&self) -> bool {
        if self.under_way.get() == 0 {
            return false;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.borrow_mut().push(sender);
        // The sender is dropped only together with the pool.
        receiver.await.is_ok()
    }

    fn ended(&self) {
        self.under_way.set(self.under_way.get() - 1);
        for waiter in self.waiters.borrow_mut().drain(..) {
            // A cancelled waiter need not be woken.
            let _ = waiter.send(());
        }
    }
}

impl Pool {
    /// Discards the zones of an object that no record describes any more, in the background, then frees them.
    pub(super) fn erase_later(&self, object: Rc<Object>) {
        let erasures = Rc::clone(&self.erasures);
        erasures.under_way.set(erasures.under_way.get() + 1);
        let host = Rc::clone(&self.host);
        self.tasks.spawn(async move {
            let (drive, extent) = (object.drive(), object.extent());
            if let Err(error) = drive.erase(extent, false).await {
                host.log(Level::Debug, &format!("the zones of {} were not discarded: {error}", object.id()));
            }
            if let Err(error) = drive.space().borrow_mut().free(extent) {
                host.log(Level::Error, &format!("the zones of {} were not freed: {error}", object.id()));
            }
            erasures.ended();
        });
    }
}
