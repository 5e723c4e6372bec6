// SPDX-License-Identifier: BSD-3-Clause

//! MPCONFIG: the parameters of a pool.
//!
//! ```text
//! offset  size  field
//!      0     1  type
//!      1     7  padding
//!      8    16  ids of the root MDC's logs
//!     24     4  user id of the owner
//!     28     4  group id
//!     32     4  mode
//!     36     4  reserved
//!     40     8  target capacity of the root MDC's logs, in bytes
//!     48     4  readahead limit, in pages
//!     52     4  log2 of the bytes of a map
//!     56    24  reserved
//!     80    16  UUID of the user's type
//!     96    64  label
//! ```

use uuid::Uuid;

use super::RecordError;
use crate::format::fields::{FieldReader, FieldWriter};
use crate::format::text::Label;
use crate::ids::ObjectId;

/// Bytes of the record.
pub(super) const MP_CONFIG_BYTES: usize = 160;

const _: () = assert!(MP_CONFIG_BYTES == 8 + 2 * 8 + 4 * 4 + 8 + 2 * 4 + 24 + 16 + 64);

/// The recorded parameters of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MpConfig {
    /// The logs of the root MDC.
    pub root_logs: [ObjectId; 2],
    /// The user id of the owner.
    pub uid: u32,
    /// The group id of the owner.
    pub gid: u32,
    /// The mode bits; recorded, but not checked.
    pub mode: u32,
    /// The target capacity of the root MDC's logs, in bytes.
    pub mdc_capacity_bytes: u64,
    /// The most pages that are read ahead.
    pub readahead_pages: u32,
    /// Log2 of the size of a cache map in bytes.
    pub map_bytes_shift: u32,
    /// The user's UUID for the kind of content in the pool.
    pub user_type: Uuid,
    /// The label; empty when none was given.
    pub label: Label,
}

impl MpConfig {
    /// Encodes what follows the type.
    pub(super) fn encode<'f, 'b>(&self, fields: &'f mut FieldWriter<'b>) -> &'f mut FieldWriter<'b> {
        let [one, two] = self.root_logs;
        fields.skip(7).u64(one.0).u64(two.0).u32(self.uid).u32(self.gid).u32(self.mode).skip(4);
        fields.u64(self.mdc_capacity_bytes).u32(self.readahead_pages).u32(self.map_bytes_shift).skip(24);
        fields.uuid(self.user_type).bytes(self.label.field())
    }

    /// Decodes a record of the right length, from its type on.
    pub(super) fn decode(fields: &mut FieldReader<'_>) -> Result<MpConfig, RecordError> {
        fields.skip(8)?;
        let root_logs = [ObjectId(fields.u64()?), ObjectId(fields.u64()?)];
        let (uid, gid, mode) = (fields.u32()?, fields.u32()?, fields.u32()?);
        fields.skip(4)?;
        let mdc_capacity_bytes = fields.u64()?;
        let (readahead_pages, map_bytes_shift) = (fields.u32()?, fields.u32()?);
        fields.skip(24)?;
        let user_type = fields.uuid()?;
        let label = Label::decode(fields.bytes()?).map_err(RecordError::Label)?;
        Ok(MpConfig {
            root_logs,
            uid,
            gid,
            mode,
            mdc_capacity_bytes,
            readahead_pages,
            map_bytes_shift,
            user_type,
            label,
        })
    }
}
