// SPDX-License-Identifier: BSD-3-Clause

//! The STATE record of a volume's inventory: state, usage and counters.
//!
//! ```text
//!  offset size  STATE (kind 6)
//!       0    8  head
//!       8    1  state: 1 new, 2 dirty, 3 clean, 4 read-only, 5 to be rebuilt
//!       9    1  length n of the reason, up to 255
//!      10    2  shards of the generation
//!      12    2  number c of saved counters, up to 192
//!      14    2  0
//!      16    8  load generation
//!      24    8  logical blocks in use
//!      32    8  pages of the block map, roots apart
//!      40    8  recoveries that were completed
//!      48    8  rebuilds from read-only mode that were completed
//!      56    n  reason for read-only mode, UTF-8
//!    56+n  16c  saved counters: identity and value
//!     ...    4  CRC32C of all bytes before
//! ```

use super::fields::Fields;
use super::InventoryError;
use crate::units::MAX_SHARDS;

/// The most saved counters.
pub const MAX_COUNTERS: usize = 192;

/// The most bytes of a reason.
pub const MAX_REASON_BYTES: usize = 255;

/// The most bytes of the content.
pub(super) const MAX_BYTES: usize = 48 + MAX_REASON_BYTES + 16 * MAX_COUNTERS;

/// The state of a volume on media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum StateKind {
    /// The volume was never loaded.
    #[default]
    New = 1,
    /// The volume is loaded, or was not saved: its journals count.
    Dirty = 2,
    /// The volume was saved: its journals do not count.
    Clean = 3,
    /// The volume was in read-only mode: as [`StateKind::Dirty`], but an operator must decide.
    ReadOnly = 4,
    /// An operator has requested a rebuild.
    Rebuild = 5,
}

impl StateKind {
    const fn from_number(number: u8) -> Option<StateKind> {
        Some(match number {
            1 => StateKind::New,
            2 => StateKind::Dirty,
            3 => StateKind::Clean,
            4 => StateKind::ReadOnly,
            5 => StateKind::Rebuild,
            _ => return None,
        })
    }
}

/// The fields of the STATE record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeState {
    /// The state that decides what a load does.
    pub kind: StateKind,
    /// The load generation whose journals count, or counted last; 0 before the first load.
    pub generation: u64,
    /// Shards, and so recovery journals, of that generation; 0 before the first load.
    pub shards: u16,
    /// Logical blocks in use when the record was written.
    pub logical_blocks_used: u64,
    /// Pages of the block map, without the roots, when the record was written.
    pub map_pages: u64,
    /// Recoveries completed in the volume's life.
    pub complete_recoveries: u64,
    /// Rebuilds from read-only mode completed in the volume's life.
    pub read_only_recoveries: u64,
    /// Why the volume is in read-only mode, up to [`MAX_REASON_BYTES`].
    pub reason: String,
    /// Counters that continue after a restart, up to [`MAX_COUNTERS`]: identity, which the owner chooses, and value.
    pub counters: Vec<(u64, u64)>,
}

impl VolumeState {
    /// Cuts a reason to the length that a record holds.
    #[must_use]
    pub fn reason_of(text: &str) -> String {
        let end = (0..=text.len().min(MAX_REASON_BYTES)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text[..end].to_owned()
    }

    /// Checks each field on its own.
    ///
    /// # Errors
    /// Field: the first with an impossible value.
    pub fn check(&self) -> Result<(), InventoryError> {
        let fits = [
            ("number of shards", u64::from(self.shards), usize::from(self.shards) <= MAX_SHARDS),
            ("length of the reason", self.reason.len() as u64, self.reason.len() <= MAX_REASON_BYTES),
            ("number of counters", self.counters.len() as u64, self.counters.len() <= MAX_COUNTERS),
        ];
        match fits.into_iter().find(|(_, _, fits)| !fits) {
            None => Ok(()),
            Some((field, value, _)) => Err(InventoryError::Field { field, value }),
        }
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        let reason = u8::try_from(self.reason.len()).expect("a reason has at most 255 bytes");
        let counters = u16::try_from(self.counters.len()).expect("at most 192 counters");
        bytes.extend_from_slice(&[self.kind as u8, reason]);
        bytes.extend_from_slice(&self.shards.to_le_bytes());
        bytes.extend_from_slice(&counters.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        let numbers = [
            self.generation,
            self.logical_blocks_used,
            self.map_pages,
            self.complete_recoveries,
            self.read_only_recoveries,
        ];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.reason.as_bytes());
        for (identity, value) in &self.counters {
            bytes.extend_from_slice(&identity.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Result<VolumeState, InventoryError> {
        let kind = fields.u8()?;
        let reason = usize::from(fields.u8()?);
        let shards = fields.u16()?;
        let counters = fields.u16()?;
        fields.u16()?;
        let mut state = VolumeState {
            kind: StateKind::from_number(kind).ok_or(InventoryError::Field { field: "state", value: kind.into() })?,
            shards,
            generation: fields.u64()?,
            logical_blocks_used: fields.u64()?,
            map_pages: fields.u64()?,
            complete_recoveries: fields.u64()?,
            read_only_recoveries: fields.u64()?,
            reason: fields.text(reason, "reason")?,
            counters: Vec::new(),
        };
        for _ in 0..counters {
            state.counters.push((fields.u64()?, fields.u64()?));
        }
        state.check()?;
        Ok(state)
    }
}
