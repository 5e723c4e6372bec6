// SPDX-License-Identifier: BSD-3-Clause

//! The three copies of a drive's superblock: finds, reads, writes and erases them.
//!
//! ```text
//! byte 0          4096         8192          12288         16384            size - 64 KiB      size - 60 KiB     size
//! +---------------+-------------+--------------+-------------+--- zones ---+------------------+------------------+
//! |    copy 0     |  kept free  |    copy 1    |  kept free  |             |      copy 2      |    kept free     |
//! +---------------+-------------+--------------+-------------+-------------+------------------+------------------+
//! ```
//! The size is that in the superblock: when a device grows, copy 2 stays where it is until the drive is resized.
//!
//! A rewrite is acknowledged when two of the three copies have it. After a power cut each 512-byte part of the copy
//! being written may be old or new. A later [`read`] still gives the superblock before or the one after, because
//! * each write is durable before the next begins, so at most one copy is torn, and two are good;
//! * copies that do not have the newest superblock are written first, so that it is not lost if only one copy has it;
//! * of two good copies one has the newest acknowledged superblock ([`copies`]);
//! * a generation is used once: if a copy could not be read, the next generation is far beyond what that copy can have.
//!
//! A failed write of a copy is retried at once, with each later rewrite, and when the pool is activated. Before a new
//! superblock is written, copies 2 and 1 of an old one are erased, and an erasure goes from copy 2 to copy 0: so the
//! old superblock does not come back, and an interrupted operation is recognized.

use super::device::{Device, DeviceError, DeviceProperties, IoBuf, Transfer};
use super::drive::{short_name, write_durably, Drive};
use super::error::{Kind, PoolError, Result};
use super::format::{end_copy_at, Superblock, SuperblockVersion, SUPERBLOCK_BYTES};
use super::host::{Host, Level};

pub mod copies;
pub mod device_check;
#[cfg(test)]
mod tests;

pub use copies::{decide, is_unfinished, Condition, CopyState, Found, COPIES};

/// The first bytes of the copies at the start of a device.
pub const HEAD_COPIES_AT: [u64; 2] = [0, 8192];

/// The number of attempts at a transfer of a copy.
const TRIES: usize = 3;

/// The increment of a generation if a copy could not be read: more than failed rewrites can have added.
const LEAP: u32 = 1 << 16;

/// The content of the copies, and where copy 2 may be.
#[derive(Debug)]
struct Look {
    states: [CopyState; COPIES],
    /// Where copy 2 may be: at the end of the device, and at the ends that the other copies name.
    ends: Vec<u64>,
}

/// True when one of the copies begins as a superblock does, whole or not; but false for the leftovers of an interrupted
/// creation or destruction, so that it can be repeated.
///
/// # Errors
/// EIO: none is found, and a copy could not be read.
pub async fn probe(device: &dyn Device) -> Result<bool> {
    let Look { states, .. } = look(device).await?;
    if states.iter().any(|state| matches!(state, CopyState::Good(..) | CopyState::Bad(_))) {
        return Ok(!is_unfinished(&states));
    }
    match states.into_iter().find_map(|state| if let CopyState::Unreadable(error) = state { Some(error) } else { None })
    {
        Some(error) => Err(error),
        None => Ok(false),
    }
}

/// True when an interrupted creation or destruction has left something.
///
/// # Errors
/// Invalid: the device has no room for superblocks.
pub async fn has_remains(device: &dyn Device) -> Result<bool> {
    Ok(is_unfinished(&look(device).await?.states))
}

/// Reads the superblock, whatever its condition.
///
/// # Errors
/// EBADF: there is none, or it was erased. EINVAL: it is damaged. EPROTONOSUPPORT: other software wrote it. EIO.
pub async fn find(device: &dyn Device) -> Result<Found> {
    Ok(find_or_fault(device).await?.0)
}

/// As [`find`], with the reason if a copy could not be read.
async fn find_or_fault(device: &dyn Device) -> Result<(Found, Option<PoolError>)> {
    let Look { states, .. } = look(device).await?;
    let mut found = decide(&subject(device), &states)?;
    let fault = states.into_iter().find_map(|state| match state {
        CopyState::Unreadable(error) => Some(error),
        _ => None,
    });
    if fault.is_some() && found.version != SuperblockVersion::V1 {
        found.superblock.generation = found.superblock.generation.saturating_add(LEAP);
    }
    Ok((found, fault))
}

