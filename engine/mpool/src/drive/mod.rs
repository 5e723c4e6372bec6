// SPDX-License-Identifier: BSD-3-Clause

//! A drive of a pool: its device, its descriptor on media, its zones, and its status.
//!
//! Invariants:
//! * Nothing is read or written outside the named extent, nor outside the zones that the descriptor gives the drive.
//!   Extents come from media and may be anything.
//! * A failed transfer says nothing about the next one. Only the writer of the pool's metadata marks a drive as
//!   suspect, if a trial write fails too, and ensures that the drive is probed again (`metadata::doubt`).
//!
//! Differs from mpool:
//! * No failure takes a drive offline: the doubt about a failed metadata write is resolved in the container that it
//!   belongs to. So one bad block costs only what lies on it.
//! * A failed discard leaves the drive in use: discards are advice (section 13, defect 15).
//! * Files are accepted as devices, besides block devices and NVDIMM: virtual disks and images are files.
//! * A durable write is followed by a flush if the device has a volatile cache and cannot force single writes.
//! * An alignment of writes that is not a power of two, or less than a page, is refused (defect 21).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::lock::Mutex;

use super::device::{Device, DeviceProperties, DeviceType, IoBuf};
use super::error::{Kind, PoolError, Result};
use super::format::{superblock_zones, DriveDescriptor};
use super::ids::{Extent, MediaClass, PAGE_BYTES};
use super::space_map::{SpaceMap, SpaceUsage, DEFAULT_REGIONS, DEFAULT_SPARE_PERCENT};

mod counters;
mod durable;
mod io;
mod sizes;
#[cfg(test)]
mod tests;

use counters::Counted;
pub use counters::IoCounters;
pub(crate) use durable::{write_durably, write_persistently};
pub use io::Durability;
pub use sizes::{
    check_zone_bytes, default_zone_bytes, derived_capacities, describe_new, MdcCapacities, DEFAULT_ZONE_BYTES,
    MAX_ZONE_BYTES, MIN_ZONE_BYTES,
};

/// Default bytes of the pieces that transfers are cut into.
pub const DEFAULT_CHUNK_BYTES: usize = 128 << 10;
/// The smallest piece that can be chosen.
pub const MIN_CHUNK_BYTES: usize = 128 << 10;
/// The largest piece that can be chosen.
pub const MAX_CHUNK_BYTES: usize = 1024 << 10;

/// The status of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DriveStatus {
    /// The drive works.
    Online = 1,
    /// The drive does not take writes at present, so no metadata on it is changed. It is read, and probed again.
    Suspect = 2,
    /// The drive was missing when the pool was activated.
    Unavailable = 4,
}

/// The configurable properties of a drive.
#[derive(Debug, Clone, Copy)]
pub struct DriveSettings {
    /// Bytes of the pieces that transfers are cut into; clamped to 128 KiB and 1 MiB.
    pub chunk_bytes: usize,
    /// The number of regions of the space map.
    pub regions: u64,
    /// The alignment of allocations in zones, a power of two.
    pub align_zones: u64,
    /// The percentage of spare zones.
    pub spare_percent: u8,
}

impl Default for DriveSettings {
    fn default() -> DriveSettings {
        DriveSettings {
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            regions: DEFAULT_REGIONS,
            align_zones: 1,
            spare_percent: DEFAULT_SPARE_PERCENT,
        }
    }
}

/// A device in use, and its properties when it was attached.
#[derive(Debug)]
struct Attached {
    device: Rc<dyn Device>,
    properties: DeviceProperties,
}

/// A drive of a pool, present or missing.
#[derive(Debug)]
pub struct Drive {
    name: String,
    attached: Option<Attached>,
    descriptor: Cell<DriveDescriptor>,
    /// Why the drive is suspect.
    suspicion: RefCell<Option<String>>,
    chunk_bytes: Cell<usize>,
    counters: Rc<Cell<IoCounters>>,
    settings: DriveSettings,
    space: RefCell<SpaceMap>,
    /// Held during a trial write: all of them go to the same page.
    trial: Mutex<()>,
}

impl Drive {
    /// A drive on `device`, with all zones free but those of the superblocks.
    ///
    /// # Errors
    /// EINVAL: the device is unsuitable ([`check_device`]), or has too few zones for the regions of its space map.
    pub fn online(device: Rc<dyn Device>, descriptor: DriveDescriptor, settings: DriveSettings) -> Result<Rc<Drive>> {
        let properties = device.properties();
        check_device(&properties)?;
        let name = short_name(&properties.name);
        let counters = Rc::default();
        let device: Rc<dyn Device> = Rc::new(Counted::new(device, &counters));
        Drive::new(name, Some(Attached { device, properties }), descriptor, (settings, counters))
    }

