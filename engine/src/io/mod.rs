// SPDX-License-Identifier: BSD-3-Clause

//! Requests and transfers.

mod request;

pub use request::{Operation, Piece};
