// SPDX-License-Identifier: BSD-3-Clause

//! The superblock's record of the device that it was written to: 96 bytes, by which the drive is recognized when it
//! turns up elsewhere, for example on the disk below the partition that it was made on.
//!
//! ```text
//! offset  size  field
//!      0    16  UUID of the device
//!     16     8  blocks
//!     24     4  bytes in a block
//!     28     4  flags: 1 the UUID stays the same over restarts; 2 the device stands on another one
//!     32    64  product, closed by a NUL
//! ```
//! All zeros: nothing is known.

use core::fmt;

use uuid::Uuid;

use super::fields::{FieldReader, FieldWriter, Truncated};
use crate::device::DeviceProperties;

/// Bytes of a record on media.
pub const DEVICE_RECORD_BYTES: usize = 96;

const PRODUCT_BYTES: usize = 64;
const LASTING: u32 = 1;
const LAYERED: u32 = 2;

const _: () = assert!(DEVICE_RECORD_BYTES == 16 + 8 + 4 + 4 + PRODUCT_BYTES);

/// A device as it was when a superblock was written to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The UUID of the device.
    pub uuid: Uuid,
    /// The number of blocks.
    pub blocks: u64,
    /// Bytes in a block.
    pub block_bytes: u32,
    /// The UUID stays the same over restarts.
    pub uuid_lasts: bool,
    /// The device is stacked on another one.
    pub layered: bool,
    product: [u8; PRODUCT_BYTES],
}

impl DeviceRecord {
    /// The record of a device.
    #[must_use]
    pub fn of(device: &DeviceProperties) -> DeviceRecord {
        let mut product = [0; PRODUCT_BYTES];
        let length = device.model.len().min(PRODUCT_BYTES - 1);
        product[..length].copy_from_slice(&device.model.as_bytes()[..length]);
        DeviceRecord {
            uuid: device.uuid,
            blocks: device.bytes / u64::from(device.sector_bytes.max(1)),
            block_bytes: device.sector_bytes,
            uuid_lasts: device.uuid_lasts,
            layered: device.layered,
            product: printable(product),
        }
    }

    /// Product or driver, for messages.
    #[must_use]
    pub fn product(&self) -> &str {
        let length = self.product.iter().position(|byte| *byte == 0).unwrap_or(PRODUCT_BYTES);
        core::str::from_utf8(&self.product[..length]).unwrap_or_default()
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_bytes))
    }

    /// Decodes a record; none when nothing is known.
    ///
    /// # Errors
    /// Too few bytes. Any other bytes are a record.
    pub fn decode(bytes: &[u8; DEVICE_RECORD_BYTES]) -> Result<Option<DeviceRecord>, Truncated> {
        let mut fields = FieldReader::new(bytes);
        let (uuid, blocks, block_bytes, flags) = (fields.uuid()?, fields.u64()?, fields.u32()?, fields.u32()?);
        let record = DeviceRecord {
            uuid,
            blocks,
            block_bytes,
            uuid_lasts: flags & LASTING != 0,
            layered: flags & LAYERED != 0,
            product: printable(fields.bytes()?),
        };
        // Other flags are ignored.
        Ok(Some(record).filter(|record| record.encode() != [0; DEVICE_RECORD_BYTES]))
    }

    /// Encodes the record.
    #[must_use]
    pub fn encode(&self) -> [u8; DEVICE_RECORD_BYTES] {
        let mut bytes = [0; DEVICE_RECORD_BYTES];
        let lasting = if self.uuid_lasts { LASTING } else { 0 };
        let layered = if self.layered { LAYERED } else { 0 };
        let mut fields = FieldWriter::new(&mut bytes);
        fields.uuid(self.uuid).u64(self.blocks).u32(self.block_bytes).u32(lasting | layered).bytes(&self.product);
        bytes
    }
}

/// Makes a text printable ASCII, closed by a NUL.
fn printable(mut text: [u8; PRODUCT_BYTES]) -> [u8; PRODUCT_BYTES] {
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(PRODUCT_BYTES).min(PRODUCT_BYTES - 1);
    let (text_bytes, rest) = text.split_at_mut(length);
    for byte in text_bytes.iter_mut().filter(|byte| !matches!(**byte, b' '..=b'~')) {
        *byte = b'?';
    }
    rest.fill(0);
    text
}

impl fmt::Display for DeviceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceRecord { uuid, blocks, block_bytes, .. } = self;
        write!(f, "'{}' {uuid} of {blocks} blocks of {block_bytes} bytes", self.product())
    }
}

impl fmt::Debug for DeviceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (lasting {}, layered {})", self.uuid_lasts, self.layered)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_device::properties;

    pub(crate) fn example() -> DeviceRecord {
        let device = DeviceProperties {
            model: "Split Disk".to_owned(),
            uuid: Uuid::from_bytes([0x5a; 16]),
            uuid_lasts: true,
            layered: true,
            ..properties(8 << 20)
        };
        DeviceRecord::of(&device)
    }

    #[test]
    fn golden_bytes() {
        let mut expected = vec![0x5a; 16];
        expected.extend([0, 8, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 3, 0, 0, 0]);
        expected.extend(b"Split Disk");
        expected.resize(DEVICE_RECORD_BYTES, 0);
        assert_eq!(example().encode()[..], expected);
        assert_eq!(DeviceRecord::decode(&example().encode()), Ok(Some(example())));
        assert_eq!(DeviceRecord::decode(&[0; DEVICE_RECORD_BYTES]), Ok(None));
        assert_eq!((example().product(), example().bytes()), ("Split Disk", 8 << 20));
    }

    #[test]
    fn any_bytes_are_a_record() {
        let mut flags = [0; DEVICE_RECORD_BYTES];
        flags[31] = 0x80;
        assert_eq!(DeviceRecord::decode(&flags), Ok(None), "an unknown flag");
        let wild = DeviceRecord::decode(&[0xff; DEVICE_RECORD_BYTES]).expect("enough bytes").expect("not zeros");
        assert_eq!((wild.product(), wild.bytes()), ("?".repeat(63).as_str(), u64::MAX));
        assert_eq!(DeviceRecord::decode(&wild.encode()), Ok(Some(wild)));
        let long = DeviceProperties { model: "\u{e9}".repeat(40), ..properties(4096) };
        assert_eq!(DeviceRecord::of(&long).product().len(), 63);
    }
}
