// SPDX-License-Identifier: BSD-3-Clause

//! Images, their superblocks, and the drives that the superblocks describe.

use std::io::{self, Write};

use crate::drive::{DriveFacts, DriveReport};
use crate::shown;
use crate::superblocks::{Checksum, Copy, Descriptor, Fields, Mdc0Log};

/// Prints one image.
pub(super) fn drive(out: &mut impl Write, report: &DriveReport) -> io::Result<()> {
    writeln!(out, "\nIMAGE {} ({}, {} B)", report.path, shown::bytes(report.image_bytes), report.image_bytes)?;
    match &report.drive {
        Some(facts) => drive_facts(out, facts)?,
        None => writeln!(out, "  no usable superblock")?,
    }
    let first = &report.superblocks[0];
    for (number, copy) in report.superblocks.iter().enumerate() {
        let counts = if copy.counts { ", COUNTS" } else { "" };
        let fault = copy.fault.as_ref().map_or(String::new(), |fault| format!(": {fault}"));
        writeln!(out, "  superblock copy {number} at byte {}: {}{counts}{fault}", copy.at_byte, copy.state)?;
        if number == 0 || (&copy.fields, &copy.checksums) != (&first.fields, &first.checksums) {
            copy_details(out, copy)?;
        } else if copy.fields.is_some() {
            writeln!(out, "      has what copy 0 has")?;
        }
    }
    Ok(())
}

fn drive_facts(out: &mut impl Write, facts: &DriveFacts) -> io::Result<()> {
    writeln!(out, "  {} drive {} of pool '{}' {}", facts.class, facts.uuid, facts.pool_name, facts.pool)?;
    let zones = format!("{} zones of {}", facts.zones, shown::bytes(facts.zone_bytes));
    let reserved = format!("{} for superblocks", facts.superblock_zones);
    let mdc0 = if facts.has_mdc0 { "with MDC0" } else { "without MDC0" };
    let v1 = if facts.accepts_v1_logs { ", accepts log blocks of version 1" } else { "" };
    writeln!(out, "  {zones} ({reserved}), {} B in all, sectors of {} B", facts.bytes, facts.sector_bytes)?;
    let version = facts.superblock_version;
    writeln!(out, "  device type {}, superblock version {version}, {mdc0}{v1}", facts.device_type)
}

fn copy_details(out: &mut impl Write, copy: &Copy) -> io::Result<()> {
    let Some(fields) = &copy.fields else { return Ok(()) };
    for checksum in &copy.checksums {
        writeln!(out, "      {}", checksum_line(checksum))?;
    }
    let Fields { name, pool, version, generation, drive, mdc0_logs, mdc0_drive, flags, .. } = fields;
    writeln!(out, "      pool name     '{}'", shown::text(name))?;
    writeln!(out, "      pool uuid     {pool}")?;
    writeln!(out, "      version       {version}, generation {generation}, flags {flags:#x}")?;
    writeln!(out, "      drive         {}", descriptor(drive))?;
    for (number, log) in mdc0_logs.iter().enumerate() {
        writeln!(out, "      MDC0 log {number}    {}", mdc0_log(log))?;
    }
    writeln!(out, "      MDC0 drive    {}", descriptor(mdc0_drive))?;
    let [former_drive, former_pool] = fields.former;
    if !former_drive.is_nil() {
        writeln!(out, "      imported      was drive {former_drive} of pool {former_pool}")?;
    }
    if !fields.volume_mask.is_nil() {
        writeln!(out, "      volumes       UUIDs are masked with {}", fields.volume_mask)?;
    }
    match &fields.device {
        Some(device) => writeln!(out, "      device        {device}"),
        None => Ok(()),
    }
}

fn checksum_line(checksum: &Checksum) -> String {
    let (first, end) = checksum.covers_bytes;
    let verdict = match checksum.good {
        Some(true) => "good",
        Some(false) => "WRONG",
        None => "not in this version",
    };
    let (stored, computed) = (checksum.stored, checksum.computed);
    match checksum.good {
        Some(false) => {
            format!("checksum      bytes {first}-{}: {stored:#010x}, {verdict}: should be {computed:#010x}", end - 1)
        }
        _ => format!("checksum      bytes {first}-{}: {stored:#010x}, {verdict}", end - 1),
    }
}

fn descriptor(drive: &Descriptor) -> String {
    if drive.uuid.is_nil() && drive.zones == 0 && drive.bytes == 0 {
        return "none".to_owned();
    }
    format!(
        "{} class {} type {}, {} zones of {} pages, sectors of 2^{} B, {} B in all, features {:#x}",
        drive.uuid,
        drive.class,
        drive.device_type,
        drive.zones,
        drive.zone_pages,
        drive.sector_shift,
        drive.bytes,
        drive.features
    )
}

fn mdc0_log(log: &Mdc0Log) -> String {
    if log.zones == 0 && log.drive.is_nil() {
        return "none".to_owned();
    }
    let zones = shown::zones(mpool::Extent { first: log.first_zone, zones: log.zones });
    format!("zones {zones}, generation {}, uuid {}, on drive {}", log.generation, log.uuid, log.drive)
}
