// SPDX-License-Identifier: BSD-3-Clause

//! The description of a drive on media: 48 bytes in superblocks and MCCONFIG records.
//!
//! ```text
//! offset  size  field
//!      0     1  media class
//!      1     1  device type
//!      2     1  log2 of the sector's bytes: 9 or 12
//!      3    16  UUID of the drive
//!     19     5  padding
//!     24     4  pages (4096 bytes) in a zone
//!     28     4  zones
//!     32     8  bytes of the device
//!     40     8  features
//! ```
//! Differs from mpool: a descriptor whose zones do not lie within its bytes is refused, so that code can multiply zones
//! and bytes of a descriptor without overflow checks.

use thiserror::Error;
use uuid::Uuid;

use super::fields::{FieldReader, FieldWriter, Truncated};
use crate::device::{DeviceProperties, DeviceType};
use crate::ids::{MediaClass, PAGE_BYTES};

/// Bytes of a descriptor on media.
pub const DRIVE_DESCRIPTOR_BYTES: usize = 48;

const _: () = assert!(DRIVE_DESCRIPTOR_BYTES == 3 + 16 + 5 + 4 + 4 + 8 + 8);

/// What a drive can hold; bits as on media. Bits without a name here are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(pub u64);

impl Features {
    /// Mlogs: blocks can be overwritten in place.
    pub const MLOG_TARGET: Features = Features(0x1);
    /// Mblocks: every drive.
    pub const MBLOCK_TARGET: Features = Features(0x2);
    /// Blocks carry protection information.
    pub const CHECKSUM: Features = Features(0x4);

    /// The features of a device.
    #[must_use]
    pub fn of(device: &DeviceProperties) -> Features {
        let mut bits = Features::MBLOCK_TARGET.0;
        if device.sector_updatable {
            bits |= Features::MLOG_TARGET.0;
        }
        if device.dif {
            bits |= Features::CHECKSUM.0;
        }
        Features(bits)
    }

    /// True when all bits of `others` are set.
    #[must_use]
    pub const fn contains(self, others: Features) -> bool {
        self.0 & others.0 == others.0
    }
}

/// A drive's description on media. Its zones lie within its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveDescriptor {
    /// The media class that the drive serves.
    pub class: MediaClass,
    /// The type of the device.
    pub kind: DeviceType,
    /// Log2 of the sector size in bytes: 9 or 12.
    pub sector_shift: u8,
    /// The UUID of the drive.
    pub uuid: Uuid,
    /// The zone size in pages of 4096 bytes.
    pub zone_pages: u32,
    /// The number of zones, including those of the superblocks.
    pub zones: u32,
    /// The size of the device in bytes.
    pub bytes: u64,
    /// What the drive can hold.
    pub features: Features,
}

/// Why bytes do not describe a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// The bytes are too short.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The media class does not exist.
    #[error("there is no media class {0}")]
    Class(u8),
    /// The device type does not exist.
    #[error("there is no device type {0}")]
    Kind(u8),
    /// The sector size is neither 512 nor 4096 bytes.
    #[error("sectors of 2^{0} bytes")]
    SectorShift(u8),
    /// The zones do not fit the bytes.
    #[error(
        "it says {zones} zones of {zone_pages} pages (4096 bytes) each, but its {bytes} bytes hold another number"
    )]
    Geometry {
        /// The number of zones.
        zones: u32,
        /// The zone size in pages.
        zone_pages: u32,
        /// The size of the device in bytes.
        bytes: u64,
    },
    /// Not one zone fits, or more than 2^32.
    #[error("its {bytes} bytes are less than one zone of {} KiB, or more than 2^32 zones", zone_pages * 4)]
    Size {
        /// The zone size in pages.
        zone_pages: u32,
        /// The size of the device in bytes.
        bytes: u64,
    },
}

/// The fields that must be equal in all descriptors of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassTuple {
    class: MediaClass,
    zone_pages: u32,
    sector_shift: u8,
    kind: DeviceType,
    features: Features,
}

