// SPDX-License-Identifier: BSD-3-Clause

//! Campaigns of the media pool on the virtual machine of [`mpool::testing`], whose power can be cut at any moment.
//!
//! A [`session`] calls a pool and keeps a [`pool_model`] of what must be there; [`revive`] compares the two in the next
//! life. [`lives`], [`exhaustive`], [`twins`] and [`log_campaign`] are the campaigns.

pub mod campaign;
pub mod exhaustive;
pub mod lives;
pub mod log_campaign;
pub mod log_media;
pub mod log_model;
pub mod pool_model;
pub mod revive;
pub mod scripts;
pub mod session;
pub mod session_logs;
pub mod session_manage;
pub mod slab_model;
pub mod twins;
pub mod wander;
