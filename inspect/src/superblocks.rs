// SPDX-License-Identifier: BSD-3-Clause

//! The copies of a drive's superblock, field by field, and which copy counts.
//!
//! The fields are shown as stored, whether the copy is good or not; the engine decides what is good and which copy
//! counts.

use mpool::format::fields::{FieldReader, Truncated};
use mpool::format::superblock::{checksums, MAGIC};
use mpool::format::{DeviceRecord, POOL_NAME_BYTES, SUPERBLOCK_BYTES};
use mpool::superblocks::{self, decide, Condition, CopyState, Found, COPIES, HEAD_COPIES_AT};
use mpool::{DeviceError, PoolError};
use serde::Serialize;
use serde_json::{json, Value};

use crate::findings::Findings;
use crate::image::Image;

/// One copy of a superblock.
#[derive(Debug, Serialize)]
pub struct Copy {
    /// Offset of the copy on the drive.
    pub at_byte: u64,
    /// Whether the pool reads this copy.
    pub counts: bool,
    /// In a word: good, erased, foreign, damaged, unreadable.
    pub state: &'static str,
    /// What is wrong with a copy that is not good.
    pub fault: Option<String>,
    /// The copy's checksums; none if it does not begin as a superblock.
    pub checksums: Vec<Value>,
    /// The copy's fields; none if it does not begin as a superblock.
    pub fields: Option<Value>,
}

/// A copy as it was read: its offset, its state, its bytes.
type Read = (u64, CopyState, Option<Box<[u8; SUPERBLOCK_BYTES]>>);

/// Reads all copies. The superblock is none if the engine finds none; the findings then say why.
pub fn read(image: &Image, findings: &mut Findings) -> ([Copy; COPIES], Option<Found>) {
    let copies = read_copies(image);
    let object = format!("superblock of {}", image.path());
    let found = match decide(&object, &copies.each_ref().map(|(_, state, _)| state.clone())) {
        Ok(found) => {
            for warning in &found.warnings {
                findings.warning(&object, warning);
            }
            if found.condition != Condition::Sure {
                findings.error(&object, format!("{}; it is used only with force", found.condition));
            }
            Some(found)
        }
        Err(error) => {
            findings.error(&object, error.reason());
            None
        }
    };
    let counts = found.as_ref().map(|found| found.copy);
    let mut number = 0;
    let copies = copies.map(|(at_byte, state, bytes)| {
        let index = number;
        number += 1;
        copy(at_byte, &state, bytes.as_deref(), counts == Some(index))
    });
    (copies, found)
}

fn read_copies(image: &Image) -> [Read; COPIES] {
    let [zero, one] = HEAD_COPIES_AT.map(|at| read_copy(image, at));
    let mut ends = superblocks::ends(image.bytes(), [&zero.1, &one.1]).into_iter();
    let mut two = read_copy(image, ends.next().unwrap_or_default());
    for at in ends {
        let other = read_copy(image, at);
        if superblocks::is_better_end(&other.1, &two.1, [&zero.1, &one.1]) {
            two = other;
        }
    }
    [zero, one, two]
}

fn read_copy(image: &Image, at: u64) -> Read {
    let mut bytes = Box::new([0; SUPERBLOCK_BYTES]);
    match image.read(at, &mut bytes[..]) {
        Ok(()) => (at, CopyState::of(&bytes[..]), Some(bytes)),
        Err(error) => {
            let doing = format!("reading the copy at byte {at} ({error})");
            (at, CopyState::Unreadable(PoolError::device(image.path(), &doing, DeviceError::Io)), None)
        }
    }
}

fn copy(at_byte: u64, state: &CopyState, bytes: Option<&[u8; SUPERBLOCK_BYTES]>, counts: bool) -> Copy {
    let (word, fault) = match state {
        CopyState::Good(..) => ("good", None),
        CopyState::Erased => ("erased", None),
        CopyState::Foreign => ("foreign", Some("it does not begin as a superblock".to_owned())),
        CopyState::Bad(error) => ("damaged", Some(error.to_string())),
        CopyState::Unreadable(error) => ("unreadable", Some(error.reason().to_owned())),
    };
    let ours = bytes.filter(|bytes| bytes.starts_with(&MAGIC));
    let fields = ours.and_then(|bytes| superblock(&mut FieldReader::new(bytes)).ok());
    let is_first_version = fields.as_ref().is_some_and(|fields| fields["version"] == 1);
    let checksums = ours.map_or(Vec::new(), |bytes| judge_checksums(bytes, is_first_version));
    Copy { at_byte, counts, state: word, fault, checksums, fields }
}

/// The checksums, each with what it should be; the first version does not have the third one.
fn judge_checksums(bytes: &[u8; SUPERBLOCK_BYTES], is_first_version: bool) -> Vec<Value> {
    let judged = checksums(bytes).into_iter().enumerate().map(|(index, checksum)| {
        let there = index < 2 || !is_first_version;
        json!({
            "covers_bytes": checksum.covers,
            "stored": format!("{:#010x}", checksum.stored),
            "computed": format!("{:#010x}", checksum.computed),
            "good": there.then_some(checksum.stored == checksum.computed),
        })
    });
    judged.collect()
}

/// All fields of a copy, as stored.
fn superblock(fields: &mut FieldReader<'_>) -> Result<Value, Truncated> {
    fields.skip(MAGIC.len())?;
    let name: [u8; 32] = fields.bytes()?;
    let (pool, version, generation) = (fields.uuid()?, fields.u16()?, fields.u32()?);
    fields.skip(4 + 6)?;
    let drive = descriptor(fields)?;
    fields.skip(4 + 4)?;
    let mdc0_logs = [mdc0_log(fields)?, mdc0_log(fields)?];
    let mdc0_drive = descriptor(fields)?;
    let (flags, former, volume_mask) = (fields.u64()?, [fields.uuid()?, fields.uuid()?], fields.uuid()?);
    let device = DeviceRecord::decode(&fields.bytes()?)?.map(|device| device.to_string());
    let long: [u8; POOL_NAME_BYTES] = fields.bytes()?;
    // Version 1 has only the short name.
    let name = if long[0] == 0 { text(&name) } else { text(&long) };
    Ok(json!({
        "name": name,
        "pool": pool,
        "version": version,
        "generation": generation,
        "drive": drive,
        "mdc0_logs": mdc0_logs,
        "mdc0_drive": mdc0_drive,
        "flags": flags,
        // Of drive and pool before an import.
        "former": former,
        "volume_mask": volume_mask,
        "device": device,
    }))
}

fn text(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

fn descriptor(fields: &mut FieldReader<'_>) -> Result<Value, Truncated> {
    let (class, device_type, sector_shift, uuid) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.uuid()?);
    fields.skip(5)?;
    Ok(json!({
        "class": class,
        "device_type": device_type,
        "sector_shift": sector_shift,
        "uuid": uuid,
        "zone_pages": fields.u32()?,
        "zones": fields.u32()?,
        "bytes": fields.u64()?,
        "features": fields.u64()?,
    }))
}

/// Zeros on a drive without MDC0.
fn mdc0_log(fields: &mut FieldReader<'_>) -> Result<Value, Truncated> {
    let (generation, uuid, drive, extent) = (fields.u64()?, fields.uuid()?, fields.uuid()?, fields.extent()?);
    fields.skip(4)?;
    let (first_zone, zones) = (extent.first, extent.zones);
    Ok(json!({"generation": generation, "uuid": uuid, "drive": drive, "first_zone": first_zone, "zones": zones}))
}
