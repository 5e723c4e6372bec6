// SPDX-License-Identifier: BSD-3-Clause

//! Where a volume is in its life, and what is being done with it.
//!
//! Invariant: at most one operation is under way at a time.

use futures::channel::oneshot;
use mpool::PoolError;

use super::storage::End;

/// Where a volume is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Shards are starting; SPDK does not know the bdev yet.
    Starting,
    /// In service.
    Online,
    /// Its requests wait until it is resumed.
    Suspended,
    /// Being taken down.
    Removing,
}

impl State {
    /// As `bdev_get_bdevs` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Online => "online",
            State::Suspended => "suspended",
            State::Removing => "removing",
        }
    }
}

/// Who waits for a volume's end.
pub type Waiter = oneshot::Sender<Result<(), PoolError>>;

/// What is being done with a volume by request of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Its name, as in the RPC method.
    pub name: &'static str,
    /// How far it has come, where that is known.
    pub percent: Option<u8>,
}

/// What changes in a volume's life.
#[derive(Debug)]
pub struct Control {
    /// Where it is.
    pub state: State,
    /// A bdev below was removed: nothing can be saved.
    pub base_gone: bool,
    /// Why it takes no writes any more.
    pub read_only: Option<String>,
    /// What becomes of its objects in the pool.
    pub end: End,
    /// What is being done with it.
    pub operation: Option<Operation>,
    /// Who waits for its end.
    pub waiters: Vec<Waiter>,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            state: State::Starting,
            base_gone: false,
            read_only: None,
            end: End::Keep,
            operation: None,
            waiters: Vec::new(),
        }
    }
}
