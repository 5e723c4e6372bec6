// SPDX-License-Identifier: BSD-3-Clause

//! A drive of a pool: an image with a valid superblock, and where the drive's zones lie in the image.

use mpool::format::{superblock_zones, Superblock, SuperblockFlags};
use mpool::superblocks::{Found, COPIES};
use mpool::{Extent, MediaClass};
use serde::Serialize;
use serde_json::{json, Value};

use crate::findings::Findings;
use crate::image::{Image, ImageError};
use crate::shown;
use crate::superblocks::{self, Copy};

/// The report on an image.
#[derive(Debug, Serialize)]
pub struct DriveReport {
    /// Path that was opened.
    pub path: String,
    /// Size of the image.
    pub image_bytes: u64,
    /// The copies of its superblock.
    pub superblocks: [Copy; COPIES],
    /// The drive that the superblock describes; none without a good superblock.
    pub drive: Option<Value>,
}

/// A drive that can be read.
#[derive(Debug)]
pub struct Drive {
    image: Image,
    superblock: Superblock,
}

impl Drive {
    /// Reads the superblocks of an image.
    pub fn look(image: Image, findings: &mut Findings) -> (DriveReport, Option<Drive>) {
        let (superblocks, found) = superblocks::read(&image, findings);
        let facts = found.as_ref().map(facts);
        let report =
            DriveReport { path: image.path().to_owned(), image_bytes: image.bytes(), superblocks, drive: facts };
        let drive = found.map(|found| Drive { image, superblock: found.superblock });
        if let Some(drive) = &drive {
            drive.check(findings);
        }
        (report, drive)
    }

    fn check(&self, findings: &mut Findings) {
        let (object, recorded, there) = (self.subject(), self.superblock.drive.bytes, self.image.bytes());
        if there < recorded {
            findings.error(&object, format!("the image has {there} bytes, its superblock says {recorded}"));
        } else if there > recorded {
            findings.note(
                &object,
                format!("the image has {} more than its superblock says", shown::bytes(there - recorded)),
            );
        }
        if let Err(error) = self.superblock.check_metadata() {
            findings.error(&object, error.to_string());
        }
    }

    /// The drive's name in messages.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{} drive {}", self.class(), self.image.path())
    }

    /// The superblock that counts.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The drive's media class.
    #[must_use]
    pub fn class(&self) -> MediaClass {
        self.superblock.drive.class
    }

    /// Number of zones.
    #[must_use]
    pub fn zones(&self) -> u64 {
        self.superblock.drive.zones.into()
    }

    /// Bytes of a zone.
    #[must_use]
    pub fn zone_bytes(&self) -> u64 {
        self.superblock.drive.zone_bytes()
    }

    /// Bytes of a sector.
    #[must_use]
    pub fn sector_bytes(&self) -> usize {
        1 << self.superblock.drive.sector_shift
    }

    /// Whether the zones lie on the drive, outside its superblocks.
    #[must_use]
    pub fn holds(&self, extent: Extent) -> bool {
        let inside = extent.end().is_some_and(|end| end <= self.zones());
        inside && extent.zones > 0 && extent.first >= superblock_zones(self.zone_bytes())
    }

    /// Reads from byte `at` of these zones on; the drive must hold the zones.
    ///
    /// # Errors
    /// The image ends before that, or cannot be read.
    pub fn read(&self, extent: Extent, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let start = extent.first.saturating_mul(self.zone_bytes());
        self.image.read(start.saturating_add(at), buffer)
    }
}

/// The drive as its superblock describes it.
fn facts(found: &Found) -> Value {
    let Found { superblock, version, .. } = found;
    let drive = &superblock.drive;
    json!({
        "pool_name": superblock.name.to_string(),
        "pool": superblock.pool,
        "uuid": drive.uuid,
        "class": drive.class.to_string(),
        "device_type": format!("{:?}", drive.kind),
        "superblock_version": *version as u16,
        "sector_bytes": drive.sector_bytes(),
        "zone_bytes": drive.zone_bytes(),
        "zones": drive.zones,
        "superblock_zones": superblock_zones(drive.zone_bytes()),
        "bytes": drive.bytes,
        "has_mdc0": superblock.metadata.is_some(),
        "accepts_v1_logs": superblock.flags.contains(SuperblockFlags::LEGACY_LOGS),
    })
}
