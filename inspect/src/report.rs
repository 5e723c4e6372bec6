// SPDX-License-Identifier: BSD-3-Clause

//! Everything that was found on the images: the document that `--json` prints, and the basis of the text.

use mpool::{MediaClass, ObjectId, ObjectType, Slot};
use serde::Serialize;

use crate::drive::{Drive, DriveReport};
use crate::findings::Findings;
use crate::image::Image;
use crate::log::{Log, LogReport};
use crate::metadata::{self, PoolReport};
use crate::objects::Objects;

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What is wrong, odd, or worth knowing.
    pub findings: Findings,
    /// The images, in the order given.
    pub drives: Vec<DriveReport>,
    /// The pool; none if no image has MDC0.
    pub pool: Option<PoolReport>,
    /// With `--verify`: all logs that are not containers', read to their ends.
    pub verified_logs: Option<Vec<LogReport>>,
}

/// The images, and the pool on them.
#[derive(Debug)]
pub struct Inspection {
    drives: Vec<Drive>,
    reports: Vec<DriveReport>,
    findings: Findings,
}

/// The index of the drive with MDC0, and the drives of its pool by class.
type Members<'a> = (usize, [Option<&'a Drive>; 2]);

impl Inspection {
    /// Reads the superblocks of some images.
    #[must_use]
    pub fn new(images: Vec<Image>) -> Inspection {
        let mut findings = Findings::default();
        let (mut drives, mut reports) = (Vec::new(), Vec::new());
        for image in images {
            let (report, drive) = Drive::look(image, &mut findings);
            reports.push(report);
            drives.extend(drive);
        }
        Inspection { drives, reports, findings }
    }

    /// Reads the metadata; with `verify` also all logs of clients. Then passes the report, and the logs if there is a
    /// pool, to `then`.
    pub fn look<T>(self, verify: bool, then: impl FnOnce(Report, Option<&Logs<'_>>) -> T) -> T {
        let Inspection { drives, reports, mut findings } = self;
        let members = members(&drives, &mut findings);
        let Some((metadata_drive, given)) = members else {
            return then(Report { findings, drives: reports, pool: None, verified_logs: None }, None);
        };
        let metadata_drive = &drives[metadata_drive];
        let Some(location) = &metadata_drive.superblock().metadata else {
            return then(Report { findings, drives: reports, pool: None, verified_logs: None }, None);
        };
        let (pool, mut objects) = metadata::look(metadata_drive, location, given, &mut findings);
        let verified_logs = verify.then(|| verify_logs(&mut objects, &mut findings));
        let logs = Logs { objects, mdc0: metadata_drive };
        then(Report { findings, drives: reports, pool: Some(pool), verified_logs }, Some(&logs))
    }
}

/// The drives of a pool: the first one with MDC0, and the other one if it belongs to the same pool.
fn members<'a>(drives: &'a [Drive], findings: &mut Findings) -> Option<Members<'a>> {
    let Some(first) = drives.iter().position(|drive| drive.superblock().metadata.is_some()) else {
        if !drives.is_empty() {
            findings.error("pool", "none of the images has MDC0; give the CAPACITY drive too");
        }
        return None;
    };
    let mut given = [None; 2];
    let mut order: Vec<_> = (0..drives.len()).filter(|index| *index != first).collect();
    order.insert(0, first);
    for index in order {
        let drive = &drives[index];
        let place = &mut given[drive.class().index()];
        if drive.superblock().pool != drives[first].superblock().pool {
            let text = format!("it belongs to another pool, '{}', which is not looked at", drive.superblock().name);
            findings.error(&drive.subject(), text);
        } else if place.is_some() {
            findings.error(&drive.subject(), "another image has the same media class; this one is not looked at");
        } else {
            *place = Some(drive);
        }
    }
    if given[MediaClass::Capacity.index()].is_none() {
        findings.error("pool", "MDC0 is not on a CAPACITY drive");
        return None;
    }
    Some((first, given))
}

fn verify_logs(objects: &mut Objects<'_>, findings: &mut Findings) -> Vec<LogReport> {
    let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
    let mut reports = Vec::new();
    for id in ids.into_iter().filter(|id| id.kind() == Some(ObjectType::Mlog) && id.slot() != Slot::ZERO) {
        let Ok(log) = objects.peek_log(id) else { continue };
        // The logs of the root MDC and of volumes were read; others that share their zones are errors already.
        if objects.was_read(&log) || objects.log(id).is_err() {
            continue;
        }
        let scanned = log.scan_any();
        if let Some(fault) = &scanned.fault {
            findings.error(&id, fault.to_string());
        }
        reports.push(log.report(&scanned));
    }
    reports
}

/// The logs of a pool.
#[derive(Debug)]
pub struct Logs<'a> {
    objects: Objects<'a>,
    mdc0: &'a Drive,
}

impl<'a> Logs<'a> {
    /// A log by its id, MDC0's included.
    ///
    /// # Errors
    /// Why there is no such log, or why it cannot be read.
    pub fn find(&self, id: ObjectId) -> Result<Log<'a>, String> {
        let side = ObjectId::mdc_logs(Slot::ZERO).iter().position(|log| *log == id);
        match (side, &self.mdc0.superblock().metadata) {
            (Some(side), Some(location)) => self.objects.mdc0_log(id, &location.logs[side]),
            _ => self.objects.peek_log(id),
        }
        .map_err(|error| error.to_string())
    }
}