impl DriveDescriptor {
    /// Describes a device as a new drive: as many whole zones as fit, besides the last copy of the superblock.
    ///
    /// # Errors
    /// [`DescriptorError::SectorShift`] for a sector size that is neither 512 nor 4096 bytes, [`DescriptorError::Size`]
    /// when not one zone fits or more than 2^32.
    pub fn new(
        class: MediaClass,
        device: &DeviceProperties,
        uuid: Uuid,
        zone_pages: u32,
    ) -> Result<DriveDescriptor, DescriptorError> {
        let sector_shift = sector_shift(device.sector_bytes)?;
        let bytes = device.bytes;
        let zones = zones_in(end_copy_at(bytes), zone_pages).ok_or(DescriptorError::Size { zone_pages, bytes })?;
        let features = Features::of(device);
        Ok(DriveDescriptor { class, kind: device.kind, sector_shift, uuid, zone_pages, zones, bytes, features })
    }

    /// The same drive on a device that now has `bytes` bytes; none when not one zone fits or more than 2^32.
    #[must_use]
    pub fn resized(self, bytes: u64) -> Option<DriveDescriptor> {
        Some(DriveDescriptor { bytes, zones: zones_in(end_copy_at(bytes), self.zone_pages)?, ..self })
    }

    /// True when the zones end before the last copy of the superblock. Those of the original mpool may not.
    #[must_use]
    pub fn leaves_room_at_end(&self) -> bool {
        u64::from(self.zones) * self.zone_bytes() <= end_copy_at(self.bytes)
    }

    /// Bytes in a zone.
    #[must_use]
    pub fn zone_bytes(&self) -> u64 {
        u64::from(self.zone_pages) * PAGE_BYTES as u64
    }

    /// Bytes in a sector.
    #[must_use]
    pub fn sector_bytes(&self) -> u64 {
        1 << self.sector_shift
    }

    /// The fields that must be equal in all descriptors of the drive.
    #[must_use]
    pub fn class_tuple(&self) -> ClassTuple {
        ClassTuple {
            class: self.class,
            zone_pages: self.zone_pages,
            sector_shift: self.sector_shift,
            kind: self.kind,
            features: self.features,
        }
    }

    /// Decodes a descriptor.
    ///
    /// # Errors
    /// See [`DescriptorError`].
    pub fn decode(bytes: &[u8]) -> Result<DriveDescriptor, DescriptorError> {
        let mut fields = FieldReader::new(bytes);
        let class = fields.u8()?;
        let class = MediaClass::from_number(class).ok_or(DescriptorError::Class(class))?;
        let kind = fields.u8()?;
        let kind = DeviceType::from_number(kind).ok_or(DescriptorError::Kind(kind))?;
        let sector_shift = fields.u8()?;
        if !matches!(sector_shift, 9 | 12) {
            return Err(DescriptorError::SectorShift(sector_shift));
        }
        let uuid = fields.uuid()?;
        fields.skip(5)?;
        let (zone_pages, zones, bytes) = (fields.u32()?, fields.u32()?, fields.u64()?);
        let features = Features(fields.u64()?);
        match zones_in(bytes, zone_pages) {
            Some(most) if (1..=most).contains(&zones) => {}
            _ => return Err(DescriptorError::Geometry { zones, zone_pages, bytes }),
        }
        Ok(DriveDescriptor { class, kind, sector_shift, uuid, zone_pages, zones, bytes, features })
    }

    /// Encodes the descriptor.
    #[must_use]
    pub fn encode(&self) -> [u8; DRIVE_DESCRIPTOR_BYTES] {
        let mut bytes = [0; DRIVE_DESCRIPTOR_BYTES];
        let mut fields = FieldWriter::new(&mut bytes);
        fields.u8(self.class as u8).u8(self.kind as u8).u8(self.sector_shift).uuid(self.uuid).skip(5);
        fields.u32(self.zone_pages).u32(self.zones).u64(self.bytes).u64(self.features.0);
        bytes
    }
}

/// Bytes at the end of a device that belong to no zone. The last copy of the superblock is at their start, so that the
/// backup of a partition table, which takes up to 20 KiB at the end of a disk, does not reach it.
pub const END_ROOM_BYTES: u64 = 64 << 10;

