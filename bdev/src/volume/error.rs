// SPDX-License-Identifier: BSD-3-Clause

//! Why a volume cannot be created, loaded or changed, in words that say what failed on which object; errno only at
//! the edge to SPDK.

use mpool::PoolError;
use thiserror::Error;

use super::sizing::SizingError;
use crate::datapath::shard_host::StartError;
use crate::spdk::cpumask;

/// Why an operation on a volume fails whose parameters are well formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VolumeError {
    /// The name is taken.
    #[error("cannot create '{name}': a bdev of that name exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// The volume is there already.
    #[error(
        "cannot create '{name}': pool '{pool}' has a volume of that name. Volumes are loaded with their pools; one \
         that was unloaded is loaded by bdev_dedupe_load, and destroyed by bdev_dedupe_delete"
    )]
    Stored {
        /// The name.
        name: String,
        /// Its pool.
        pool: String,
    },
    /// Something else has the name of its bdev.
    #[error("cannot load '{name}': a bdev of that name exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is no such bdev, or it is another module's; or no such volume.
    #[error("{0}")]
    Missing(String),
    /// It is not in service.
    #[error("'{name}' is {state}")]
    NotOnline {
        /// Name of the volume.
        name: String,
        /// Where it is in its life.
        state: &'static str,
    },
    /// Something else is being done with it.
    #[error("'{name}' is busy: {operation} is under way")]
    Busy {
        /// Name of the volume.
        name: String,
        /// What is being done.
        operation: &'static str,
    },
    /// Somebody uses it.
    #[error("'{name}' is {user}; bdev_dedupe_delete deletes it all the same with force")]
    InUse {
        /// Name of the volume.
        name: String,
        /// By whom.
        user: String,
    },
    /// It takes no writes any more.
    #[error("'{name}' is read-only: {reason}")]
    ReadOnly {
        /// Name of the volume.
        name: String,
        /// Why.
        reason: String,
    },
    /// Nothing to be done with a volume in this state.
    #[error("'{name}': {reason}")]
    Refused {
        /// Name of the volume.
        name: String,
        /// Why.
        reason: String,
    },
    /// The pool below, or making it.
    #[error("'{name}': {error}")]
    Pool {
        /// Name of the volume.
        name: String,
        /// What the pool says.
        error: PoolError,
    },
    /// Its pool takes no changes just now.
    #[error(
        "'{name}' stays as it is, because pool '{pool}' takes no changes: {faults}. Once the bdev works again (mpool_list \
         tells) the same call does it"
    )]
    Faulted {
        /// Name of the volume.
        name: String,
        /// Name of the pool.
        pool: String,
        /// What is wrong with it.
        faults: String,
    },
    /// Its rebuild did not come to its end.
    #[error(
        "'{name}': its rebuild failed after it had begun: {cause}. Nothing more is lost by that, but the volume is out of \
         service until bdev_dedupe_rebuild of '{name}' has done it again, from the start; mpool_list tells when the pool works"
    )]
    HalfRebuilt {
        /// Name of the volume.
        name: String,
        /// Why.
        cause: String,
    },
    /// Its metadata makes no sense.
    #[error("'{name}': {reason}")]
    Damaged {
        /// Name of the volume.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The bdev has somebody else's pool.
    #[error(
        "cannot create '{name}' on base bdev '{base}': it belongs to the pool '{pool}', which was not made for \
         '{name}'; to put the volume into that pool, give pool_name \"{pool}\" instead of base_bdev_name"
    )]
    OtherPool {
        /// Name of the volume.
        name: String,
        /// Name of the base.
        base: String,
        /// Name of its pool.
        pool: String,
    },
    /// The mask names a core that the application does not have.
    #[error("parameter 'cpumask' names core {core}, but the application runs on cores {}", cpumask::format(available))]
    Core {
        /// The core.
        core: u32,
        /// The cores there are.
        available: Vec<u32>,
    },
    /// The pool is too small, or a size that was asked for does not suit it.
    #[error("cannot lay out '{name}' in pool '{pool}': {error}")]
    Sizing {
        /// Name of the volume.
        name: String,
        /// Name of the pool.
        pool: String,
        /// Why.
        error: SizingError,
    },
    /// Not enough memory.
    #[error(
        "no memory for '{name}': it needs {needed_mib} MiB, but {available_mib} MiB are available; \
         a smaller index_memory_mib or block_map_cache_mib needs less"
    )]
    Memory {
        /// Name of the volume.
        name: String,
        /// What it needs.
        needed_mib: u64,
        /// What there is.
        available_mib: u64,
    },
    /// SPDK created no thread.
    #[error("cannot create an SPDK thread on core {core} for '{name}'")]
    Thread {
        /// Name of the volume.
        name: String,
        /// The core.
        core: u32,
    },
    /// A shard did not start.
    #[error("cannot start the shard of '{name}' on core {core}: {error}")]
    Start {
        /// Name of the volume.
        name: String,
        /// The shard's core.
        core: u32,
        /// Why.
        error: StartError,
    },
    /// SPDK does not register the bdev.
    #[error("cannot register bdev '{name}': {}", std::io::Error::from_raw_os_error(-errno))]
    Register {
        /// Name of the volume.
        name: String,
        /// SPDK's error.
        errno: i32,
    },
    /// The base went away meanwhile.
    #[error("'{name}': base bdev '{base}' was removed meanwhile")]
    BaseRemoved {
        /// Name of the volume.
        name: String,
        /// Name of the base.
        base: String,
    },
}

/// JSON-RPC's code for invalid parameters.
pub const INVALID_PARAMS: i32 = -32602;

impl VolumeError {
    /// A volume that cannot be laid out.
    pub fn sizing(name: &str, pool: &str, error: SizingError) -> VolumeError {
        VolumeError::Sizing { name: name.to_owned(), pool: pool.to_owned(), error }
    }

    /// A failure of the pool.
    pub fn pool(name: &str, error: PoolError) -> VolumeError {
        VolumeError::Pool { name: name.to_owned(), error }
    }

    /// The code for a JSON-RPC response: a negative errno, or invalid parameters.
    pub fn code(&self) -> i32 {
        match self {
            VolumeError::Exists { .. } | VolumeError::Stored { .. } | VolumeError::NameTaken { .. } => -libc::EEXIST,
            VolumeError::BaseRemoved { .. } | VolumeError::Missing(_) => -libc::ENODEV,
            VolumeError::NotOnline { .. } | VolumeError::Busy { .. } | VolumeError::InUse { .. } => -libc::EBUSY,
            VolumeError::ReadOnly { .. } => -libc::EROFS,
            VolumeError::Refused { .. } => -libc::EINVAL,
            VolumeError::Damaged { .. } => -libc::EILSEQ,
            VolumeError::Faulted { .. } | VolumeError::HalfRebuilt { .. } => -libc::EIO,
            VolumeError::Register { errno, .. } => *errno,
            VolumeError::Pool { error, .. } => -error.kind().errno(),
            VolumeError::OtherPool { .. } => -libc::EBUSY,
            VolumeError::Core { .. } => INVALID_PARAMS,
            VolumeError::Sizing { error, .. } => match error {
                SizingError::TooSmall { .. } | SizingError::StagingTooSmall { .. } | SizingError::NoRoom { .. } => {
                    -libc::ENOSPC
                }
                _ => -libc::EINVAL,
            },
            VolumeError::Memory { .. } | VolumeError::Thread { .. } | VolumeError::Start { .. } => -libc::ENOMEM,
        }
    }
}
