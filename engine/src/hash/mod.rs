// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone: equal blocks meet here, and only one of them is stored.

mod fingerprint;
mod hash_lock;
mod index;
mod member;
mod zone;

pub use fingerprint::{Fingerprint, Fingerprinter, ShortFingerprint, SECRET_BYTES, SHORT_BITS};
pub use index::state::{IndexControl, IndexOutcome, IndexRequest, IndexWork};
pub use index::{
    Age, History, HistoryConfig, HistoryStatistics, ImageError, ImageOf, Index, IndexStatistics, Restored, SectionAt,
    Update,
};
pub use zone::IndexImage;
pub(crate) use zone::{Compression, HashZone, IndexConfig};
