// SPDX-License-Identifier: BSD-3-Clause

//! The format of a pool's media, byte for byte, except for the blocks of logs: superblocks, drive descriptors, records
//! of metadata containers, and their versions.
//!
//! All integers are little-endian, all structures packed. A decoder takes any bytes and returns a value that is
//! consistent in itself, or a typed error; it never panics. Padding is written as zeros and ignored when read.

pub mod device_record;
pub mod drive_descriptor;
pub mod fields;
pub mod history;
pub mod record;
pub mod superblock;
pub mod text;
pub mod version;

pub use device_record::DeviceRecord;
pub use drive_descriptor::{end_copy_at, DescriptorError, DriveDescriptor, Features, END_ROOM_BYTES};
pub use record::{EncodedRecord, MpConfig, ObjectCreate, Record, RecordError, MAX_RECORD_BYTES};
pub use superblock::{
    superblock_zones, Former, Mdc0Location, Mdc0Log, Superblock, SuperblockError, SuperblockFlags, SUPERBLOCK_BYTES,
};
pub use text::{Label, PoolName, Text, TextError, POOL_NAME_BYTES};
pub use version::{ContentVersion, MediaFormat, SuperblockVersion};
