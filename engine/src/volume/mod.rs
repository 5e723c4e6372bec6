// SPDX-License-Identifier: BSD-3-Clause

//! A volume as a whole: what its pool holds of it, and how it is made, recovered, checked and rebuilt.

pub mod access;
pub mod catalog;
pub mod check;
pub mod inventory;
pub mod rebuild;
pub mod recovery;
pub mod store;
