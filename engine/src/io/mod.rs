// SPDX-License-Identifier: BSD-3-Clause

//! Transfers: what goes to the base bdev, data and metadata.

mod metadata;
mod submitter;

pub use metadata::{MetadataCounts, MetadataIo, MetadataOutcome, MetadataOwner};
pub use submitter::{Seams, Submitter};
