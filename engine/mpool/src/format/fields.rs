// SPDX-License-Identifier: BSD-3-Clause

//! Reads and writes consecutive little-endian fields, of which all structures on media consist.
//!
//! A reader never reads past its bytes: it returns [`Truncated`]. A writer fills a buffer of the structure's size;
//! skipped bytes are zero, so padding never carries old data.

use thiserror::Error;
use uuid::Uuid;

use crate::ids::Extent;

/// The bytes end before the structure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the bytes end before the structure does")]
pub struct Truncated;

/// Reads fields from the front of some bytes.
#[derive(Debug)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { rest: bytes }
    }

    /// Reads the next `N` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*field)
    }

    /// Skips `count` bytes of padding, whatever they are.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn skip(&mut self, count: usize) -> Result<(), Truncated> {
        self.rest = self.rest.get(count..).ok_or(Truncated)?;
        Ok(())
    }

    /// Reads a u8.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.bytes().map(|[byte]| byte)
    }

    /// Reads a u16.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.bytes().map(u16::from_le_bytes)
    }

    /// Reads a u32.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.bytes().map(u32::from_le_bytes)
    }

    /// Reads a u64.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Reads a UUID: 16 bytes in the order of its text form.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn uuid(&mut self) -> Result<Uuid, Truncated> {
        self.bytes().map(Uuid::from_bytes)
    }

    /// Reads an extent: zone count u32, first zone u64.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn extent(&mut self) -> Result<Extent, Truncated> {
        let zones = u64::from(self.u32()?);
        Ok(Extent { first: self.u64()?, zones })
    }
}

/// Writes fields into a zeroed buffer. The buffer has the structure's size: a write past its end is a bug, and panics.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> FieldWriter<'a> {
    /// A writer at the start of `bytes`, which are zeroed.
    #[must_use]
    pub fn new(bytes: &'a mut [u8]) -> FieldWriter<'a> {
        bytes.fill(0);
        FieldWriter { bytes, at: 0 }
    }

    /// Bytes written or skipped so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.at]
    }

    /// Writes the bytes of `field`.
    pub fn bytes(&mut self, field: &[u8]) -> &mut Self {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
        self
    }

    /// Leaves `count` bytes zero.
    pub fn skip(&mut self, count: usize) -> &mut Self {
        self.at += count;
        assert!(self.at <= self.bytes.len(), "padding ends past the structure");
        self
    }

    /// Writes a u8.
    pub fn u8(&mut self, field: u8) -> &mut Self {
        self.bytes(&[field])
    }

    /// Writes a u16.
    pub fn u16(&mut self, field: u16) -> &mut Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Writes a u32.
    pub fn u32(&mut self, field: u32) -> &mut Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Writes a u64.
    pub fn u64(&mut self, field: u64) -> &mut Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Writes a UUID.
    pub fn uuid(&mut self, field: Uuid) -> &mut Self {
        self.bytes(field.as_bytes())
    }

    /// Writes an extent: zone count u32, first zone u64. A drive has fewer than 2^32 zones, so an extent on one has too.
    pub fn extent(&mut self, field: Extent) -> &mut Self {
        let zones = u32::try_from(field.zones).expect("an extent lies on a drive, whose zones a u32 counts");
        self.u32(zones).u64(field.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpool-90: every field is little-endian.
    #[test]
    fn fields_are_little_endian() {
        let mut bytes = [0xff; 28];
        FieldWriter::new(&mut bytes)
            .u8(1)
            .skip(1)
            .u16(0x0203)
            .u32(0x0405_0607)
            .u64(0x08)
            .extent(Extent { first: 0x0102, zones: 3 });
        let expected = [1, 0, 3, 2, 7, 6, 5, 4, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes, expected);

        let mut reader = FieldReader::new(&bytes);
        assert_eq!((reader.u8(), reader.skip(1), reader.u16()), (Ok(1), Ok(()), Ok(0x0203)));
        assert_eq!((reader.u32(), reader.u64()), (Ok(0x0405_0607), Ok(8)));
        assert_eq!(reader.extent(), Ok(Extent { first: 0x0102, zones: 3 }));
        assert_eq!((reader.u8(), reader.skip(1), reader.skip(0)), (Err(Truncated), Err(Truncated), Ok(())));
    }
}
