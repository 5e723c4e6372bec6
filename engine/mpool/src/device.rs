// SPDX-License-Identifier: BSD-3-Clause

//! A block device as the pool sees it, and the memory that its transfers use.
//!
//! `bdev` implements [`Device`] on SPDK bdevs, the simulator on virtual disks that tear, reorder and fail,
//! `mpool-inspect` on files. All calls come from the one thread that the pool lives on.
//!
//! Rules that an implementation keeps:
//! * A transfer owns its memory until it ends, and gives it back with the outcome. Dropping the future of a transfer
//!   leaves the transfer under way; its memory is then freed when it ends.
//! * A transfer is carried out as pieces of at most `chunk` bytes, cut by [`pieces`], all in flight together. Pieces
//!   and transfers have no order among each other until they have ended.
//! * A write that has ended without `fua` on a device with a volatile cache is durable only after a later flush.
//! * A power cut never tears [`DeviceProperties::atomic_write`] bytes that are so aligned, within larger writes either.

use core::fmt;
use core::ops::Range;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

/// Memory that a device can transfer to and from.
pub trait IoMemory: AsRef<[u8]> + AsMut<[u8]> + fmt::Debug {}

/// A piece of such memory, owned.
pub type IoBuf = Box<dyn IoMemory>;

/// Ordinary memory, for devices that need no special one.
#[derive(Debug, Clone)]
pub struct PlainMemory(pub Vec<u8>);

impl AsRef<[u8]> for PlainMemory {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for PlainMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl IoMemory for PlainMemory {}

/// What a device is, as far as the pool asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProperties {
    /// The name it was opened by.
    pub name: String,
    /// Model or driver, for people.
    pub model: String,
    /// Its identity; nil when it has none.
    pub uuid: Uuid,
    /// The identity stays the same over restarts.
    pub uuid_lasts: bool,
    /// It stands on another device, or may: what is on it can be seen on that one, too.
    pub layered: bool,
    /// Kind of device.
    pub kind: DeviceType,
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes in a block ("sector"): 512 or 4096.
    pub sector_bytes: u32,
    /// Multiple of which writes should be, in bytes; a power of two and a multiple of 4096.
    pub optimal_write_bytes: u32,
    /// Unmap is supported.
    pub discard: bool,
    /// Unmap works on multiples of this, in bytes.
    pub discard_granularity: u64,
    /// Blocks carry protection information (DIF).
    pub dif: bool,
    /// The device encrypts itself (SED).
    pub sed: bool,
    /// Blocks can be written again in place. Mlogs need it.
    pub sector_updatable: bool,
    /// The device has a cache that a power cut empties.
    pub volatile_cache: bool,
    /// Single writes can be forced to the medium.
    pub fua: bool,
    /// Aligned writes of so many bytes are not torn by a power cut: 512, or the sector size where it is known.
    pub atomic_write: u32,
}

/// Kind of a device; the numbers are those on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DeviceType {
    /// Block device with write streams.
    StreamBlock = 1,
    /// Ordinary block device.
    StandardBlock = 2,
    /// File.
    File = 3,
    /// Memory.
    Memory = 4,
    /// Zoned block device.
    Zoned = 5,
    /// Block device on persistent memory.
    NvdimmBlock = 6,
}

impl DeviceType {
    /// The kind with a number on media; none when there is no such kind.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<DeviceType> {
        Some(match number {
            1 => DeviceType::StreamBlock,
            2 => DeviceType::StandardBlock,
            3 => DeviceType::File,
            4 => DeviceType::Memory,
            5 => DeviceType::Zoned,
            6 => DeviceType::NvdimmBlock,
            _ => return None,
        })
    }
}

/// Why a transfer or command of a device failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// The medium or the way to it failed.
    #[error("I/O error")]
    Io,
    /// No memory for the transfer.
    #[error("no memory for I/O")]
    NoMemory,
    /// The device was removed.
    #[error("the device was removed")]
    Gone,
    /// Offset or length are outside the device or not aligned.
    #[error("offset or length is outside the device or not aligned")]
    Invalid,
}

/// One transfer. `at` and the length of `range` are multiples of the sector size.
#[derive(Debug)]
pub struct Transfer {
    /// First byte on the device.
    pub at: u64,
    /// Memory.
    pub buf: IoBuf,
    /// The part of the memory to be transferred.
    pub range: Range<usize>,
    /// Largest piece in bytes, a multiple of the sector size.
    pub chunk: usize,
}

/// A transfer that has ended: its memory, and the outcome. After a failed read the memory holds anything.
pub type Ended = (IoBuf, Result<(), DeviceError>);

/// A block device, opened for this pool alone. Dropped when it is no longer used.
#[async_trait(?Send)]
pub trait Device: fmt::Debug {
    /// What it is. The size may change when a device grows; the rest stays.
    fn properties(&self) -> DeviceProperties;

    /// Memory for transfers, `bytes` long, zeroed.
    ///
    /// # Errors
    /// There is none left.
    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError>;

    /// Reads.
    async fn read(&self, transfer: Transfer) -> Ended;

    /// Writes; with `fua` (only where [`DeviceProperties::fua`] says so) the data is durable when this ends.
    async fn write(&self, transfer: Transfer, fua: bool) -> Ended;

    /// Makes all writes that have ended durable.
    async fn flush(&self) -> Result<(), DeviceError>;

    /// Discards whole blocks. What they read as afterwards is not defined.
    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError>;
}

/// Cuts a transfer into pieces: of each, the first byte on the device and the range of memory.
pub fn pieces(at: u64, range: Range<usize>, chunk: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let chunk = chunk.max(1);
    let start = range.start;
    range.clone().step_by(chunk).map(move |first| {
        let end = first.saturating_add(chunk).min(range.end);
        (at + (first - start) as u64, first..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_transfer_once() {
        let cut: Vec<_> = pieces(8192, 512..512 + 300, 128).collect();
        assert_eq!(cut, [(8192, 512..640), (8320, 640..768), (8448, 768..812)]);
        assert_eq!(pieces(0, 5..5, 128).count(), 0);
    }

    #[test]
    fn device_types_have_the_numbers_of_the_format() {
        for number in 0..=255 {
            if let Some(kind) = DeviceType::from_number(number) {
                assert_eq!(kind as u8, number);
            }
        }
        assert_eq!(DeviceType::from_number(2), Some(DeviceType::StandardBlock));
        assert!(DeviceType::from_number(0).is_none() && DeviceType::from_number(7).is_none());
    }
}
