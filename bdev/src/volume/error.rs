// SPDX-License-Identifier: BSD-3-Clause

//! Why a volume cannot be created, loaded or changed. The messages say what failed on which object; errno appears only
//! in answers to SPDK.

use mpool::PoolError;
use thiserror::Error;

use super::sizing::SizingError;
use crate::datapath::shard_host::StartError;
use crate::spdk::cpumask;

/// Why an operation on a volume fails although its parameters are well formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VolumeError {
    /// The name is taken.
    #[error("cannot create '{name}': a bdev of that name exists")]
    Exists { name: String },
    /// The pool has a volume of this name.
    #[error(
        "cannot create '{name}': pool '{pool}' has a volume of that name. Volumes are loaded with their pools; one \
         that was unloaded is loaded by bdev_dedupe_load, and destroyed by bdev_dedupe_delete"
    )]
    Stored { name: String, pool: String },
    /// Another bdev has the name of the volume's bdev.
    #[error("cannot load '{name}': a bdev of that name exists")]
    NameTaken { name: String },
    /// There is no such bdev, or it is another module's; or no such volume.
    #[error("{0}")]
    Missing(String),
    /// The volume is not in service.
    #[error("'{name}' is {state}")]
    NotOnline { name: String, state: &'static str },
    /// Another operation on the volume is in progress.
    #[error("'{name}' is busy: {operation} is under way")]
    Busy { name: String, operation: &'static str },
    /// Another module or client uses the volume's bdev.
    #[error("'{name}' is {user}; bdev_dedupe_delete deletes it all the same with force")]
    InUse { name: String, user: String },
    /// The volume accepts no writes.
    #[error("'{name}' is read-only: {reason}")]
    ReadOnly { name: String, reason: String },
    /// The operation is not possible in the volume's present state.
    #[error("'{name}': {reason}")]
    Refused { name: String, reason: String },
    /// The volume's pool, or its creation, failed.
    #[error("'{name}': {error}{}", step.map_or_else(String::new, |step| format!(" (in step '{step}')")))]
    Pool { name: String, error: PoolError, step: Option<&'static str> },
    /// The volume's pool takes no changes at present.
    #[error(
        "'{name}' stays as it is, because pool '{pool}' takes no changes: {faults}. Once the bdev works again (mpool_list \
         tells) the same call does it"
    )]
    Faulted { name: String, pool: String, faults: String },
    /// A rebuild did not finish.
    #[error(
        "'{name}': its rebuild failed after it had begun: {cause}. Nothing more is lost by that, but the volume is out of \
         service until bdev_dedupe_rebuild of '{name}' has done it again, from the start; mpool_list tells when the pool works"
    )]
    HalfRebuilt { name: String, cause: String },
    /// The volume's metadata is damaged.
    #[error("'{name}': {reason}")]
    Damaged { name: String, reason: String },
    /// The bdev holds a pool that was not made for the volume.
    #[error(
        "cannot create '{name}' on base bdev '{base}': it belongs to the pool '{pool}', which was not made for \
         '{name}'; to put the volume into that pool, give pool_name \"{pool}\" instead of base_bdev_name"
    )]
    OtherPool { name: String, base: String, pool: String },
    /// The mask names a core that the application does not have.
    #[error("parameter 'cpumask' names core {core}, but the application runs on cores {}", cpumask::format(available))]
    Core { core: u32, available: Vec<u32> },
    /// The pool is too small, or a requested size does not suit it.
    #[error("cannot lay out '{name}' in pool '{pool}': {error}")]
    Sizing { name: String, pool: String, error: SizingError },
    #[error(
        "no memory for '{name}': it needs {needed_mib} MiB, but {available_mib} MiB are available; \
         a smaller index_memory_mib or block_map_cache_mib needs less"
    )]
    Memory { name: String, needed_mib: u64, available_mib: u64 },
    /// SPDK created no thread.
    #[error("cannot create an SPDK thread on core {core} for '{name}'")]
    Thread { name: String, core: u32 },
    #[error("cannot start the shard of '{name}' on core {core}: {error}")]
    Start { name: String, core: u32, error: StartError },
    /// SPDK refused to register the bdev.
    #[error("cannot register bdev '{name}': {}", std::io::Error::from_raw_os_error(-errno))]
    Register { name: String, errno: i32 },
    /// The base was removed during the operation.
    #[error("'{name}': base bdev '{base}' was removed meanwhile")]
    BaseRemoved { name: String, base: String },
}

/// JSON-RPC's code for invalid parameters.
pub const INVALID_PARAMS: i32 = -32602;

impl VolumeError {
    pub fn sizing(name: &str, pool: &str, error: SizingError) -> VolumeError {
        VolumeError::Sizing { name: name.to_owned(), pool: pool.to_owned(), error }
    }

    pub fn pool(name: &str, error: PoolError) -> VolumeError {
        VolumeError::Pool { name: name.to_owned(), error, step: None }
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
