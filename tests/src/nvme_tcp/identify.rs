// SPDX-License-Identifier: BSD-3-Clause

//! What controller and namespace say of themselves (NVMe base specification, section 5.17.2; NVM command set
//! specification, section 4.1.5).
//!
//! ```text
//!  controller   77 (1) largest transfer, as a power of two of 4 KiB, 0 for any | 520 (2) optional commands
//!             1792 (4) capsule of a command, in 16 bytes
//!  namespace     0 (8) blocks | 25 (1) number of its formats - 1 | 26 (1) format in use
//!              128 (4 each) formats: (2) metadata | (1) block size as a power of two
//! ```

use super::pdu::{PduError, ENTRY_BYTES};

/// Smallest memory page of a controller over fabrics: the unit of the largest transfer.
const PAGE_BYTES: usize = 4096;
/// More than any target moves at once.
const MAX_TRANSFER_SHIFT: u8 = 13;

const DEALLOCATE: u16 = 1 << 2;
const WRITE_ZEROES: u16 = 1 << 3;

/// What a controller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Most bytes that one command may read or write.
    pub max_transfer_bytes: usize,
    /// Most data in a command's capsule, on I/O queues.
    pub in_capsule_bytes: usize,
    /// Whether it knows dataset management.
    pub deallocate: bool,
    /// Whether it knows write zeroes.
    pub write_zeroes: bool,
}

impl Capabilities {
    /// Reads the controller's structure.
    pub(super) fn decode(bytes: &[u8]) -> Result<Capabilities, PduError> {
        let too_short = PduError::Identify(bytes.len());
        let (Some(&shift), Some(&[low, high]), Some(&capsule)) =
            (bytes.get(77), slice::<2>(bytes, 520), slice::<4>(bytes, 1792))
        else {
            return Err(too_short);
        };
        let optional = u16::from_le_bytes([low, high]);
        let capsule = (u32::from_le_bytes(capsule) as usize).saturating_mul(16);
        let shift = if shift == 0 { MAX_TRANSFER_SHIFT } else { shift.min(MAX_TRANSFER_SHIFT) };
        Ok(Capabilities {
            max_transfer_bytes: PAGE_BYTES << shift,
            in_capsule_bytes: capsule.saturating_sub(ENTRY_BYTES),
            deallocate: optional & DEALLOCATE != 0,
            write_zeroes: optional & WRITE_ZEROES != 0,
        })
    }
}

/// A namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace {
    /// Logical blocks.
    pub blocks: u64,
    /// Bytes of one.
    pub block_bytes: usize,
}

impl Namespace {
    /// Reads the namespace's structure; none for a format that this initiator cannot use.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Namespace>, PduError> {
        let too_short = PduError::Identify(bytes.len());
        let (Some(&blocks), Some(&in_use)) = (slice::<8>(bytes, 0), bytes.get(26)) else {
            return Err(too_short);
        };
        let format = usize::from(in_use & 0xf);
        let Some(&[metadata_low, metadata_high, shift, _]) = slice::<4>(bytes, 128 + format * 4) else {
            return Err(too_short);
        };
        if metadata_low != 0 || metadata_high != 0 || !(9..=12).contains(&shift) {
            return Ok(None);
        }
        Ok(Some(Namespace { blocks: u64::from_le_bytes(blocks), block_bytes: 1 << shift }))
    }
}

fn slice<const LENGTH: usize>(bytes: &[u8], at: usize) -> Option<&[u8; LENGTH]> {
    bytes.get(at..)?.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_read() {
        let mut bytes = vec![0; 4096];
        bytes[77] = 5;
        bytes[520] = 0b1100;
        bytes[1792..1794].copy_from_slice(&260_u16.to_le_bytes());
        let expected =
            Capabilities { max_transfer_bytes: 131_072, in_capsule_bytes: 4096, deallocate: true, write_zeroes: true };
        assert_eq!(Capabilities::decode(&bytes), Ok(expected));
        assert_eq!(Capabilities::decode(&bytes[..1000]), Err(PduError::Identify(1000)));

        let mut bytes = vec![0; 4096];
        bytes[..3].copy_from_slice(&[0, 0, 1]);
        bytes[26] = 1;
        bytes[134] = 12;
        assert_eq!(Namespace::decode(&bytes), Ok(Some(Namespace { blocks: 65_536, block_bytes: 4096 })));
        bytes[132] = 8;
        assert_eq!(Namespace::decode(&bytes), Ok(None));
        assert_eq!(Namespace::decode(&bytes[..64]), Err(PduError::Identify(64)));
    }
}
