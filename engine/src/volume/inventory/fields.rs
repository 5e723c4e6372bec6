// SPDX-License-Identifier: BSD-3-Clause

//! Decodes the fields of a record one after the other, whatever its bytes are.

use super::InventoryError;

/// The rest of a record's content.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    record_bytes: usize,
}

impl<'a> Fields<'a> {
    /// The content of a record of `record_bytes` bytes.
    pub(super) fn new(content: &'a [u8], record_bytes: usize) -> Fields<'a> {
        Fields { rest: content, record_bytes }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], InventoryError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(InventoryError::Length(self.record_bytes))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], InventoryError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(InventoryError::Length(self.record_bytes))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, InventoryError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, InventoryError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, InventoryError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, InventoryError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Decodes a text of `count` bytes.
    pub(super) fn text(&mut self, count: usize, what: &'static str) -> Result<String, InventoryError> {
        let text = core::str::from_utf8(self.bytes(count)?).map_err(|_| InventoryError::Text(what))?;
        Ok(text.to_owned())
    }

    /// Checks that no bytes are left.
    pub(super) fn end(&self) -> Result<(), InventoryError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(InventoryError::Length(self.record_bytes))
    }
}
