// SPDX-License-Identifier: BSD-3-Clause

//! A volume as a whole: its objects in the pool, and its creation, recovery, check and rebuild.

pub mod access;
pub mod catalog;
pub mod check;
pub mod inventory;
pub mod rebuild;
pub mod recovery;
pub mod store;
