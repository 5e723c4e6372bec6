// SPDX-License-Identifier: BSD-3-Clause

//! OCREATE and OUPDATE: the description of an object in its container.
//!
//! ```text
//! offset  size  field
//!      0     1  type
//!      1     1  media class
//!      2     2  padding
//!      4     4  zones
//!      8     8  first zone
//!     16     8  object id
//!     24     8  generation (0 for mblocks and slab objects)
//!     32     8  written length (0 for mlogs and slab objects)
//!     40    16  UUID (mlogs only)
//! ```
//! History: content 1.0.0.0 has mblocks and mlogs; 2.0.0.0 adds slab objects, in the format of mblocks.

use uuid::Uuid;

use super::{read_class, sized, RecordError};
use crate::format::fields::FieldWriter;
use crate::format::history::{Revision, Structure};
use crate::format::version::ContentVersion;
use crate::ids::{Extent, MediaClass, ObjectId, ObjectType};

/// Bytes of the record of an mblock or slab object.
const PLAIN_BYTES: usize = 40;
/// Bytes of the record of an mlog.
const MLOG_BYTES: usize = 56;

const _: () = assert!(PLAIN_BYTES == 1 + 1 + 2 + 4 + 5 * 8 - 8 && MLOG_BYTES == PLAIN_BYTES + 16);

/// The recorded description of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectCreate {
    /// The id of the object.
    pub id: ObjectId,
    /// The media class of the drive with the object.
    pub class: MediaClass,
    /// The zones of the object, at least one.
    pub extent: Extent,
    /// The generation of a log's blocks; 0 for other objects.
    pub generation: u64,
    /// Bytes written to an mblock; 0 for other objects.
    pub written_bytes: u64,
    /// The UUID in a log's blocks; none for other objects.
    pub uuid: Option<Uuid>,
}

/// The description in content without slab objects.
#[derive(Debug)]
pub struct ObjectCreateV1(ObjectCreate);

impl ObjectCreate {
    /// Bytes of the record of an object of one kind.
    pub(crate) const fn encoded_bytes(kind: ObjectType) -> usize {
        match kind {
            ObjectType::Mlog => MLOG_BYTES,
            ObjectType::Mblock | ObjectType::Slab => PLAIN_BYTES,
        }
    }

    /// Encodes what follows the type. Only an mlog has a UUID.
    pub(super) fn encode<'f, 'b>(&self, fields: &'f mut FieldWriter<'b>) -> &'f mut FieldWriter<'b> {
        let is_mlog = self.id.kind() == Some(ObjectType::Mlog);
        assert_eq!(self.uuid.is_some(), is_mlog, "of all objects, mlogs have a UUID");
        fields.u8(self.class as u8).skip(2).extent(self.extent).u64(self.id.0);
        fields.u64(self.generation).u64(self.written_bytes);
        match self.uuid {
            Some(uuid) => fields.uuid(uuid),
            None => fields,
        }
    }

    fn decode(bytes: &[u8]) -> Result<ObjectCreate, RecordError> {
        // The length depends on the id, so the id is read before the length is checked.
        let mut fields = super::FieldReader::new(bytes);
        let number = fields.u8()?;
        let shortest = RecordError::Length { kind: number, expected: PLAIN_BYTES, found: bytes.len() };
        fields.skip(15).map_err(|_| shortest)?;
        let id = ObjectId(fields.u64().map_err(|_| shortest)?);
        let kind = id.kind().ok_or(RecordError::Id(id, number))?;

        let is_mlog = kind == ObjectType::Mlog;
        let mut fields = sized(bytes, if is_mlog { MLOG_BYTES } else { PLAIN_BYTES })?;
        fields.skip(1)?;
        let class = read_class(&mut fields)?;
        fields.skip(2)?;
        let extent = fields.extent()?;
        if extent.zones == 0 || extent.end().is_none() {
            return Err(RecordError::Extent { id, first: extent.first, zones: extent.zones });
        }
        fields.skip(8)?;
        let (generation, written_bytes) = (fields.u64()?, fields.u64()?);
        let uuid = if is_mlog { Some(fields.uuid()?) } else { None };
        Ok(ObjectCreate { id, class, extent, generation, written_bytes, uuid })
    }
}

impl Structure<ContentVersion> for ObjectCreateV1 {
    type Error = RecordError;

    fn read(_version: ContentVersion, bytes: &[u8]) -> Result<ObjectCreateV1, RecordError> {
        let object = ObjectCreate::decode(bytes)?;
        match object.id.kind() {
            Some(ObjectType::Mblock | ObjectType::Mlog) => Ok(ObjectCreateV1(object)),
            Some(ObjectType::Slab) | None => {
                Err(RecordError::Id(object.id, bytes.first().copied().unwrap_or_default()))
            }
        }
    }
}

impl Revision<ContentVersion> for ObjectCreate {
    type Earlier = ObjectCreateV1;
    const SINCE: ContentVersion = ContentVersion::SLABS;

    fn unpack(bytes: &[u8]) -> Result<ObjectCreate, RecordError> {
        ObjectCreate::decode(bytes)
    }

    fn convert(earlier: ObjectCreateV1) -> ObjectCreate {
        earlier.0
    }
}
