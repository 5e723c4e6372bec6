// SPDX-License-Identifier: BSD-3-Clause

//! Inspects the images of a media pool's drives, without the pool and without SPDK: the library of `mpool-inspect`.
//!
//! It never writes, and survives any content: the image's size bounds memory and time, whatever the metadata say. The
//! engine decodes, recovers and reads. This crate goes on where the engine refuses, and reports everything that is
//! wrong at once.
//!
//! [`image`] reads; [`superblocks`] and [`drive`] identify an image; [`log`] and [`pair`] recover logs as the engine
//! does; [`container`] sums records up; [`metadata`] puts the pool together, with [`space`], [`volumes`] and
//! [`volume`]; [`report`] is the whole result, [`dump`] one log block by block; [`text`] and [`json`] print.

#![forbid(unsafe_code)]

pub mod container;
pub mod content;
pub mod drive;
pub mod dump;
pub mod findings;
pub mod image;
pub mod json;
pub mod log;
pub mod metadata;
pub mod objects;
pub mod pair;
pub mod records;
pub mod report;
pub mod shown;
pub mod space;
pub mod superblocks;
pub mod text;
pub mod volume;
pub mod volume_records;
pub mod volumes;
