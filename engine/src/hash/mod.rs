// SPDX-License-Identifier: BSD-3-Clause

//! The hash zone: equal blocks meet here, and only one of them is stored.

mod fingerprint;

pub use fingerprint::{Fingerprint, Fingerprinter};
