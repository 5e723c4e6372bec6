// SPDX-License-Identifier: BSD-3-Clause

//! Records of metadata containers in words.

use mpool::format::{ObjectCreate, Record};

use crate::shown;

/// The type of a record, as mpool names it.
#[must_use]
pub fn type_name(record: &Record) -> &'static str {
    match record {
        Record::ObjectCreate(_) => "OCREATE",
        Record::ObjectUpdate(_) => "OUPDATE",
        Record::ObjectDelete(_) => "ODELETE",
        Record::IdCheckpoint(_) => "OIDCKPT",
        Record::ObjectErase { .. } => "OERASE",
        Record::McConfig(_) => "MCCONFIG",
        Record::McSpare { .. } => "MCSPARE",
        Record::Version(_) => "VERSION",
        Record::MpConfig(_) => "MPCONFIG",
        Record::Tunable { .. } => "TUNABLE",
    }
}

/// A record in a line.
#[must_use]
pub fn describe(record: &Record) -> String {
    let name = type_name(record);
    match record {
        Record::ObjectCreate(object) | Record::ObjectUpdate(object) => format!("{name} {}", describe_object(object)),
        Record::ObjectDelete(id) => format!("{name} {id}"),
        Record::IdCheckpoint(id) => format!("{name} {:#x} (uniquifier {})", id.0, id.uniquifier()),
        Record::ObjectErase { id, generation } => format!("{name} {id} to generation {generation}"),
        Record::McConfig(drive) => format!(
            "{name} {} drive {}: {} zones of {}, sectors of {} B, {} B in all",
            drive.class,
            drive.uuid,
            drive.zones,
            shown::bytes(drive.zone_bytes()),
            drive.sector_bytes(),
            drive.bytes
        ),
        Record::McSpare { class, percent } => format!("{name} {class} {percent} %"),
        Record::Version(version) => format!("{name} {version}"),
        Record::Tunable { tunable, value } => format!("{name} {} {value}", tunable.name()),
        Record::MpConfig(config) => format!(
            "{name} uid {} gid {} mode {:o} label '{}' readahead {} pages, root logs {:#x} and {:#x}",
            config.uid,
            config.gid,
            config.mode,
            config.label,
            config.readahead_pages,
            config.root_logs[0].0,
            config.root_logs[1].0
        ),
    }
}

fn describe_object(object: &ObjectCreate) -> String {
    let place = format!("{} {} zones {}", object.id, object.class, shown::zones(object.extent));
    match object.uuid {
        Some(uuid) => format!("{place} generation {} uuid {uuid}", object.generation),
        None if object.written_bytes > 0 => format!("{place} written {}", shown::bytes(object.written_bytes)),
        None => place,
    }
}