    /// A drive that is recorded on media but is missing.
    ///
    /// # Errors
    /// EINVAL: too few zones for the regions of its space map.
    pub fn unavailable(descriptor: DriveDescriptor, settings: DriveSettings) -> Result<Rc<Drive>> {
        Drive::new(short_name(&descriptor.uuid.to_string()), None, descriptor, (settings, Rc::default()))
    }

    fn new(
        name: String,
        attached: Option<Attached>,
        descriptor: DriveDescriptor,
        (settings, counters): (DriveSettings, Rc<Cell<IoCounters>>),
    ) -> Result<Rc<Drive>> {
        let space = RefCell::new(empty_map(&name, &descriptor, &settings)?);
        let drive = Drive {
            name,
            attached,
            descriptor: Cell::new(descriptor),
            suspicion: RefCell::default(),
            chunk_bytes: Cell::new(0),
            counters,
            settings,
            space,
            trial: Mutex::new(()),
        };
        drive.set_chunk_bytes(settings.chunk_bytes);
        Ok(Rc::new(drive))
    }

    /// The last component of the device's path, at most 31 bytes; for a missing drive, the start of its UUID.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The drive's description on media.
    #[must_use]
    pub fn descriptor(&self) -> DriveDescriptor {
        self.descriptor.get()
    }

    /// The media class that the drive serves.
    #[must_use]
    pub fn class(&self) -> MediaClass {
        self.descriptor.get().class
    }

    /// Bytes in a zone, from the descriptor.
    #[must_use]
    pub fn zone_bytes(&self) -> u64 {
        self.descriptor.get().zone_bytes()
    }

    /// Bytes in a sector, from the descriptor.
    #[must_use]
    pub fn sector_bytes(&self) -> u64 {
        self.descriptor.get().sector_bytes()
    }

    /// The unit of all writes of an mblock but the last, in bytes.
    #[must_use]
    pub fn optimal_write_bytes(&self) -> u32 {
        self.attached.as_ref().map_or(PAGE_BYTES as u32, |attached| attached.properties.optimal_write_bytes)
    }

    /// True when a power cut leaves each sector entirely old or entirely new.
    #[must_use]
    pub fn writes_sectors_whole(&self) -> bool {
        let whole = |attached: &Attached| u64::from(attached.properties.atomic_write) >= self.sector_bytes();
        self.attached.as_ref().is_some_and(whole)
    }

    /// The present status.
    #[must_use]
    pub fn status(&self) -> DriveStatus {
        match (&self.attached, self.suspicion.borrow().is_some()) {
            (None, _) => DriveStatus::Unavailable,
            (Some(_), true) => DriveStatus::Suspect,
            (Some(_), false) => DriveStatus::Online,
        }
    }

    /// Why the drive is suspect; none when it is not.
    #[must_use]
    pub fn suspicion(&self) -> Option<String> {
        self.suspicion.borrow().clone()
    }

    /// Marks the drive as suspect for a reason or, without one, as online. Returns whether that is a change.
    pub(crate) fn suspect(&self, reason: Option<String>) -> bool {
        let before = self.suspicion.replace(reason).is_some();
        before != self.suspicion.borrow().is_some()
    }

    /// The drive's device; none when it is missing.
    #[must_use]
    pub fn device(&self) -> Option<&Rc<dyn Device>> {
        self.attached.as_ref().map(|attached| &attached.device)
    }

    /// I/O on the drive since the pool was activated.
    #[must_use]
    pub fn io_counters(&self) -> IoCounters {
        self.counters.get()
    }

    /// Counts I/O on its device that bypassed the pool.
    pub fn add_io(&self, done: IoCounters) {
        self.counters.set(self.counters.get().plus(done));
    }

    /// The map of free and allocated zones.
    #[must_use]
    pub fn space(&self) -> &RefCell<SpaceMap> {
        &self.space
    }

    /// The use of the drive's space, in bytes.
    #[must_use]
    pub fn space_usage(&self) -> SpaceUsage {
        self.space.borrow().usage().bytes(self.zone_bytes())
    }

