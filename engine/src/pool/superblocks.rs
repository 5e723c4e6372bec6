// SPDX-License-Identifier: BSD-3-Clause

//! The two copies of a drive's superblock: finding, reading, writing, erasing them (mpool.md 5.1).
//!
//! ```text
//! byte 0          4096         8192          12288         16384
//! +---------------+-------------+--------------+-------------+
//! |    copy 0     |  kept free  |    copy 1    |  kept free  |
//! +---------------+-------------+--------------+-------------+
//! ```
//! A power cut may leave any of the 512-byte parts of a copy that was being written old or new. Then a later [`read`] gives
//! the superblock before or the one after, because
//! * each write is durable before the next begins, and copy 0 is rewritten before copy 1;
//! * before copy 0 is rewritten, copy 1 is made equal to it, should an earlier cut or failure have left it different;
//! * a new superblock is written only after an old copy 1 is gone, so that what was there cannot come back;
//! * copy 1 is erased before copy 0, and a copy 0 of zeros was erased: it says that there is no pool, whatever copy 1 says.
//!
//! Which copy counts is decided in [`copies`].
//! Differs from mpool.md: copy 1 is read when copy 0 fails (section 13, defect 2); an erasure reports its first failure.

use super::device::{Device, DeviceProperties, IoBuf, Transfer};
use super::drive::{short_name, write_durably, Drive, DriveStatus};
use super::error::{Kind, PoolError, Result};
use super::format::superblock::MAGIC;
use super::format::{DriveDescriptor, Features, Superblock, SuperblockVersion, SUPERBLOCK_BYTES};
use super::host::{Host, Level};

pub mod copies;
#[cfg(test)]
mod tests;

pub use copies::{decide, is_unfinished, CopyState, Found};

/// First bytes of the two copies.
pub const COPIES_AT: [u64; 2] = [0, 8192];

