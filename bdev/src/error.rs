// SPDX-License-Identifier: BSD-3-Clause

//! Why a volume cannot be created, in words that say what failed on which object; errno only at the edge to SPDK.

use engine::pool::PoolError;
use thiserror::Error;

use crate::cpumask;
use crate::shard_host::StartError;
use crate::sizing::SizingError;

/// Why `bdev_dedupe_create` fails when its parameters are well formed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The name is taken.
    #[error("cannot create '{name}': a bdev of that name exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// The pool below, or making it.
    #[error("cannot create '{name}': {error}")]
    Pool {
        /// Name of the volume.
        name: String,
        /// What the pool says.
        error: PoolError,
    },
    /// The bdev has somebody else's pool.
    #[error(
        "cannot create '{name}' on base bdev '{base}': it belongs to the pool '{pool}', which was not made for '{name}'; \
         to put the volume into that pool, give pool_name \"{pool}\" instead of base_bdev_name"
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
         a smaller index_memory_mib or logical_size_mib needs less"
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
    /// The operating system gave no random bytes.
    #[error("cannot create '{name}': no random bytes for its hash secret: {reason}")]
    Random {
        /// Name of the volume.
        name: String,
        /// Why.
        reason: String,
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
    #[error("cannot create '{name}': base bdev '{base}' was removed meanwhile")]
    BaseRemoved {
        /// Name of the volume.
        name: String,
        /// Name of the base.
        base: String,
    },
}

/// JSON-RPC's code for invalid parameters.
pub const INVALID_PARAMS: i32 = -32602;

impl CreateError {
    /// A volume that cannot be laid out.
    pub fn sizing(name: &str, pool: &str, error: SizingError) -> CreateError {
        CreateError::Sizing { name: name.to_owned(), pool: pool.to_owned(), error }
    }

    /// A failure of the pool.
    pub fn pool(name: &str, error: PoolError) -> CreateError {
        CreateError::Pool { name: name.to_owned(), error }
    }

    /// The code for a JSON-RPC response: a negative errno, or invalid parameters.
    pub fn code(&self) -> i32 {
        match self {
            CreateError::Exists { .. } => -libc::EEXIST,
            CreateError::BaseRemoved { .. } => -libc::ENODEV,
            CreateError::Register { errno, .. } => *errno,
            CreateError::Pool { error, .. } => -error.kind().errno(),
            CreateError::OtherPool { .. } => -libc::EBUSY,
            CreateError::Core { .. } => INVALID_PARAMS,
            CreateError::Sizing { error: SizingError::TooSmall { .. } | SizingError::NoRoom { .. }, .. } => {
                -libc::ENOSPC
            }
            CreateError::Sizing { .. } => -libc::EINVAL,
            CreateError::Memory { .. } | CreateError::Thread { .. } | CreateError::Start { .. } => -libc::ENOMEM,
            CreateError::Random { .. } => -libc::EIO,
        }
    }
}
