// SPDX-License-Identifier: BSD-3-Clause

//! Pools as JSON: parameters, properties, usage, and what was found on bdevs. Sizes are in the unit that ends a
//! member's name.

use std::rc::Rc;

use mpool::drive::DriveStatus;
use mpool::format::DriveDescriptor;
use mpool::host::PoolStatus;
use mpool::ids::MediaClass;
use mpool::management::props::ClassProps;
use mpool::management::scan::ScannedPool;
use mpool::params::PoolParams;
use mpool::superblocks::Condition;
use mpool::{Pool, Usage};

use crate::rpc::method::Answer;
use crate::spdk::json::Writer;

/// Writes the parameters as members of the open object.
fn params(writer: &mut Writer, params: &PoolParams) {
    writer.named_string("name", &params.name);
    writer.named_string("uuid", &params.uuid.to_string());
    writer.named_number("uid", u64::from(params.uid));
    writer.named_number("gid", u64::from(params.gid));
    writer.named_string("mode", &format!("{:04o}", params.mode));
    writer.named_string("label", &params.label);
    writer.named_string("type", &params.user_type.to_string());
    writer.named_number("readahead_pages", u64::from(params.readahead_pages));
    writer.named_number("map_size_mib", 1 << params.map_size_log2.clamp(20, 63) >> 20);
    for (class, name) in
        [(MediaClass::Capacity, "spare_percent_capacity"), (MediaClass::Staging, "spare_percent_staging")]
    {
        if let Some(percent) = params.spare_percent[class.index()] {
            writer.named_number(name, u64::from(percent));
        }
    }
    for (class, name) in
        [(MediaClass::Capacity, "mblock_size_mib_capacity"), (MediaClass::Staging, "mblock_size_mib_staging")]
    {
        if let Some(mib) = params.mblock_mib[class.index()] {
            writer.named_number(name, mib);
        }
    }
    writer.named_number("root_log_bytes", params.root_log_bytes);
    writer.named_array("root_log_ids", |writer| {
        params.root_logs.iter().for_each(|id| writer.string(&format!("{:#x}", id.0)));
    });
    writer.named_number("mdc_count", params.containers as u64);
    tunables(writer, params);
}

/// Writes the tunables that a pool can keep, with the values in force.
fn tunables(writer: &mut Writer, params: &PoolParams) {
    writer.named_object("tunables", |writer| {
        params.tunables.iter().for_each(|(tunable, value)| writer.named_number(tunable.name(), *value));
    });
}

impl Answer for PoolParams {
    const WORDS: &'static str = "the pool's parameters";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        writer.object(|writer| params(writer, self));
    }
}

const fn status_name(status: PoolStatus) -> &'static str {
    match status {
        PoolStatus::Optimal => "optimal",
        PoolStatus::Faulted => "faulted",
    }
}

const fn drive_status_name(status: DriveStatus) -> &'static str {
    match status {
        DriveStatus::Online => "online",
        DriveStatus::Suspect => "suspect",
        DriveStatus::Unavailable => "unavailable",
    }
}

/// Writes space and objects as members of the open object.
fn usage_members(writer: &mut Writer, usage: &Usage) {
    let (space, objects) = (&usage.space, &usage.objects);
    for (name, value) in [
        ("total_bytes", space.total_bytes),
        ("usable_bytes", space.usable_bytes),
        ("free_usable_bytes", space.free_usable_bytes),
        ("used_bytes", space.used_bytes),
        ("spare_bytes", space.spare_bytes),
        ("free_spare_bytes", space.free_spare_bytes),
        ("allocated_bytes", objects.allocated_bytes()),
        ("written_bytes", objects.written_bytes()),
        ("mblock_count", objects.mblocks),
        ("mblock_allocated_bytes", objects.mblock_allocated_bytes),
        ("mblock_written_bytes", objects.mblock_written_bytes),
        ("mlog_count", objects.mlogs),
        ("mlog_allocated_bytes", objects.mlog_allocated_bytes),
        ("slab_count", objects.slabs),
        ("slab_allocated_bytes", objects.slab_allocated_bytes),
    ] {
        writer.named_number(name, value);
    }
}

fn drive_members(writer: &mut Writer, drive: &DriveDescriptor) {
    writer.named_string("uuid", &drive.uuid.to_string());
    writer.named_string("class", &drive.class.to_string());
    writer.named_number("size_bytes", drive.bytes);
    writer.named_number("block_size", drive.sector_bytes());
    writer.named_number("zone_size_mib", drive.zone_bytes() >> 20);
    writer.named_number("zones", u64::from(drive.zones));
}

/// How full a pool is.
pub struct Usages(pub Rc<Pool>);

impl Answer for Usages {
    const WORDS: &'static str = "space and objects, in `total` and by `classes`";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        usage(writer, &self.0);
    }
}

fn usage(writer: &mut Writer, pool: &Rc<Pool>) {
    writer.object(|writer| {
        writer.named_string("name", pool.name());
        writer.named_string("uuid", &pool.uuid().to_string());
        writer.named_object("total", |writer| usage_members(writer, &pool.usage()));
        writer.named_array("classes", |writer| {
            for class in &pool.props().classes {
                writer.object(|writer| {
                    writer.named_string("class", &class.class.to_string());
                    usage_members(writer, &class.usage);
                });
            }
        });
    });
}

