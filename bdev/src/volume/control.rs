// SPDX-License-Identifier: BSD-3-Clause

//! A volume's state, and the operation in progress.
//!
//! Invariant: at most one operation is in progress at a time.

use engine::volume::check::Progress;
use futures::channel::oneshot;

use super::error::VolumeError;
use super::storage::End;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Shards are starting; SPDK does not know the bdev yet.
    Starting,
    Online,
    /// Requests wait until the volume is resumed.
    Suspended,
    Removing,
}

impl State {
    /// The name that `bdev_get_bdevs` shows.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Online => "online",
            State::Suspended => "suspended",
            State::Removing => "removing",
        }
    }
}

/// Gets the result of a volume's end.
pub type Waiter = oneshot::Sender<Result<(), VolumeError>>;

/// An operation on a volume that the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The name of the RPC method.
    pub name: &'static str,
    /// Progress, where known.
    pub percent: Option<u8>,
}

impl Operation {
    pub fn at(name: &'static str, progress: Progress) -> Operation {
        let percent = progress.done.saturating_mul(100) / progress.total.max(1);
        Operation { name, percent: Some(percent.min(100) as u8) }
    }
}

/// The changing part of a volume's state.
#[derive(Debug)]
pub struct Control {
    pub state: State,
    /// A bdev below was removed: nothing can be saved.
    pub base_gone: bool,
    /// Why the volume accepts no writes.
    pub read_only: Option<String>,
    /// What happens to the volume's objects in the pool at its end.
    pub end: End,
    pub operation: Option<Operation>,
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
