// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone: who may touch an LBN, and where its content is.

mod mapping;

pub use mapping::{Mapped, Mapping, MappingState, CHECK_BITS};
