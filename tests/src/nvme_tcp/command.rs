// SPDX-License-Identifier: BSD-3-Clause

//! Submission queue entries (NVMe base specification, section 3.3.3.1) and the I/O commands (NVM command set
//! specification, section 3.2).
//!
//! ```text
//!  off size
//!    0    1  opcode
//!    1    1  64: the data is described by a scatter-gather list, as always over fabrics
//!    2    2  identifier of the command
//!    4    4  namespace; over fabrics the fifth byte is the command's type
//!   24   16  description of the data: address | (4) length | (3) zero | (1) kind
//!   40   24  command dwords 10 to 15
//! ```

use super::pdu::ENTRY_BYTES;

const SCATTER_GATHER: u8 = 1 << 6;
const DATA_AT: usize = 24;
const DWORD_10_AT: usize = 40;
/// The data follows in the capsule: a data block, by offset.
const IN_CAPSULE: u8 = 0x01;
/// The data is moved by units of the transport.
const BY_TRANSPORT: u8 = 0x5a;

const FLUSH: u8 = 0x00;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const WRITE_ZEROES: u8 = 0x08;
const DATASET_MANAGEMENT: u8 = 0x09;
/// Dataset management: deallocate.
const DEALLOCATE: u32 = 1 << 2;

/// An I/O command. Ranges are in logical blocks and not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoCommand {
    /// Reads a range.
    Read {
        /// First block.
        lba: u64,
        /// Blocks, at most 65 536.
        blocks: u32,
    },
    /// Writes a range.
    Write {
        /// First block.
        lba: u64,
        /// Blocks, at most 65 536.
        blocks: u32,
    },
    /// Fills a range with zeros.
    WriteZeroes {
        /// First block.
        lba: u64,
        /// Blocks, at most 65 536.
        blocks: u32,
    },
    /// Gives a range back.
    Deallocate {
        /// First block.
        lba: u64,
        /// Blocks.
        blocks: u32,
    },
    /// Makes durable what was acknowledged.
    Flush,
}

impl IoCommand {
    /// The entry, without identifier and description of data.
    pub(super) fn entry(self, namespace: u32) -> Entry {
        match self {
            IoCommand::Read { lba, blocks } => Entry::ranged(READ, namespace, lba, blocks),
            IoCommand::Write { lba, blocks } => Entry::ranged(WRITE, namespace, lba, blocks),
            IoCommand::WriteZeroes { lba, blocks } => Entry::ranged(WRITE_ZEROES, namespace, lba, blocks),
            // One range, counted from 0.
            IoCommand::Deallocate { .. } => Entry::new(DATASET_MANAGEMENT, namespace).dwords(&[0, DEALLOCATE]),
            IoCommand::Flush => Entry::new(FLUSH, namespace),
        }
    }

    /// What the command sends beside the caller's data: the list of ranges.
    pub(super) fn parameters(self) -> Vec<u8> {
        let IoCommand::Deallocate { lba, blocks } = self else {
            return Vec::new();
        };
        let mut range = vec![0; 4];
        range.extend_from_slice(&blocks.to_le_bytes());
        range.extend_from_slice(&lba.to_le_bytes());
        range
    }

    /// Bytes that come back, with blocks of `block_bytes`.
    pub(super) const fn reads_bytes(self, block_bytes: usize) -> usize {
        match self {
            IoCommand::Read { blocks, .. } => blocks as usize * block_bytes,
            _ => 0,
        }
    }
}

/// A submission queue entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry([u8; ENTRY_BYTES]);

impl Entry {
    pub(super) fn new(opcode: u8, namespace: u32) -> Entry {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = opcode;
        bytes[1] = SCATTER_GATHER;
        bytes[4..8].copy_from_slice(&namespace.to_le_bytes());
        Entry(bytes)
    }

    fn ranged(opcode: u8, namespace: u32, lba: u64, blocks: u32) -> Entry {
        Entry::new(opcode, namespace).dwords(&[lba as u32, (lba >> 32) as u32, blocks.wrapping_sub(1) & 0xffff])
    }

    /// Sets command dwords from 10 on, at most six.
    pub(super) fn dwords(mut self, dwords: &[u32]) -> Entry {
        for (place, dword) in self.0[DWORD_10_AT..].chunks_exact_mut(4).zip(dwords) {
            place.copy_from_slice(&dword.to_le_bytes());
        }
        self
    }

    pub(super) fn identified(mut self, command: u16) -> Entry {
        self.0[2..4].copy_from_slice(&command.to_le_bytes());
        self
    }

    /// Describes data of `length` bytes; without any, what the specification asks for is the transport's kind too.
    pub(super) fn describe(mut self, length: usize, in_capsule: bool) -> Entry {
        self.0[DATA_AT + 8..DATA_AT + 12].copy_from_slice(&(length as u32).to_le_bytes());
        self.0[DATA_AT + 15] = if in_capsule { IN_CAPSULE } else { BY_TRANSPORT };
        self
    }

    pub(super) const fn bytes(&self) -> &[u8; ENTRY_BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_golden_bytes() {
        let write =
            IoCommand::Write { lba: 0x1_0000_0002, blocks: 32 }.entry(1).identified(0x0403).describe(4096, true);
        let mut golden = [0; 64];
        golden[..5].copy_from_slice(&[1, 64, 3, 4, 1]);
        golden[33] = 16;
        golden[39] = 1;
        golden[40..52].copy_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0]);
        assert_eq!(write.bytes(), &golden);

        let read = IoCommand::Read { lba: 5, blocks: 65_536 }.entry(1).describe(131_072, false);
        assert_eq!((read.bytes()[0], read.bytes()[39], &read.bytes()[32..36]), (2, 0x5a, &[0, 0, 2, 0][..]));
        assert_eq!(read.bytes()[48..52], [255, 255, 0, 0]);

        let trim = IoCommand::Deallocate { lba: 7, blocks: 3 };
        assert_eq!((trim.entry(1).bytes()[0], trim.entry(1).bytes()[44]), (9, 4));
        assert_eq!(trim.parameters(), [0, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert!(IoCommand::Flush.parameters().is_empty());
        assert_eq!(IoCommand::Flush.reads_bytes(512) + IoCommand::Read { lba: 0, blocks: 3 }.reads_bytes(512), 1536);
    }
}