/// Reads the superblock for use: with `force` in any condition, otherwise only if it is certain. Irregularities of the
/// copies are logged.
///
/// # Errors
/// As [`find`]. EPERM: force is needed. EIO: it is uncertain while copies that may be good cannot be read.
pub async fn read(device: &dyn Device, host: &dyn Host, force: bool) -> Result<Found> {
    let (found, fault) = find_or_fault(device).await?;
    for warning in &found.warnings {
        host.log(Level::Warning, &format!("{}: {warning}", subject(device)));
    }
    if found.condition == Condition::Sure || force {
        return Ok(found);
    }
    let Found { superblock, condition, copy, .. } = &found;
    let reason = format!(
        "it has pool '{}' ({}), but {condition} (copy {copy} is good); with force it is used and the copies are repaired",
        superblock.name, superblock.pool
    );
    Err(match fault {
        Some(fault) if *condition == Condition::Lone => {
            PoolError::new(fault.kind(), subject(device), format!("{reason}; another cannot be read just now: {fault}"))
        }
        _ => PoolError::new(Kind::NotPermitted, subject(device), reason),
    })
}

/// Writes all copies of the first superblock of a drive. The caller has checked that the drive may be overwritten.
///
/// # Errors
/// EIO: a copy could not be written. The caller then erases all.
pub async fn write_new(device: &dyn Device, superblock: &Superblock, version: SuperblockVersion) -> Result<()> {
    let Look { states, ends } = look(device).await?;
    let end = superblock.end_copy_at();
    for place in ends.iter().filter(|place| **place != end || !matches!(states[2], CopyState::Erased)) {
        write_copy(device, 2, *place, &[0; SUPERBLOCK_BYTES], "erasing").await?;
    }
    if !matches!(states[1], CopyState::Erased) {
        write_copy(device, 1, HEAD_COPIES_AT[1], &[0; SUPERBLOCK_BYTES], "erasing").await?;
    }
    let bytes = superblock.encode(version);
    for (copy, place) in places(superblock, version).into_iter().enumerate() {
        write_copy(device, copy, place, &bytes[..], "writing").await?;
    }
    Ok(())
}

/// Rewrites the superblock of a drive in use; see [`rewrite`].
///
/// # Errors
/// EIO: the drive is missing; else as [`rewrite`].
pub async fn update(
    drive: &Drive,
    superblock: &mut Superblock,
    version: SuperblockVersion,
    host: &dyn Host,
) -> Result<()> {
    match drive.device() {
        Some(device) => rewrite(&**device, superblock, version, host).await,
        None => Err(PoolError::new(Kind::Io, drive.subject(), "its superblock is not rewritten: the drive is missing")),
    }
}

/// Rewrites the superblock on a device, with the next generation, which is consumed whatever the outcome. A failure to
/// write one copy is only logged.
///
/// # Errors
/// EIO: fewer than two copies could be written. Then media have the old superblock or the new one.
pub async fn rewrite(
    device: &dyn Device,
    superblock: &mut Superblock,
    version: SuperblockVersion,
    host: &dyn Host,
) -> Result<()> {
    let next = superblock.generation.checked_add(1);
    superblock.generation =
        next.ok_or_else(|| PoolError::invalid(subject(device), "the superblock's generation cannot grow any more"))?;
    let bytes = superblock.encode(version);
    let order = writing_order(device, places(superblock, version)).await;
    let mut failures = Vec::new();
    for (copy, place) in &order {
        if let Err(error) = write_copy(device, *copy, *place, &bytes[..], "writing").await {
            failures.push(error);
        }
    }
    let written = order.len() - failures.len();
    if written < 2 {
        return Err(failures.swap_remove(0));
    }
    for error in failures {
        host.log(Level::Warning, &format!("{error}; {written} copies of the superblock were written"));
    }
    Ok(())
}

/// Erases the last copy of a drive that has been resized since. A failure does no harm.
pub async fn erase_former_end(device: &dyn Device, former_bytes: u64, host: &dyn Host) {
    let erased = write_copy(device, 2, end_copy_at(former_bytes), &[0; SUPERBLOCK_BYTES], "erasing").await;
    if let Err(error) = erased {
        host.log(Level::Debug, &format!("{error}: it stays where the drive ended before"));
    }
}

/// Erases all copies. A failure does not stop the others.
///
/// # Errors
/// EIO: the first failure.
pub async fn erase(device: &dyn Device) -> Result<()> {
    let Look { ends, .. } = look(device).await?;
    let zeros = [0; SUPERBLOCK_BYTES];
    let mut outcome = Ok(());
    for place in ends {
        outcome = outcome.and(write_copy(device, 2, place, &zeros, "erasing").await);
    }
    for (copy, place) in HEAD_COPIES_AT.into_iter().enumerate().rev() {
        outcome = outcome.and(write_copy(device, copy, place, &zeros, "erasing").await);
    }
    outcome
}

/// True when a superblock of this version must be rewritten before the pool is used.
///
/// # Errors
/// EPERM: it must, but that is not permitted.
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

/// The first bytes of the copies that a version has.
fn places(superblock: &Superblock, version: SuperblockVersion) -> Vec<u64> {
    let end = (version != SuperblockVersion::V1).then(|| superblock.end_copy_at());
    HEAD_COPIES_AT.into_iter().chain(end).collect()
}