    /// Bytes of the pieces that transfers are cut into.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes.get()
    }

    /// Changes the bytes of the pieces that transfers are cut into: whole pages, within the bounds.
    pub fn set_chunk_bytes(&self, bytes: usize) {
        let pages = bytes.clamp(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES) / PAGE_BYTES;
        self.chunk_bytes.set(pages * PAGE_BYTES);
    }

    /// Adopts a new descriptor: the drive was resized. Possible only before objects are loaded, because the space map
    /// starts empty.
    ///
    /// # Errors
    /// EBUSY: zones besides those of the superblocks are in use. EINVAL: too few zones for the regions.
    pub fn set_descriptor(&self, descriptor: DriveDescriptor) -> Result<()> {
        if self.space.borrow().allocated_zones() > superblock_zones(self.zone_bytes()) {
            return Err(PoolError::new(Kind::Busy, self.subject(), "it cannot be resized while it holds objects"));
        }
        let spare_percent = self.space.borrow().spare_percent();
        let settings = DriveSettings { spare_percent, ..self.settings };
        let space = empty_map(&self.name, &descriptor, &settings)?;
        *self.space.borrow_mut() = space;
        self.descriptor.set(descriptor);
        Ok(())
    }

    /// Adopts a descriptor with more zones, which become free, whatever objects there are.
    ///
    /// # Errors
    /// EINVAL: it has fewer zones.
    pub fn grow(&self, descriptor: DriveDescriptor) -> Result<()> {
        self.space.borrow_mut().grow(u64::from(descriptor.zones))?;
        self.descriptor.set(descriptor);
        Ok(())
    }

    /// Allocates zeroed memory for transfers.
    ///
    /// # Errors
    /// ENOMEM; EIO when the drive is missing.
    pub fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        let doing = "allocating memory for I/O";
        let Some(attached) = &self.attached else {
            return Err(self.missing(doing));
        };
        attached.device.allocate(bytes).map_err(|error| PoolError::device(self.subject(), doing, error))
    }

    /// The name of the drive in messages.
    pub(crate) fn subject(&self) -> String {
        subject(&self.name)
    }

    fn missing(&self, doing: &str) -> PoolError {
        PoolError::new(Kind::Io, self.subject(), format!("{doing} is impossible: the drive is missing"))
    }
}

/// Checks what every drive of a pool must be: a device of an accepted type, whose sectors can be overwritten in place.
///
/// # Errors
/// EINVAL.
pub fn check_device(properties: &DeviceProperties) -> Result<()> {
    let accepted = [DeviceType::StandardBlock, DeviceType::NvdimmBlock, DeviceType::File];
    let optimal = properties.optimal_write_bytes;
    let fault = if !accepted.contains(&properties.kind) {
        format!("a device of type {:?} cannot be a drive", properties.kind)
    } else if !properties.sector_updatable {
        "its sectors cannot be written again in place, which logs need".to_owned()
    } else if !matches!(properties.sector_bytes, 512 | 4096) {
        format!("blocks of {} bytes are not supported, only 512 and 4096", properties.sector_bytes)
    } else if properties.bytes == 0 {
        "it has no room".to_owned()
    } else if !optimal.is_power_of_two() || (optimal as usize) < PAGE_BYTES {
        format!("its optimal write size, {optimal} bytes, is not a power of two of at least {PAGE_BYTES}")
    } else {
        return Ok(());
    };
    Err(PoolError::invalid(subject(&short_name(&properties.name)), fault))
}

fn empty_map(name: &str, descriptor: &DriveDescriptor, settings: &DriveSettings) -> Result<SpaceMap> {
    let zones = u64::from(descriptor.zones);
    let mut map = SpaceMap::new(subject(name), zones, settings.regions, settings.spare_percent)?;
    map.set_alignment(settings.align_zones)?;
    map.insert(Extent { first: 0, zones: superblock_zones(descriptor.zone_bytes()) })?;
    Ok(map)
}

fn subject(name: &str) -> String {
    format!("drive '{name}'")
}

/// The last component of a path, at most 31 bytes.
pub(crate) fn short_name(path: &str) -> String {
    let last = path.rsplit('/').find(|component| !component.is_empty()).unwrap_or(path);
    let end = (0..=last.len().min(31)).rev().find(|end| last.is_char_boundary(*end)).unwrap_or(0);
    last[..end].to_owned()
}

/// Zones of a drive.
#[derive(Debug, Clone)]
pub struct DriveExtent {
    /// The drive with the zones.
    pub drive: Rc<Drive>,
    /// The zones on that drive.
    pub extent: Extent,
}
