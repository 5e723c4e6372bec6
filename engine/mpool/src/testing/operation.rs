// SPDX-License-Identifier: BSD-3-Clause

//! Operations in flight: the pieces of transfers, and commands.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use futures::channel::oneshot;

use super::disk::{Change, Content};
use crate::device::Ended;
use crate::units::Nanos;
use crate::{DeviceError, IoBuf};

/// What an operation does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Reads into a part of its transfer's memory.
    Read {
        /// First byte on the disk.
        at: u64,
        /// Part of the memory.
        range: Range<usize>,
    },
    /// Writes or discards.
    Change(Change),
    /// Flushes what had ended when it began.
    Flush {
        /// From [`super::disk::Disk::begin_flush`].
        began: u64,
    },
}

impl Action {
    /// The bytes of the disk that it transfers, and whether it reads them.
    #[must_use]
    pub fn target(&self) -> Option<(Range<u64>, bool)> {
        match self {
            Action::Change(change) => Some((change.covers(), false)),
            Action::Read { at, range } => Some((*at..*at + range.len() as u64, true)),
            Action::Flush { .. } => None,
        }
    }

    /// The bytes of the disk that it changes.
    #[must_use]
    pub fn changes(&self) -> Option<Range<u64>> {
        match self {
            Action::Change(change) => Some(change.covers()),
            Action::Read { .. } | Action::Flush { .. } => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Read { at, range } => write!(f, "read {at:#x} +{:#x}", range.len()),
            Action::Flush { .. } => f.write_str("flush"),
            Action::Change(change) => {
                let covers = change.covers();
                let count = covers.end - covers.start;
                match &change.content {
                    Content::Data(_) if change.fua => {
                        write!(f, "write FUA {:#x} +{count:#x}", covers.start)
                    }
                    Content::Data(_) => write!(f, "write {:#x} +{count:#x}", covers.start),
                    Content::Discard(_, filler) => {
                        write!(f, "discard {:#x} +{count:#x} as {filler:?}", covers.start)
                    }
                }
            }
        }
    }
}

/// An operation in flight.
#[derive(Debug)]
pub struct Operation {
    /// Its number in this life, from 0.
    pub number: u64,
    /// The disk.
    pub disk: usize,
    /// What it does.
    pub action: Action,
    /// What it is a part of.
    pub call: Rc<Call>,
    /// The outcome, once it has taken effect.
    pub outcome: Option<Result<(), DeviceError>>,
    /// It does not take effect before.
    pub not_before: Nanos,
}

/// A transfer or command: it ends when all of its operations have ended.
pub struct Call(RefCell<CallState>);

struct CallState {
    buf: Option<IoBuf>,
    left: usize,
    /// The failure of the operation with the lowest number.
    failure: Option<(u64, DeviceError)>,
    caller: Option<oneshot::Sender<CallEnd>>,
}

/// How a call ended, with its memory if it has any.
type CallEnd = (Option<IoBuf>, Result<(), DeviceError>);

/// Where a caller waits for its call.
pub type Waiting = oneshot::Receiver<CallEnd>;

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call with {} operations left", self.0.borrow().left)
    }
}

impl Call {
    /// A call of so many operations, and where its end is announced.
    pub fn new(buf: Option<IoBuf>, operations: usize) -> (Rc<Call>, Waiting) {
        let (caller, waiting) = oneshot::channel();
        let state = CallState { buf, left: operations, failure: None, caller: Some(caller) };
        (Rc::new(Call(RefCell::new(state))), waiting)
    }

    /// Fills a part of its memory.
    pub fn fill(&self, range: Range<usize>, read: impl FnOnce(&mut [u8])) {
        if let Some(buf) = &mut self.0.borrow_mut().buf {
            read(&mut (**buf).as_mut()[range]);
        }
    }

    /// One of its operations ends.
    pub fn end(&self, number: u64, outcome: Result<(), DeviceError>) {
        let mut state = self.0.borrow_mut();
        if let Err(error) = outcome {
            if state.failure.is_none_or(|(first, _)| number < first) {
                state.failure = Some((number, error));
            }
        }
        state.left -= 1;
        if state.left > 0 {
            return;
        }
        let outcome = state.failure.map_or(Ok(()), |(_, error)| Err(error));
        let buf = state.buf.take();
        if let Some(caller) = state.caller.take() {
            // Nobody may wait any more: the memory is freed then.
            drop(caller.send((buf, outcome)));
        }
    }
}

/// The end of a transfer, whose memory comes back.
pub async fn transfer_end(waiting: Waiting) -> Ended {
    match waiting.await {
        Ok((Some(buf), outcome)) => (buf, outcome),
        Ok((None, _)) | Err(_) => std::future::pending().await,
    }
}

/// The end of a command. Without power there is none.
pub async fn command_end(waiting: Waiting) -> Result<(), DeviceError> {
    match waiting.await {
        Ok((_, outcome)) => outcome,
        Err(_) => std::future::pending().await,
    }
}