/// The first byte of the last copy of the superblock on a device of `bytes` bytes.
#[must_use]
pub const fn end_copy_at(bytes: u64) -> u64 {
    bytes.saturating_sub(END_ROOM_BYTES) / PAGE_BYTES as u64 * PAGE_BYTES as u64
}

/// Log2 of a supported sector size.
///
/// # Errors
/// The size is neither 512 nor 4096 bytes.
fn sector_shift(bytes: u32) -> Result<u8, DescriptorError> {
    match bytes {
        512 => Ok(9),
        4096 => Ok(12),
        other => Err(DescriptorError::SectorShift(other.checked_ilog2().unwrap_or(0) as u8)),
    }
}

/// The whole zones in `bytes`, at least one.
fn zones_in(bytes: u64, zone_pages: u32) -> Option<u32> {
    let zones = bytes.checked_div(u64::from(zone_pages) * PAGE_BYTES as u64)?;
    u32::try_from(zones).ok().filter(|zones| *zones > 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The drive of mpool's worked example.
    pub(crate) fn example() -> DriveDescriptor {
        DriveDescriptor {
            class: MediaClass::Capacity,
            kind: DeviceType::StandardBlock,
            sector_shift: 12,
            uuid: Uuid::from_bytes(core::array::from_fn(|at| 0x10 + at as u8)),
            zone_pages: 8192,
            zones: 320,
            bytes: 10_737_418_240,
            features: Features(3),
        }
    }

    /// Its bytes, by mpool's description.
    pub(crate) const GOLDEN: [u8; DRIVE_DESCRIPTOR_BYTES] = [
        0x01, 0x02, 0x0c, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e,
        0x1f, 0, 0, 0, 0, 0, 0x00, 0x20, 0, 0, 0x40, 0x01, 0, 0, 0, 0, 0, 0x80, 0x02, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,
    ];

    /// mpool-89, partly: the drive descriptor of 15.1.
    #[test]
    fn golden_bytes() {
        assert_eq!(example().encode(), GOLDEN);
        assert_eq!(DriveDescriptor::decode(&GOLDEN), Ok(example()));
        let mut padded = GOLDEN;
        padded[19..24].fill(0xff);
        assert_eq!(DriveDescriptor::decode(&padded), Ok(example()), "the original left its padding dirty");
    }

    #[test]
    fn nonsense_is_refused() {
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = GOLDEN;
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            DriveDescriptor::decode(&changed).expect_err("nonsense")
        };
        assert_eq!(with(0, &[2]), DescriptorError::Class(2));
        assert_eq!(with(1, &[0]), DescriptorError::Kind(0));
        assert_eq!(with(2, &[10]), DescriptorError::SectorShift(10));
        assert!(matches!(with(24, &[0; 4]), DescriptorError::Geometry { zone_pages: 0, .. }));
        assert!(matches!(with(28, &[0; 4]), DescriptorError::Geometry { zones: 0, .. }));
        assert!(matches!(with(28, &321_u32.to_le_bytes()), DescriptorError::Geometry { zones: 321, .. }));
        assert!(matches!(with(24, &[0xff; 8]), DescriptorError::Geometry { .. }), "the product overflows");
        assert_eq!(DriveDescriptor::decode(&GOLDEN[..47]), Err(DescriptorError::Truncated(Truncated)));
    }

    #[test]
    fn a_drive_has_the_whole_zones_of_its_device() {
        let grown = example().resized(10_737_418_240 + (33 << 20)).expect("more zones");
        assert_eq!((grown.zones, grown.bytes), (321, 10_737_418_240 + (33 << 20)));
        assert_eq!(grown.class_tuple(), example().class_tuple());
        assert_eq!(example().resized((33 << 20) - 1).map(|drive| drive.zones), Some(1));
        assert_eq!(example().resized(32 << 20), None, "no room for the last copy of the superblock");
        assert_eq!(example().resized(10_737_418_240).map(|drive| drive.zones), Some(319));
        assert_eq!(
            DriveDescriptor { zone_pages: 1, ..example() }.resized((1 << 44) + END_ROOM_BYTES),
            None,
            "2^32 zones"
        );
    }
}
