// SPDX-License-Identifier: BSD-3-Clause

//! What holds for a record of a metadata container, whatever the bytes.

use mpool::format::{ContentVersion, Record, MAX_RECORD_BYTES};

/// Decodes the input as content of each version. What decodes encodes to as many bytes, which decode to the same.
pub fn check(input: &[u8]) {
    for version in [ContentVersion::ORIGINAL, ContentVersion::CURRENT] {
        let Ok(record) = Record::decode_as(version, input) else { continue };
        assert!(input.len() <= MAX_RECORD_BYTES);
        let encoded = record.encode();
        assert_eq!(encoded.as_ref().len(), input.len());
        assert_eq!(Record::decode_as(version, encoded.as_ref()), Ok(record));
    }
}
