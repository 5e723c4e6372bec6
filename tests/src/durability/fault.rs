// SPDX-License-Identifier: BSD-3-Clause

//! What a load finds wrong.

use std::time::Duration;

use thiserror::Error;

use crate::nvme_tcp::{InitiatorError, Namespace, Status};

/// A logical block that holds what it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The logical block.
    pub lba: u64,
    /// What it holds.
    pub found: String,
    /// What it may hold, and by which request.
    pub possible: Vec<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LBA {} holds {}; possible: {}", self.lba, self.found, self.possible.join(", or "))
    }
}

/// A 4 KiB block of which a request that was never answered has written a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The request.
    pub request: String,
    /// The logical blocks of the block. Each of them holds what it may.
    pub units: Vec<Mismatch>,
}

impl std::fmt::Display for Torn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "half of a 4 KiB block was written by {}, never answered:", self.request)?;
        self.units.iter().try_for_each(|unit| write!(formatter, "\n    {unit}"))
    }
}

/// All that a comparison found wrong, the first of it in detail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Divergence {
    /// Logical blocks that differ.
    pub blocks: u64,
    /// Blocks that are half written.
    pub torn: Vec<Torn>,
    /// The first of the differences.
    pub first: Vec<Mismatch>,
}

impl Divergence {
    /// How many differences are kept in detail.
    const DETAILS: usize = 12;

    /// Whether nothing was found.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.blocks == 0 && self.torn.is_empty()
    }

    pub(super) fn add(&mut self, mismatch: impl FnOnce() -> Mismatch) {
        self.blocks += 1;
        if self.first.len() < Self::DETAILS {
            self.first.push(mismatch());
        }
    }

    pub(super) fn add_torn(&mut self, torn: Torn) {
        if self.torn.len() < Self::DETAILS {
            self.torn.push(torn);
        }
    }

    pub(super) fn merge(&mut self, other: Divergence) {
        self.blocks += other.blocks;
        self.first.extend(other.first);
        self.first.truncate(Self::DETAILS);
        self.torn.extend(other.torn);
        self.torn.truncate(Self::DETAILS);
    }
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} logical blocks differ", self.blocks)?;
        for mismatch in &self.first {
            write!(formatter, "\n  {mismatch}")?;
        }
        for torn in &self.torn {
            write!(formatter, "\n  {torn}")?;
        }
        Ok(())
    }
}

/// Why a load cannot go on.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The initiator, or the protocol.
    #[error(transparent)]
    Initiator(#[from] InitiatorError),
    /// What was read is not what was written.
    #[error("{action}: {divergence}")]
    Diverged {
        /// While what was done.
        action: &'static str,
        /// What differs.
        divergence: Divergence,
    },
    /// The target failed a request.
    #[error("request {request} ({what}) failed: {status}")]
    Failed {
        /// Number of the request.
        request: u64,
        /// What it was.
        what: String,
        /// How it failed.
        status: Status,
    },
    /// The target ended by itself.
    #[error("{action}: the target ended the connection: {ending}")]
    Ended {
        /// While what was done.
        action: &'static str,
        /// How.
        ending: String,
    },
    /// The target answers no more.
    #[error("{action}: no answer for {after:?}; under way are {under_way}")]
    Stuck {
        /// While what was done.
        action: &'static str,
        /// How long nothing came.
        after: Duration,
        /// The first of the requests that are not answered.
        under_way: String,
    },
    /// The namespace is another than the one that the model knows.
    #[error("the namespace has changed from {before:?} to {now:?}")]
    Namespace {
        /// As it was.
        before: Namespace,
        /// As it is.
        now: Namespace,
    },
}
