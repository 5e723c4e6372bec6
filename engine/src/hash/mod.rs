// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone: equal blocks meet here, and only one of them is stored.

mod fingerprint;
mod hash_lock;
mod index;
mod member;
mod zone;

pub use fingerprint::{Fingerprint, Fingerprinter, SECRET_BYTES};
pub use index::{Index, Update};
pub(crate) use zone::HashZone;
