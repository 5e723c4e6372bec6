// SPDX-License-Identifier: BSD-3-Clause

//! The volumes of a pool: records in the pool's root MDC, one for each volume.
//!
//! ```text
//!  offset size  VOLUME (kind 1)                    REMOVED (kind 2)
//!       0    4  magic "DVOL"                       the same
//!       4    1  version = 1                        the same
//!       5    1  kind                               the same
//!       6    1  length of the name, 1 to 255       0
//!       7    1  0                                  0
//!       8   16  UUID of the volume                 the same
//!      24    8  id of the first log of its MDC     -
//!      32    8  id of the second                   -
//!      40    n  name, UTF-8                        -
//! ```
//! A UUID is recorded XORed with the mask in the pool's superblock. So an import of the pool gives all volumes new
//! UUIDs by writing a superblock. The nonce of a volume's metadata stays the same: it binds sectors to their places and
//! is never visible outside; the UUIDs of pool and drive tell which copy a sector belongs to.
//!
//! A later record of a volume replaces an earlier one; that is how a volume is renamed.
//!
//! A volume is recorded before its logs are committed: a record whose logs do not exist was left by a power cut during
//! a creation, and does not count. So every log has an owner.
//!
//! Invariant: names and UUIDs of the entries are unique. Records of other owners in the root MDC are kept unchanged.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::error::{Kind, PoolError, Result};
use mpool::mdc::MdcFlags;
use mpool::{MdcHandle, ObjectId, Pool, Search};
use thiserror::Error;
use uuid::Uuid;

const MAGIC: [u8; 4] = *b"DVOL";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 24;
const FIXED_BYTES: usize = 40;

/// The largest record of the root MDC, of this module or of another owner.
const MAX_RECORD_BYTES: usize = 4096;

/// A volume's entry in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeEntry {
    /// The UUID, unmasked.
    pub uuid: Uuid,
    /// The name, 1 to 255 bytes.
    pub name: String,
    /// The two logs of the volume's MDC.
    pub logs: [ObjectId; 2],
}

/// A record of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogRecord {
    /// A volume exists.
    Volume(VolumeEntry),
    /// The volume no longer exists.
    Removed(Uuid),
}

/// Why a record of the catalog cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// The version is unknown: newer software wrote the record.
    #[error("its version is {0}; {VERSION} is known")]
    Version(u8),
    /// The kind is unknown.
    #[error("its kind is {0}, which is unknown")]
    Kind(u8),
    /// The record is too short or too long for its kind.
    #[error("it has {0} bytes, which do not fit its kind")]
    Length(usize),
    /// The name is empty or not UTF-8.
    #[error("its name cannot be read")]
    Name,
}

impl CatalogRecord {
    /// Encodes the record as it is on media.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, uuid, name) = match self {
            CatalogRecord::Volume(entry) => (1, entry.uuid, entry.name.as_bytes()),
            CatalogRecord::Removed(uuid) => (2, *uuid, &[][..]),
        };
        let length = u8::try_from(name.len()).expect("a name has at most 255 bytes");
        let mut bytes = Vec::with_capacity(FIXED_BYTES + name.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind, length, 0]);
        bytes.extend_from_slice(uuid.as_bytes());
        if let CatalogRecord::Volume(entry) = self {
            for id in entry.logs {
                bytes.extend_from_slice(&id.0.to_le_bytes());
            }
            bytes.extend_from_slice(name);
        }
        bytes
    }

    /// Applies the mask to the UUID: the result is the record on media of one in memory, and the reverse.
    #[must_use]
    pub fn masked(self, mask: Uuid) -> CatalogRecord {
        let masked = |uuid: Uuid| Uuid::from_u128(uuid.as_u128() ^ mask.as_u128());
        match self {
            CatalogRecord::Volume(entry) => CatalogRecord::Volume(VolumeEntry { uuid: masked(entry.uuid), ..entry }),
            CatalogRecord::Removed(uuid) => CatalogRecord::Removed(masked(uuid)),
        }
    }

    /// Decodes a record; none when it belongs to another owner.
    ///
    /// # Errors
    /// The record is the catalog's, but malformed.
    pub fn decode(bytes: &[u8]) -> core::result::Result<Option<CatalogRecord>, CatalogError> {
        let length = CatalogError::Length(bytes.len());
        if bytes.get(..4) != Some(&MAGIC) {
            return Ok(None);
        }
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Err(length) };
        if head[4] != VERSION {
            return Err(CatalogError::Version(head[4]));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&head[8..]);
        let uuid = Uuid::from_bytes(uuid);
        match head[5] {
            1 => {
                let Some((logs, name)) = rest.split_first_chunk::<{ FIXED_BYTES - HEAD_BYTES }>() else {
                    return Err(length);
                };
                if name.len() != usize::from(head[6]) {
                    return Err(length);
                }
                let mut ids = logs.chunks_exact(8).map(|id| {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(id);
                    ObjectId(u64::from_le_bytes(bytes))
                });
                let (Some(first), Some(second)) = (ids.next(), ids.next()) else { return Err(length) };
                let name = core::str::from_utf8(name).ok().filter(|name| !name.is_empty());
                let name = name.ok_or(CatalogError::Name)?.to_owned();
                Ok(Some(CatalogRecord::Volume(VolumeEntry { uuid, name, logs: [first, second] })))
            }
            2 if rest.is_empty() && head[6] == 0 => Ok(Some(CatalogRecord::Removed(uuid))),
            2 => Err(length),
            other => Err(CatalogError::Kind(other)),
        }
    }
}

