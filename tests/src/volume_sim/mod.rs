// SPDX-License-Identifier: BSD-3-Clause

//! The durability campaign: whole volumes over pools on virtual disks, life after life, compared with a model.
//!
//! It joins two simulations: shards on virtual reactors ([`crate::sim`]), whose transfers go to the disks of a machine
//! whose power can be cut ([`mpool::testing`]), beside the pool's own. A life activates the pool, opens and
//! recovers the volume, reads everything back, runs a random load, and ends by a power cut, by a kill of the
//! process, or in good order. The model knows what each sector may contain ([`crate::sim::model`]); nothing that was
//! acknowledged may be lost. Equal seeds give equal lives; `volume_campaign --seed N --trace` shows one.

pub mod campaign;
pub mod check;
pub mod life;
pub mod lives;
pub mod load;
pub mod machine_base;
pub mod open;
pub mod plan;
pub mod recover;
pub mod scripts;
pub mod session;
pub mod shared;
pub mod swaps;
