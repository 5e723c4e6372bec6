// SPDX-License-Identifier: BSD-3-Clause

//! Foreign data on a device that is to become a drive: detects file systems, partition tables and other software's
//! superblocks by their signatures at fixed places.
//!
//! A signature is evidence, not proof, and its absence proves nothing. So findings are named, and the operator must
//! force the use of the device. Then the signatures are overwritten: those that the pool itself would leave intact
//! would make other software take the device for its own.

use super::device::{Device, Transfer};
use super::drive::{short_name, write_durably};
use super::error::{PoolError, Result};

/// The place of a signature.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At this byte.
    At(u64),
    /// At each of `count` places, `stride` bytes apart.
    Each { first: u64, stride: u64, count: u64 },
    /// At a number of bytes before the end, where the end is first rounded down to a multiple of the second number.
    BeforeEnd(u64, u64),
}

/// A signature.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// What the signature belongs to.
    what: &'static str,
    place: Place,
    bytes: &'static [u8],
}

const KIB: u64 = 1 << 10;

const fn mark(what: &'static str, place: Place, bytes: &'static [u8]) -> Mark {
    Mark { what, place, bytes }
}

const fn at(what: &'static str, byte: u64, bytes: &'static [u8]) -> Mark {
    mark(what, Place::At(byte), bytes)
}

const EXT: &str = "an ext2, ext3 or ext4 file system";
const GPT: &str = "a GPT partition table";
const LUKS: &str = "a LUKS volume";
const LVM: &str = "an LVM2 physical volume";
const MD: &str = "a member of a Linux md array";
const SWAP: &str = "swap space";
const ZFS: &str = "a member of a ZFS pool";

/// The signatures. Those of partition tables are last, because file systems have boot sectors too.
const MARKS: &[Mark] = &[
    at(EXT, 0x438, &[0x53, 0xef]),
    at("an XFS file system", 0, b"XFSB"),
    at("a Btrfs file system", 64 * KIB + 0x40, b"_BHRfS_M"),
    at("an F2FS file system", 0x400, &[0x10, 0x20, 0xf5, 0xf2]),
    at("an NTFS file system", 3, b"NTFS    "),
    at("an exFAT file system", 3, b"EXFAT   "),
    at("a FAT file system", 0x36, b"FAT1"),
    at("a FAT file system", 0x52, b"FAT32   "),
    at("an ISO 9660 file system", 0x8001, b"CD001"),
    at("a bcache device", 4 * KIB + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]),
    at("a BlueStore device", 0, b"bluestore block device"),
    at(LUKS, 0, b"LUKS\xba\xbe"),
    at(LUKS, 16 * KIB, b"SKUL\xba\xbe"),
    mark(LVM, Place::Each { first: 0, stride: 512, count: 4 }, b"LABELONE"),
    mark(MD, Place::Each { first: 0, stride: 4 * KIB, count: 2 }, &[0xfc, 0x4e, 0x2b, 0xa9]),
    mark(MD, Place::BeforeEnd(8 * KIB, 4 * KIB), &[0xfc, 0x4e, 0x2b, 0xa9]),
    mark(MD, Place::BeforeEnd(64 * KIB, 64 * KIB), &[0xfc, 0x4e, 0x2b, 0xa9]),
    mark(SWAP, Place::Each { first: 4 * KIB - 10, stride: 4 * KIB, count: 16 }, b"SWAPSPACE2"),
    mark(SWAP, Place::Each { first: 4 * KIB - 10, stride: 4 * KIB, count: 16 }, b"SWAP-SPACE"),
    mark(ZFS, Place::Each { first: 128 * KIB, stride: KIB, count: 128 }, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]),
    mark(ZFS, Place::Each { first: 128 * KIB, stride: KIB, count: 128 }, &[0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c]),
    at("an SPDK blobstore or lvstore", 0, b"SPDKBLOB"),
    at("a member of an SPDK raid", 0, b"SPDKRAID"),
    at("a VDO volume", 0, b"dmvdo001"),
    at(GPT, 512, b"EFI PART"),
    at(GPT, 4 * KIB, b"EFI PART"),
    mark(GPT, Place::BeforeEnd(512, 1), b"EFI PART"),
    mark(GPT, Place::BeforeEnd(4 * KIB, 1), b"EFI PART"),
    at("a boot sector or an MBR partition table", 510, &[0x55, 0xaa]),
];

/// Bytes at the start and at the end of a device that can hold signatures.
const HEAD_BYTES: u64 = 256 * KIB;
const TAIL_BYTES: u64 = 128 * KIB;

/// The unit of overwriting: the page that holds a signature.
const PAGE: u64 = 4 * KIB;

/// The findings on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    /// What was found, without duplicates.
    pub what: Vec<&'static str>,
    /// The pages with signatures.
    pages: Vec<u64>,
}

impl Foreign {
    /// Names the findings for a sentence: "a GPT partition table and swap space".
    #[must_use]
    pub fn describe(&self) -> String {
        self.what.join(" and ")
    }

