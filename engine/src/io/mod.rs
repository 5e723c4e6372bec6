// SPDX-License-Identifier: BSD-3-Clause

//! Requests and transfers: what clients ask, the life of one block of it, and what goes to the base bdev.

pub mod compression;
mod data_vio;
mod metadata;
pub mod packer;
pub mod relocator;
mod request;
pub mod stock;
mod submitter;
pub mod swapper;

pub(crate) use data_vio::{DataVio, Role, Stage};
pub use metadata::{MetadataCounts, MetadataIo, MetadataOutcome, MetadataOwner};
pub use request::{Operation, Piece, Sweep};
pub use submitter::{Seams, Submitter};
