// SPDX-License-Identifier: BSD-3-Clause

//! The meaning of the records of a log.

use engine::format::journal_record;
use engine::volume::catalog::CatalogRecord;
use engine::volume::inventory::InventoryRecord;
use mpool::format::{ContentVersion, Record};
use mpool::{ObjectId, Slot};

use crate::metadata::PoolReport;
use crate::{records, shown, volume_records};

/// Bytes of a record that are kept for decoding; more than any record has that can be decoded.
const MAX_KEPT: usize = 1 << 20;

/// Who wrote the records of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The pool's metadata.
    Metadata,
    /// The root MDC: the catalog of volumes, and other clients' records.
    Root,
    /// A volume's MDC.
    Inventory,
    /// A segment of a volume's recovery journals.
    Journal,
    /// A client's.
    Opaque,
}

impl Content {
    /// The kind of records in a log of the pool.
    #[must_use]
    pub fn of(id: ObjectId, pool: &PoolReport) -> Content {
        let name = shown::id(id);
        if id.slot() == Slot::ZERO {
            Content::Metadata
        } else if pool.root_logs.contains(&id) {
            Content::Root
        } else if pool.root.volumes.iter().any(|volume| volume.logs.contains(&name)) {
            Content::Inventory
        } else if pool.root.volumes.iter().any(|volume| volume.segments.contains(&name)) {
            Content::Journal
        } else {
            Content::Opaque
        }
    }

    /// A record in words; none for a record that is not known here.
    #[must_use]
    pub fn describe(self, record: &[u8]) -> Option<String> {
        match self {
            Content::Metadata => Some(match Record::decode_as(ContentVersion::CURRENT, record) {
                Ok(record) => records::describe(&record),
                Err(error) => format!("MALFORMED: {error}"),
            }),
            Content::Root => match CatalogRecord::decode(record) {
                Ok(None) => None,
                Ok(Some(CatalogRecord::Volume(entry))) => {
                    let (name, [one, two]) = (shown::text(&entry.name), entry.logs);
                    Some(format!("VOLUME '{name}' {} logs {:#x} and {:#x}", entry.uuid, one.0, two.0))
                }
                Ok(Some(CatalogRecord::Removed(uuid))) => Some(format!("REMOVED {uuid}")),
                Err(error) => Some(format!("MALFORMED: {error}")),
            },
            Content::Inventory => Some(match InventoryRecord::decode(record) {
                Ok(record) => volume_records::inventory(&record),
                Err(error) => format!("MALFORMED: {error}"),
            }),
            Content::Journal => Some(match journal_record::decode(record) {
                Ok((header, entries)) => volume_records::journal(&header, &entries),
                Err(error) => format!("MALFORMED: {error}"),
            }),
            Content::Opaque => None,
        }
    }
}

/// Assembles a record from its chunks, as far as needed for decoding.
#[derive(Debug, Default)]
pub struct Assembly {
    record: Vec<u8>,
}

impl Assembly {
    /// Takes a chunk. Returns the record, or its first bytes, when it is complete.
    pub fn take(&mut self, chunk: &[u8], begins: bool, ends: bool) -> Option<&[u8]> {
        if begins {
            self.record.clear();
        }
        let room = MAX_KEPT.saturating_sub(self.record.len()).min(chunk.len());
        self.record.extend_from_slice(&chunk[..room]);
        ends.then_some(&self.record)
    }
}

#[cfg(test)]
mod tests {
    use engine::volume::inventory::Counts;

    use super::*;

    #[test]
    fn records_are_put_together_in_bounded_memory() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(b"lost", true, false), None);
        assert_eq!(assembly.take(b"ab", true, false), None);
        assert_eq!(assembly.take(b"", false, false), None);
        assert_eq!(assembly.take(b"c", false, true), Some(&b"abc"[..]));
        assert_eq!(assembly.take(&vec![7; MAX_KEPT + 1], true, true).map(<[u8]>::len), Some(MAX_KEPT));
    }

    #[test]
    fn records_are_understood_by_owner() {
        let spare = Record::decode(&[7, 1, 5]).expect("a spare record");
        assert_eq!(Content::Metadata.describe(spare.encode().as_ref()).as_deref(), Some("MCSPARE CAPACITY 5 %"));
        let counts = InventoryRecord::Counts(Counts { slabs: 2, segments: 4 }).encode();
        assert_eq!(Content::Inventory.describe(&counts).as_deref(), Some("COUNTS 2 slabs, 4 segments"));
        assert!(Content::Journal.describe(&counts).is_some_and(|text| text.starts_with("MALFORMED")));
        assert_eq!(Content::Root.describe(b"somebody else's"), None);
        assert!(Content::Root.describe(b"DVOL").is_some_and(|text| text.starts_with("MALFORMED")));
        assert_eq!(Content::Opaque.describe(&counts), None);
    }
}