    fn note(&mut self, mark: &Mark, place: u64) {
        if !self.what.contains(&mark.what) {
            self.what.push(mark.what);
        }
        let page = place / PAGE * PAGE;
        if !self.pages.contains(&page) {
            self.pages.push(page);
        }
    }
}

/// A part of a device in memory.
struct Part {
    first: u64,
    bytes: Vec<u8>,
}

impl Part {
    /// True when the part has these bytes at this place of the device.
    fn has(&self, place: u64, bytes: &[u8]) -> bool {
        let found = place.checked_sub(self.first).and_then(|from| usize::try_from(from).ok());
        found.and_then(|from| self.bytes.get(from..)).is_some_and(|rest| rest.starts_with(bytes))
    }
}

/// Searches a device for signatures.
///
/// # Errors
/// Io: the start or the end cannot be read.
pub async fn look(device: &dyn Device) -> Result<Foreign> {
    let size = device.properties().bytes;
    let head = read(device, 0, HEAD_BYTES.min(size)).await?;
    let tail = read(device, size.saturating_sub(TAIL_BYTES), TAIL_BYTES.min(size)).await?;
    let mut foreign = Foreign::default();
    for mark in MARKS {
        let places = match mark.place {
            Place::At(byte) => vec![byte],
            Place::Each { first, stride, count } => (0..count).map(|number| first + number * stride).collect(),
            Place::BeforeEnd(bytes, unit) => vec![(size / unit * unit).saturating_sub(bytes)],
        };
        for place in places {
            if [&head, &tail].iter().any(|part| part.has(place, mark.bytes)) && is_plausible(mark, place, &head) {
                foreign.note(mark, place);
            }
        }
    }
    Ok(foreign)
}

/// Two bytes are little evidence: an ext superblock must have a valid block size and revision, too.
fn is_plausible(mark: &Mark, place: u64, head: &Part) -> bool {
    if mark.what != EXT {
        return true;
    }
    let field = |offset: u64| (0..=8).any(|value: u8| head.has(place - 0x38 + offset, &[value, 0, 0, 0]));
    field(0x18) && field(0x4c)
}

/// Overwrites the pages with signatures.
///
/// # Errors
/// Io.
pub async fn wipe(device: &dyn Device, foreign: &Foreign) -> Result<()> {
    let doing = "wiping what was on it";
    let failed = |error| PoolError::device(subject(device), doing, error);
    let end = device.properties().bytes;
    for page in &foreign.pages {
        let length = PAGE.min(end.saturating_sub(*page)) as usize;
        let buf = device.allocate(length).map_err(failed)?;
        let transfer = Transfer { at: *page, buf, range: 0..length, chunk: length };
        write_durably(device, &device.properties(), transfer).await.1.map_err(failed)?;
    }
    Ok(())
}

async fn read(device: &dyn Device, first: u64, bytes: u64) -> Result<Part> {
    let doing = "looking for what is on it";
    let failed = |error| PoolError::device(subject(device), doing, error);
    let length = bytes as usize;
    if length == 0 {
        return Ok(Part { first, bytes: Vec::new() });
    }
    let buf = device.allocate(length).map_err(failed)?;
    let (buf, outcome) = device.read(Transfer { at: first, buf, range: 0..length, chunk: length }).await;
    outcome.map_err(failed)?;
    Ok(Part { first, bytes: (*buf).as_ref()[..length].to_vec() })
}

fn subject(device: &dyn Device) -> String {
    format!("drive '{}'", short_name(&device.properties().name))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::test_device::{properties, TestDevice};

    const MIB: u64 = 1 << 20;

    #[test]
    fn every_mark_is_seen_and_wiped() {
        for bytes in [2 * MIB, 2 * MIB + 512 * 3] {
            for mark in MARKS {
                let device = TestDevice::new(crate::DeviceProperties { sector_bytes: 512, ..properties(bytes) });
                let place = match mark.place {
                    Place::At(byte) => byte,
                    Place::Each { first, stride, count } => first + stride * (count - 1),
                    Place::BeforeEnd(before, unit) => bytes / unit * unit - before,
                };
                device.poke(place as usize, mark.bytes);
                let foreign = block_on(look(&*device)).expect("readable");
                assert_eq!(foreign.what, [mark.what], "{mark:?}");
                assert_eq!(foreign.describe(), mark.what);
                block_on(wipe(&*device, &foreign)).expect("a good device");
                assert_eq!(block_on(look(&*device)).expect("readable"), Foreign::default(), "{mark:?}");
            }
        }
    }

    #[test]
    fn nothing_is_seen_on_an_empty_or_a_small_device() {
        for bytes in [0, 4096, 64 << 10, 8 * MIB] {
            assert_eq!(block_on(look(&*TestDevice::new(properties(bytes)))), Ok(Foreign::default()), "{bytes}");
        }
        let device = TestDevice::new(properties(MIB));
        device.poke(0x438, &[0x53, 0xef]);
        device.poke(0x418, &[0xff; 4]);
        assert_eq!(block_on(look(&*device)), Ok(Foreign::default()), "no block size of ext4");
    }
}
