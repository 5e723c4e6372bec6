// SPDX-License-Identifier: BSD-3-Clause

//! A block device as the pool sees it, and the memory of its transfers.
//!
//! `bdev` implements [`Device`] on SPDK bdevs, the simulator on virtual disks that tear, reorder and fail,
//! `mpool-inspect` on files. All calls come from the pool's thread.
//!
//! Rules for an implementation:
//! * A transfer owns its memory until it ends, and returns it with the outcome. Dropping the future of a transfer
//!   leaves the transfer in flight; its memory is freed when it ends.
//! * A transfer is carried out in pieces of at most `chunk` bytes, cut by [`pieces`], all in flight together. Pieces
//!   and transfers are unordered until they have ended.
//! * A completed write without `fua` on a device with a volatile cache is durable only after a later flush.
//! * A power cut never tears an aligned unit of [`DeviceProperties::atomic_write`] bytes, within larger writes either.

use core::fmt;
use core::ops::Range;

use async_trait::async_trait;
use thiserror::Error;
use uuid::Uuid;

/// Memory that a device can transfer to and from.
pub trait IoMemory: AsRef<[u8]> + AsMut<[u8]> + fmt::Debug {}

/// A piece of such memory, owned.
pub type IoBuf = Box<dyn IoMemory>;

/// Ordinary memory, for devices that need no special memory.
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

/// The properties of a device that matter to the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProperties {
    /// The name that the device was opened by.
    pub name: String,
    /// Model or driver, for messages.
    pub model: String,
    /// The UUID of the device; nil when it has none.
    pub uuid: Uuid,
    /// The UUID stays the same over restarts.
    pub uuid_lasts: bool,
    /// The device is stacked on another one, or may be: its content is visible on that one, too.
    pub layered: bool,
    /// The type, which is recorded on media.
    pub kind: DeviceType,
    /// The size in bytes.
    pub bytes: u64,
    /// Bytes in a block ("sector"): 512 or 4096.
    pub sector_bytes: u32,
    /// The unit that writes should be multiples of, in bytes; a power of two and a multiple of 4096.
    pub optimal_write_bytes: u32,
    /// Unmap is supported.
    pub discard: bool,
    /// The unit of unmap, in bytes.
    pub discard_granularity: u64,
    /// Blocks carry protection information (DIF).
    pub dif: bool,
    /// The device encrypts itself (SED).
    pub sed: bool,
    /// Blocks can be overwritten in place. Mlogs need this.
    pub sector_updatable: bool,
    /// The device has a cache that loses its content in a power cut.
    pub volatile_cache: bool,
    /// Single writes can be forced to the medium.
    pub fua: bool,
    /// Aligned writes of this many bytes are not torn by a power cut: 512, or the sector size where it is known.
    pub atomic_write: u32,
}

/// The type of a device; the numbers are those on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DeviceType {
    /// Block device with write streams.
    StreamBlock = 1,
    /// Ordinary block device.
    StandardBlock = 2,
    /// File of a file system.
    File = 3,
    /// Memory, not persistent.
    Memory = 4,
    /// Zoned block device.
    Zoned = 5,
    /// Block device on persistent memory.
    NvdimmBlock = 6,
}

impl DeviceType {
    /// The type with a number on media; none when there is no such type.
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
    /// The medium or the path to it failed.
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
    /// The first byte on the device.
    pub at: u64,
    /// The memory, owned by the transfer until it ends.
    pub buf: IoBuf,
    /// The part of the memory to transfer.
    pub range: Range<usize>,
    /// The largest piece in bytes, a multiple of the sector size.
    pub chunk: usize,
}

/// A completed transfer: its memory, and the outcome. After a failed read the content of the memory is undefined.
pub type Ended = (IoBuf, Result<(), DeviceError>);

/// A block device, opened exclusively for this pool, and closed when dropped.
#[async_trait(?Send)]
pub trait Device: fmt::Debug {
    /// The device's properties. The size may grow; the rest is constant.
    fn properties(&self) -> DeviceProperties;

    /// Allocates zeroed memory for transfers, `bytes` long.
    ///
    /// # Errors
    /// NoMemory.
    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError>;

    /// Reads from the device into the memory of `transfer`.
    async fn read(&self, transfer: Transfer) -> Ended;

    /// Writes; with `fua` (only where [`DeviceProperties::fua`] is set) the data is durable when this ends.
    async fn write(&self, transfer: Transfer, fua: bool) -> Ended;

    /// Makes all completed writes durable.
    async fn flush(&self) -> Result<(), DeviceError>;

    /// Discards whole blocks. Their content is undefined afterwards.
    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError>;
}

/// Cuts a transfer into pieces: for each, the first byte on the device and the range of memory.
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