/// The copies in writing order: those without the newest superblock first, because while only one copy has that it must
/// not be torn. Among equals copy 0 is the last.
async fn writing_order(device: &dyn Device, places: Vec<u64>) -> Vec<(usize, u64)> {
    let mut order = Vec::with_capacity(places.len());
    for (copy, place) in places.into_iter().enumerate().rev() {
        let generation = copy_state(device, copy, place).await.superblock().map(|superblock| superblock.generation);
        order.push((generation, copy, place));
    }
    let newest = order.iter().map(|(generation, ..)| *generation).max().flatten();
    order.sort_by_key(|(generation, ..)| *generation == newest);
    order.into_iter().map(|(_, copy, place)| (copy, place)).collect()
}

/// Reads all copies.
async fn look(device: &dyn Device) -> Result<Look> {
    let DeviceProperties { bytes, .. } = device.properties();
    let after_head = HEAD_COPIES_AT[1] + SUPERBLOCK_BYTES as u64;
    if end_copy_at(bytes) < after_head {
        return Err(PoolError::invalid(subject(device), format!("its {bytes} bytes have no room for superblocks")));
    }
    let zero = copy_state(device, 0, HEAD_COPIES_AT[0]).await;
    let one = copy_state(device, 1, HEAD_COPIES_AT[1]).await;
    let ends = ends(bytes, [&zero, &one]);
    let mut two = copy_state(device, 2, ends[0]).await;
    for end in &ends[1..] {
        let other = copy_state(device, 2, *end).await;
        if is_better_end(&other, &two, [&zero, &one]) {
            two = other;
        }
    }
    Ok(Look { states: [zero, one, two], ends })
}

/// Where copy 2 may be on a device of `bytes` bytes with these other copies: at its end, and where they say.
#[must_use]
pub fn ends(bytes: u64, heads: [&CopyState; 2]) -> Vec<u64> {
    let after_head = HEAD_COPIES_AT[1] + SUPERBLOCK_BYTES as u64;
    let mut ends = vec![end_copy_at(bytes)];
    for superblock in heads.into_iter().filter_map(CopyState::superblock) {
        let end = superblock.end_copy_at();
        if !ends.contains(&end) && (after_head..ends[0]).contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// True when, of two places for copy 2, `other` holds the one of the drive that `heads` describe, or the newer of both.
#[must_use]
pub fn is_better_end(other: &CopyState, than: &CopyState, heads: [&CopyState; 2]) -> bool {
    let is_of_drive = |superblock: &&Superblock| {
        heads.iter().filter_map(|head| head.superblock()).any(|head| head.drive.uuid == superblock.drive.uuid)
    };
    let Some(other) = other.superblock().filter(is_of_drive) else { return false };
    than.superblock().filter(is_of_drive).is_none_or(|than| other.generation > than.generation)
}

async fn copy_state(device: &dyn Device, copy: usize, at: u64) -> CopyState {
    match read_copy(device, copy, at).await {
        Ok(buf) => CopyState::of((*buf).as_ref()),
        Err(error) => CopyState::Unreadable(error),
    }
}

async fn read_copy(device: &dyn Device, copy: usize, at: u64) -> Result<IoBuf> {
    let doing = format!("reading copy {copy} of the superblock");
    let mut tried = 1;
    loop {
        let outcome = match transfer_of(device, at) {
            Ok(transfer) => {
                let (buf, outcome) = device.read(transfer).await;
                outcome.map(|()| buf)
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(buf) => return Ok(buf),
            Err(error) if tried == TRIES => return Err(PoolError::device(subject(device), &doing, error)),
            Err(_) => tried += 1,
        }
    }
}

async fn write_copy(device: &dyn Device, copy: usize, at: u64, bytes: &[u8], verb: &str) -> Result<()> {
    let doing = format!("{verb} copy {copy} of the superblock");
    let mut tried = 1;
    loop {
        let outcome = match transfer_of(device, at) {
            Ok(mut transfer) => {
                (*transfer.buf).as_mut()[..SUPERBLOCK_BYTES].copy_from_slice(bytes);
                write_durably(device, &device.properties(), transfer).await.1
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if tried == TRIES => return Err(PoolError::device(subject(device), &doing, error)),
            Err(_) => tried += 1,
        }
    }
}

/// A transfer of one copy, with a buffer.
fn transfer_of(device: &dyn Device, at: u64) -> core::result::Result<Transfer, DeviceError> {
    let buf = device.allocate(SUPERBLOCK_BYTES)?;
    Ok(Transfer { at, buf, range: 0..SUPERBLOCK_BYTES, chunk: SUPERBLOCK_BYTES })
}

fn subject(device: &dyn Device) -> String {
    format!("drive '{}'", short_name(&device.properties().name))
}