/// The catalog of a pool, open.
#[derive(Debug)]
pub struct Catalog {
    mdc: MdcHandle,
    /// The mask of the UUIDs.
    mask: Uuid,
    entries: RefCell<Vec<VolumeEntry>>,
    /// Records of other owners, in order.
    foreign: Vec<Vec<u8>>,
}

impl Catalog {
    /// Reads the catalog of a pool. Drops entries of volumes whose creation was never finished, and deletes their logs.
    ///
    /// # Errors
    /// The root MDC cannot be opened or read, or a record of the catalog is malformed.
    pub async fn open(pool: &Rc<Pool>) -> Result<Catalog> {
        let mdc = pool.mdc_open(pool.root_mdc(), MdcFlags::default()).await?;
        let mut entries: Vec<VolumeEntry> = Vec::new();
        let mut foreign = Vec::new();
        let mask = pool.volume_mask();
        mdc.rewind().await?;
        while let Some(bytes) = mdc.next_vec(MAX_RECORD_BYTES).await? {
            match CatalogRecord::decode(&bytes).map(|record| record.map(|record| record.masked(mask))) {
                Ok(Some(CatalogRecord::Volume(entry))) => {
                    entries.retain(|known| known.uuid != entry.uuid);
                    entries.push(entry);
                }
                Ok(Some(CatalogRecord::Removed(uuid))) => entries.retain(|entry| entry.uuid != uuid),
                Ok(None) => foreign.push(bytes),
                Err(error) => {
                    return Err(PoolError::invalid("the catalog of volumes", format!("a record is malformed: {error}")))
                }
            }
        }
        let mut finished = Vec::new();
        for entry in entries {
            if remove_if_unfinished(pool, &entry).await? {
                continue;
            }
            finished.push(entry);
        }
        Ok(Catalog { mdc, mask, entries: RefCell::new(finished), foreign })
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<VolumeEntry> {
        self.entries.borrow().clone()
    }

    /// The entry of the volume with a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<VolumeEntry> {
        self.entries.borrow().iter().find(|entry| entry.name == name).cloned()
    }

    /// Records a volume; its logs are to be committed afterwards.
    ///
    /// # Errors
    /// Exists: the name or UUID is taken. Io.
    pub async fn add(&self, entry: VolumeEntry) -> Result<()> {
        let taken = |known: &VolumeEntry| known.name == entry.name || known.uuid == entry.uuid;
        if self.entries.borrow().iter().any(taken) {
            let object = format!("volume '{}'", entry.name);
            return Err(PoolError::new(Kind::Exists, object, "a volume of this name or UUID exists in the pool"));
        }
        self.append(&CatalogRecord::Volume(entry.clone())).await?;
        self.entries.borrow_mut().push(entry);
        Ok(())
    }