/// True when one of the copies begins as a superblock does, whole or not; but not for what a cut has left of the first
/// write of all, so that the same can be done again.
///
/// # Errors
/// EIO: none is seen, and a copy could not be read.
pub async fn probe(device: &dyn Device) -> Result<bool> {
    let mut outcome = Ok(false);
    for copy in 0..COPIES_AT.len() {
        match read_copy(device, copy).await {
            Ok(buf) if (*buf).as_ref().starts_with(&MAGIC) => {
                return Ok(!is_unfinished(&[copy_state(device, 0).await, copy_state(device, 1).await]))
            }
            Ok(_) => {}
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    outcome
}

/// Reads the superblock. What is odd about the copies is logged.
///
/// # Errors
/// EBADF: there is none, or it was erased. EINVAL: damaged. EPROTONOSUPPORT: newer software wrote it. EIO.
pub async fn read(device: &dyn Device, host: &dyn Host) -> Result<Found> {
    let found = decide(&subject(device), [copy_state(device, 0).await, copy_state(device, 1).await])?;
    for warning in &found.warnings {
        host.log(Level::Warning, &format!("{}: {warning}", subject(device)));
    }
    Ok(found)
}

/// Writes both copies of the first superblock of a drive. Whether the drive may be overwritten was asked before.
///
/// # Errors
/// EIO: a copy could not be written. The caller then erases both.
pub async fn write_new(device: &dyn Device, superblock: &Superblock, version: SuperblockVersion) -> Result<()> {
    if !matches!(copy_state(device, 1).await, CopyState::Erased) {
        write_copy(device, 1, &[0; SUPERBLOCK_BYTES], "erasing").await?;
    }
    let bytes = superblock.encode(version);
    write_copy(device, 0, &bytes[..], "writing").await?;
    write_copy(device, 1, &bytes[..], "writing").await
}

/// Rewrites the superblock of a drive in use; see [`rewrite`].
///
/// # Errors
/// EIO: the drive is not online; else as [`rewrite`].
pub async fn update(
    drive: &Drive,
    superblock: &mut Superblock,
    version: SuperblockVersion,
    host: &dyn Host,
) -> Result<()> {
    match drive.device() {
        Some(device) if drive.status() == DriveStatus::Online => rewrite(&**device, superblock, version, host).await,
        _ => Err(PoolError::new(Kind::Io, drive.subject(), "its superblock is not rewritten: the drive is not online")),
    }
}

/// Rewrites the superblock on a device, with the next generation. A failure to write copy 1 is only logged.
///
/// # Errors
/// EIO: copy 0 could not be written. Media then have the old superblock or the new one.
pub async fn rewrite(
    device: &dyn Device,
    superblock: &mut Superblock,
    version: SuperblockVersion,
    host: &dyn Host,
) -> Result<()> {
    let next = superblock.generation.checked_add(1);
    superblock.generation =
        next.ok_or_else(|| PoolError::invalid(subject(device), "the superblock's generation cannot grow any more"))?;
    make_copy_1_equal(device, host).await;
    let bytes = superblock.encode(version);
    write_copy(device, 0, &bytes[..], "writing").await?;
    if let Err(error) = write_copy(device, 1, &bytes[..], "writing").await {
        host.log(Level::Warning, &format!("{error}; copy 0 was written"));
    }
    Ok(())
}

/// Erases both copies. Both are tried.
///
/// # Errors
/// EIO: the first failure.
pub async fn erase(device: &dyn Device) -> Result<()> {
    let zeros = [0; SUPERBLOCK_BYTES];
    let copy_1 = write_copy(device, 1, &zeros, "erasing").await;
    let copy_0 = write_copy(device, 0, &zeros, "erasing").await;
    copy_1.and(copy_0)
}

/// Checks that a device can be the drive that media describe: as large or larger, with the same sectors, type and features.
/// With `force` any can.
///
/// # Errors
/// EINVAL.
pub fn reconcile(recorded: &DriveDescriptor, device: &DeviceProperties, force: bool) -> Result<()> {
    let fault = if force {
        return Ok(());
    } else if device.bytes < recorded.bytes {
        format!("it has {} bytes, its superblock says {}", device.bytes, recorded.bytes)
    } else if u64::from(device.sector_bytes) != recorded.sector_bytes() {
        format!("it has blocks of {} bytes, its superblock says {}", device.sector_bytes, recorded.sector_bytes())
    } else if device.kind != recorded.kind {
        format!("its type is {:?}, its superblock says {:?}", device.kind, recorded.kind)
    } else if Features::of(device) != recorded.features {
        format!("its features are {:#x}, its superblock says {:#x}", Features::of(device).0, recorded.features.0)
    } else {
        return Ok(());
    };
    Err(PoolError::invalid(format!("drive '{}'", short_name(&device.name)), fault))
}

/// True when a superblock of this version must be rewritten before the pool is used.
///
/// # Errors
/// EPERM: it must, and that is not permitted.
pub fn needs_conversion(found: SuperblockVersion, wanted: SuperblockVersion, permitted: bool) -> Result<bool> {
    if found >= wanted {
        return Ok(false);
    }
    if permitted {
        return Ok(true);
    }
    let reason = format!("version {} must be converted to {}, which is not permitted", found as u16, wanted as u16);
    Err(PoolError::new(Kind::NotPermitted, "superblock", reason))
}

/// Where copy 0 counts, gives copy 1 the same bytes: once copy 0 is being rewritten, only copy 1 has the old superblock.
async fn make_copy_1_equal(device: &dyn Device, host: &dyn Host) {
    let (Ok(copy_0), copy_1) = (read_copy(device, 0).await, read_copy(device, 1).await) else { return };
    let states = [
        CopyState::of((*copy_0).as_ref()),
        copy_1
            .as_ref()
            .map_or_else(|error| CopyState::Unreadable(error.clone()), |copy_1| CopyState::of((**copy_1).as_ref())),
    ];
    let counts = decide(&subject(device), states).is_ok_and(|found| found.copy == 0);
    let equal = copy_1.is_ok_and(|copy_1| (*copy_1).as_ref() == (*copy_0).as_ref());
    if !counts || equal {
        return;
    }
    if let Err(error) = write_copy(device, 1, (*copy_0).as_ref(), "restoring").await {
        host.log(Level::Warning, &error.to_string());
    }
}

async fn copy_state(device: &dyn Device, copy: usize) -> CopyState {
    match read_copy(device, copy).await {
        Ok(buf) => CopyState::of((*buf).as_ref()),
        Err(error) => CopyState::Unreadable(error),
    }
}

async fn read_copy(device: &dyn Device, copy: usize) -> Result<IoBuf> {
    let doing = format!("reading copy {copy} of the superblock");
    let transfer = transfer_of(device, copy, &doing)?;
    let (buf, outcome) = device.read(transfer).await;
    outcome.map_err(|error| PoolError::device(subject(device), &doing, error))?;
    Ok(buf)
}

async fn write_copy(device: &dyn Device, copy: usize, bytes: &[u8], verb: &str) -> Result<()> {
    let doing = format!("{verb} copy {copy} of the superblock");
    let mut transfer = transfer_of(device, copy, &doing)?;
    (*transfer.buf).as_mut()[..SUPERBLOCK_BYTES].copy_from_slice(bytes);
    let (_, outcome) = write_durably(device, &device.properties(), transfer).await;
    outcome.map_err(|error| PoolError::device(subject(device), &doing, error))
}

/// A transfer of one copy, with memory.
fn transfer_of(device: &dyn Device, copy: usize, doing: &str) -> Result<Transfer> {
    let buf = device.allocate(SUPERBLOCK_BYTES).map_err(|error| PoolError::device(subject(device), doing, error))?;
    Ok(Transfer { at: COPIES_AT[copy], buf, range: 0..SUPERBLOCK_BYTES, chunk: SUPERBLOCK_BYTES })
}

fn subject(device: &dyn Device) -> String {
    format!("drive '{}'", short_name(&device.properties().name))
}
