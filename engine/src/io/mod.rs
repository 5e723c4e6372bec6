// SPDX-License-Identifier: BSD-3-Clause

//! Transfers of data and metadata on the base bdev.

mod metadata;
mod submitter;

pub use metadata::{MetadataCounts, MetadataIo, MetadataOutcome, MetadataOwner};
pub use submitter::{Seams, Submitter};