    /// Renames a volume with a single record, so that it has either the old name or the new one, whatever fails.
    ///
    /// # Errors
    /// NotFound: there is no such volume. Exists: another volume has the name. Io.
    pub async fn rename(&self, uuid: Uuid, name: &str) -> Result<()> {
        let object = || format!("volume '{name}'");
        let known = self.entries().into_iter().find(|entry| entry.uuid == uuid);
        let Some(known) = known else {
            return Err(PoolError::new(Kind::NotFound, object(), "the volume that is to have this name is gone"));
        };
        if self.find(name).is_some_and(|other| other.uuid != uuid) {
            return Err(PoolError::new(Kind::Exists, object(), "a volume of this name exists in the pool"));
        }
        let renamed = VolumeEntry { name: name.to_owned(), ..known };
        self.append(&CatalogRecord::Volume(renamed.clone())).await?;
        let mut entries = self.entries.borrow_mut();
        entries.retain(|entry| entry.uuid != uuid);
        entries.push(renamed);
        Ok(())
    }

    /// Removes the entry of a volume.
    ///
    /// # Errors
    /// Io.
    pub async fn remove(&self, uuid: Uuid) -> Result<()> {
        self.append(&CatalogRecord::Removed(uuid)).await?;
        self.entries.borrow_mut().retain(|entry| entry.uuid != uuid);
        Ok(())
    }

    /// Appends a record, durably.
    async fn append(&self, record: &CatalogRecord) -> Result<()> {
        let on_media = |record: CatalogRecord| record.masked(self.mask).encode();
        let state = || {
            let entries = self.entries().into_iter().map(|entry| on_media(CatalogRecord::Volume(entry)));
            self.foreign.iter().cloned().chain(entries).collect()
        };
        self.mdc.append_or_replace(&on_media(record.clone()), true, state).await
    }

    /// Closes the root MDC.
    ///
    /// # Errors
    /// Io.
    pub async fn close(self) -> Result<()> {
        self.mdc.close().await
    }
}

/// If a log of the volume is missing, deletes the other one and returns true.
async fn remove_if_unfinished(pool: &Rc<Pool>, entry: &VolumeEntry) -> Result<bool> {
    let there = entry.logs.map(|id| pool.find(id, Search::Committed).is_ok());
    if there == [true, true] {
        return Ok(false);
    }
    for (id, there) in entry.logs.into_iter().zip(there) {
        if there {
            pool.mlog_delete(id).await?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpool::{ObjectType, Slot};

    fn entry() -> VolumeEntry {
        let log = |uniquifier| ObjectId::new(uniquifier, ObjectType::Mlog, Slot(3));
        VolumeEntry { uuid: Uuid::from_bytes([7; 16]), name: "D0".to_owned(), logs: [log(256), log(257)] }
    }

    #[test]
    fn records_have_golden_bytes() {
        let mut expected = b"DVOL\x01\x01\x02\x00".to_vec();
        expected.extend([7; 16]);
        expected.extend([0x03, 0x02, 0x10, 0, 0, 0, 0, 0, 0x03, 0x12, 0x10, 0, 0, 0, 0, 0]);
        expected.extend(b"D0");
        let record = CatalogRecord::Volume(entry());
        assert_eq!(record.encode(), expected);
        assert_eq!(CatalogRecord::decode(&expected), Ok(Some(record)));
        let removed = CatalogRecord::Removed(entry().uuid);
        assert_eq!(removed.encode().len(), HEAD_BYTES);
        assert_eq!(CatalogRecord::decode(&removed.encode()), Ok(Some(removed)));
    }

    #[test]
    fn any_bytes_are_judged() {
        assert_eq!(CatalogRecord::decode(b""), Ok(None));
        assert_eq!(CatalogRecord::decode(b"somebody else's"), Ok(None));
        assert_eq!(CatalogRecord::decode(b"DVOL"), Err(CatalogError::Length(4)));
        let good = CatalogRecord::Volume(entry()).encode();
        for length in 4..good.len() {
            assert!(CatalogRecord::decode(&good[..length]).is_err(), "{length} bytes");
        }
        for (at, byte, error) in [(4, 2, CatalogError::Version(2)), (5, 9, CatalogError::Kind(9))] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(CatalogRecord::decode(&bad), Err(error));
        }
        let mut bad = good;
        bad[FIXED_BYTES] = 0xff;
        assert_eq!(CatalogRecord::decode(&bad), Err(CatalogError::Name));
    }
}
