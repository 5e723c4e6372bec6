// SPDX-License-Identifier: BSD-3-Clause

//! The simulator of the media pool: a virtual machine whose power can be cut at any moment, and campaigns on it.
//!
//! A [`life`] begins with [`image`]s of disks. The pool's tasks run on the [`executor`]; their transfers are cut into
//! pieces, which are operations in flight of the [`machine`] until its scheduler lets them take effect and end, in an
//! order drawn from the seed. A [`disk`] knows which sectors would survive a power cut. The life ends with a cut, at
//! a moment chosen by the campaign, and leaves images for the next life. One thread, no clock, no other randomness:
//! equal seeds give equal lives.

pub mod campaign;
pub mod device;
pub mod disk;
pub mod executor;
pub mod exhaustive;
pub mod faults;
pub mod host;
pub mod image;
pub mod life;
pub mod lives;
pub mod log_campaign;
pub mod log_media;
pub mod log_model;
pub mod machine;
pub mod operation;
pub mod pool_model;
pub mod revive;
pub mod scripts;
pub mod session;
pub mod session_logs;
pub mod session_manage;
pub mod slab_model;
pub mod twins;
pub mod wander;

#[cfg(test)]
mod tests;