/// Name of the bdev of a class's drive; for a missing drive, the pool's name for it. (The pool itself keeps only the
/// last component of a path, of at most 31 bytes.)
fn bdev_name(pool: &Pool, class: &ClassProps) -> String {
    let drive = pool.drive_of(class.class).ok();
    let device = drive.as_ref().and_then(|drive| drive.device());
    device.map_or_else(|| class.drive.name.clone(), |device| device.properties().name)
}

fn write_class(writer: &mut Writer, pool: &Pool, class: &ClassProps) {
    writer.object(|writer| {
        writer.named_string("class", &class.class.to_string());
        writer.named_number("spare_percent", u64::from(class.spare_percent));
        writer.named_number("unavailable_drives", u64::from(class.unavailable));
        writer.named_array("drives", |writer| {
            writer.object(|writer| {
                writer.named_string("bdev", &bdev_name(pool, class));
                writer.named_string("status", drive_status_name(class.drive.status));
                drive_members(writer, &class.drive.descriptor);
            });
        });
    });
}

/// Everything about a pool.
pub struct Props(pub Rc<Pool>);

impl Answer for Props {
    const WORDS: &'static str = "the pool's parameters, status, faults, and `classes` with their drives";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        props(writer, &self.0);
    }
}

fn props(writer: &mut Writer, pool: &Rc<Pool>) {
    let props = pool.props();
    writer.object(|writer| {
        params(writer, &props.params);
        writer.named_string("status", status_name(props.status));
        writer.named_array("faults", |writer| props.faults.iter().for_each(|fault| writer.string(fault)));
        writer.named_array("classes", |writer| props.classes.iter().for_each(|class| write_class(writer, pool, class)));
    });
}

/// The active pools.
pub struct Active(pub Vec<Rc<Pool>>);

impl Answer for Active {
    const WORDS: &'static str = "of each pool: its names, tunables, status, faults and drives";
    const TYPE: &'static str = "array";

    fn write(&self, writer: &mut Writer) {
        writer.array(|writer| self.0.iter().for_each(|pool| listed(writer, pool)));
    }
}

/// Writes a pool of the list of active pools.
fn listed(writer: &mut Writer, pool: &Rc<Pool>) {
    let props = pool.props();
    writer.object(|writer| {
        writer.named_string("name", pool.name());
        writer.named_string("uuid", &pool.uuid().to_string());
        writer.named_string("label", &props.params.label);
        tunables(writer, &props.params);
        writer.named_string("status", status_name(props.status));
        writer.named_array("faults", |writer| props.faults.iter().for_each(|fault| writer.string(fault)));
        writer.named_array("drives", |writer| {
            for class in &props.classes {
                writer.object(|writer| {
                    writer.named_string("bdev", &bdev_name(pool, class));
                    writer.named_string("class", &class.class.to_string());
                    writer.named_string("status", drive_status_name(class.drive.status));
                });
            }
        });
    });
}

/// The pools on bdevs.
pub struct OnBdevs {
    pub active: Vec<Rc<Pool>>,
    /// Pools that are not active.
    pub found: Vec<ScannedPool>,
}

impl Answer for OnBdevs {
    const WORDS: &'static str = "of each pool: its names, state and drives";
    const TYPE: &'static str = "array";

    fn write(&self, writer: &mut Writer) {
        writer.array(|writer| {
            self.active.iter().for_each(|pool| scanned_active(writer, pool));
            self.found.iter().for_each(|pool| scanned(writer, pool));
        });
    }
}

/// Writes an active pool among those on bdevs.
fn scanned_active(writer: &mut Writer, pool: &Rc<Pool>) {
    let props = pool.props();
    writer.object(|writer| {
        writer.named_string("name", pool.name());
        writer.named_string("uuid", &pool.uuid().to_string());
        writer.named_string("state", "active");
        writer.named_array("drives", |writer| {
            for class in &props.classes {
                writer.object(|writer| {
                    writer.named_string("bdev", &bdev_name(pool, class));
                    drive_members(writer, &class.drive.descriptor);
                });
            }
        });
    });
}

/// Whether a pool could be activated: "twins" if a drive was found twice, "wiped" or "lone_copy" if its superblock is
/// not certain, "incomplete" if its metadata was not found. Other missing drives show only at activation.
fn state_name(pool: &ScannedPool) -> &'static str {
    if pool.active || pool.twins().is_some() {
        return "twins";
    }
    match pool.doubtful() {
        Some(condition) => condition_name(condition),
        None if pool.drives.iter().any(|(_, drive)| drive.has_mdc0) => "inactive",
        None => "incomplete",
    }
}

const fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::Sure => "sure",
        Condition::Lone => "lone_copy",
        Condition::Wiped => "wiped",
    }
}

/// Writes a pool that is not active.
fn scanned(writer: &mut Writer, pool: &ScannedPool) {
    writer.object(|writer| {
        writer.named_string("name", &pool.name);
        writer.named_string("uuid", &pool.uuid.to_string());
        writer.named_string("state", state_name(pool));
        writer.named_array("drives", |writer| {
            for (bdev, found) in &pool.drives {
                writer.object(|writer| {
                    writer.named_string("bdev", bdev);
                    if let Some(version) = found.version {
                        writer.named_number("superblock_version", version as u64);
                    }
                    writer.named_string("superblock", condition_name(found.condition));
                    drive_members(writer, &found.drive);
                });
            }
        });
    });
}

/// A renamed pool, with its new name.
pub struct Renamed(pub String);

impl Answer for Renamed {
    const WORDS: &'static str = "the `name` as it is stored";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        writer.object(|writer| writer.named_string("name", &self.0));
    }
}
