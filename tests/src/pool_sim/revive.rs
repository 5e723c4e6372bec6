// SPDX-License-Identifier: BSD-3-Clause

//! A machine is switched on again: the pool is activated and compared with the model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mpool::format::{MediaFormat, END_ROOM_BYTES};
use mpool::management::activate::ActivateRequest;
use mpool::management::destroy::DestroyRequest;
use mpool::management::Flags;
use mpool::params::ParamChanges;
use mpool::registry::Registry;
use mpool::testing::{Random, SimHost};
use mpool::tunables::Tunables;
use mpool::units::Nanos;
use mpool::{Host, Kind, MediaClass, Object, ObjectId, ObjectState, ObjectType, PoolError, Usage};

use super::log_model::LogModel;
use super::pool_model::{Content, ObjectModel, Possible, Standing};
use super::session::{is_fault, Outcome, Session, SharedModel};

/// Name of the disk for CAPACITY.
pub const CAPACITY: &str = "capacity";

/// Name of the disk for STAGING.
pub const STAGING: &str = "staging";

/// Client containers of the pools here.
pub const CONTAINERS: usize = 2;

/// Bytes of a zone.
pub const ZONE: u64 = 1 << 20;

/// Zones of a drive of `bytes` bytes.
#[must_use]
pub const fn zones_of(bytes: u64) -> u64 {
    (bytes - END_ROOM_BYTES) / ZONE
}

/// The registry of a machine.
#[must_use]
pub fn registry(host: &Rc<SimHost>) -> Rc<Registry> {
    registry_in(host, MediaFormat::CURRENT)
}

/// The registry of a machine whose software has a format of its own.
#[must_use]
pub fn registry_in(host: &Rc<SimHost>, format: MediaFormat) -> Rc<Registry> {
    let host: Rc<dyn Host> = Rc::<SimHost>::clone(host);
    Rc::new(Registry::with_format(host, Tunables::default(), format))
}

/// What a machine finds when it is switched on.
pub enum Found {
    /// The pool, active and as it should be.
    Pool(Rc<Session>),
    /// No pool, and rightly so.
    Nothing,
    /// A device failed by plan, so nothing is known.
    Fault,
}

/// Activates the pool and compares it with the model, which then knows what is there. With `convert` superblocks may
/// be rewritten, for what the disk has grown by or for this software's format.
///
/// # Errors
/// A defect.
pub async fn revive(host: &Rc<SimHost>, model: &SharedModel, seed: u64, convert: bool) -> Result<Found, String> {
    let registry = registry(host);
    let mut request = ActivateRequest {
        name: None,
        paths: vec![CAPACITY.to_owned()],
        changes: ParamChanges::default(),
        containers: Some(CONTAINERS),
        flags: Flags { force: false, permit_meta_conv: convert, resize: convert },
    };
    let (exists, staging) = (model.borrow().exists.clone(), model.borrow().staging.clone());
    if staging.can_be(&true) {
        request.paths.push(STAGING.to_owned());
    }
    let mut outcome = registry.activate(&request).await;
    let without = request.paths.len() == 2 && staging != Possible::known(true);
    if without && outcome.as_ref().is_err_and(|error| !is_fault(host, error)) {
        host.trace(|| format!("not with the second drive: {:?}", outcome.as_ref().err()));
        request.paths.truncate(1);
        outcome = registry.activate(&request).await;
    }
    match outcome {
        Ok(active) => {
            if !exists.can_be(&true) {
                return Err("a pool was activated that was destroyed".to_owned());
            }
            let random = RefCell::new(Random::stream(seed, 0x73));
            let (host, model) = (Rc::clone(host), Rc::clone(model));
            let session = Rc::new(Session { host, registry, active, model, random, calls: Rc::default() });
            match session.compare(request.paths.len() == 2).await? {
                Some(()) => Ok(Found::Pool(session)),
                None => Ok(Found::Fault),
            }
        }
        Err(error) if is_fault(host, &error) => Ok(Found::Fault),
        Err(error) if exists.can_be(&false) && is_no_pool(&error) => {
            model.borrow_mut().exists = Possible::known(false);
            Ok(Found::Nothing)
        }
        Err(error) if exists.can_be(&false) && matches!(error.kind(), Kind::NotPermitted | Kind::Invalid) => {
            host.trace(|| format!("what is left is not used: {error}"));
            destroy_the_rest(host, &registry, model, request.paths).await
        }
        Err(error) => Err(format!("the pool cannot be activated: {error} ({:?})", error.kind())),
    }
}

/// A destruction that failed, or a creation that could not be taken back, has left copies of superblocks without the first: they
/// are not used without being told to, and can be destroyed.
async fn destroy_the_rest(
    host: &Rc<SimHost>,
    registry: &Rc<Registry>,
    model: &SharedModel,
    paths: Vec<String>,
) -> Result<Found, String> {
    match registry.destroy(&DestroyRequest { paths, force: true, ..DestroyRequest::default() }).await {
        Ok(()) => {
            model.borrow_mut().exists = Possible::known(false);
            Ok(Found::Nothing)
        }
        Err(error) if is_fault(host, &error) => Ok(Found::Fault),
        Err(error) => Err(format!("what is left of a pool cannot be destroyed: {error}")),
    }
}

/// There is no pool, or one whose creation was never finished.
fn is_no_pool(error: &PoolError) -> bool {
    matches!(error.kind(), Kind::NoPool | Kind::NotMember)
}

impl Session {
    /// Compares everything with the model, and takes what is there for what was there.
    async fn compare(self: &Rc<Session>, with_staging: bool) -> Outcome<()> {
        self.compare_properties(with_staging)?;
        self.compare_objects()?;
        self.check_usage(true)?;
        self.compare_contents().await
    }

    fn compare_properties(&self, with_staging: bool) -> Result<(), String> {
        let mut model = self.model.borrow_mut();
        model.exists = Possible::known(true);
        model.staging.settle("membership of the STAGING drive", &with_staging)?;
        let params = self.pool().params();
        model.name.settle("the name", &params.name)?;
        model.label.settle("the label", &params.label)?;
        for drive in self.pool().drives() {
            let (class, descriptor) = (drive.class(), drive.descriptor());
            model.zones[class.index()]
                .settle(&format!("the number of zones of {class}"), &u64::from(descriptor.zones))?;
        }
        for class in MediaClass::ALL {
            if let Some(seen) = params.spare_percent[class.index()] {
                model.spare[class.index()].settle("the spare percentage", &seen)?;
            }
        }
        let containers = self.pool().container_count();
        if containers < model.containers || containers > 1 + CONTAINERS {
            return Err(format!("there are {containers} containers after {}", model.containers));
        }
        model.containers = containers;
        Ok(())
    }

    /// The logs of the root MDC, which the pool makes by itself, become known to the model.
    pub fn adopt_root_logs(&self) {
        for object in self.pool().objects() {
            if ObjectId::ROOT_LOGS.contains(&object.id()) {
                self.model.borrow_mut().objects.entry(object.id()).or_insert_with(|| root_log(&object));
            }
        }
    }

    /// Compares which objects there are, and what is known about each.
    fn compare_objects(&self) -> Result<(), String> {
        let found: BTreeMap<_, _> = self.pool().objects().into_iter().map(|object| (object.id(), object)).collect();
        self.adopt_root_logs();
        let mut model = self.model.borrow_mut();
        if let Some(id) = found.keys().find(|id| !model.objects.contains_key(*id)) {
            return Err(format!("{id} is there, but was never committed, or was deleted"));
        }
        let expected: Vec<_> = model.objects.iter().map(|(id, object)| (*id, object.standing)).collect();
        for (id, standing) in expected {
            match (found.get(&id), standing) {
                (Some(object), Standing::Committed | Standing::Doubtful) => {
                    compare_object(object, model.object(id)?)?;
                }
                (None, Standing::Doubtful) => {
                    model.objects.remove(&id);
                }
                (None, Standing::Committed) => return Err(format!("{id} was committed, but is not there")),
                (_, Standing::Uncommitted) => return Err(format!("{id} is uncommitted after a power cut")),
            }
        }
        check_extents(found.values())
    }

    /// Compares how full the pool is. With `rested`, no erasure is under way and nothing was allocated since
    /// activation.
    ///
    /// # Errors
    /// A number is not what follows from the objects.
    pub fn check_usage(&self, rested: bool) -> Result<(), String> {
        let model = self.model.borrow();
        for drive in self.pool().drives() {
            let class = drive.class();
            let usage = self.pool().class_usage(class).map_err(|error| error.to_string())?;
            let zones = model.zones[class.index()].sure;
            // Superblocks; MDC0 and the other containers, two logs each.
            let fixed = 1 + if class == MediaClass::Capacity { 2 * self.pool().container_count() as u64 } else { 0 };
            let mut taken = fixed + model.zones_of(class);
            let spare = u64::from(model.spare[class.index()].sure);
            let usable = zones * (100 - spare) / 100;
            let space = usage.space;
            let in_use = space.used_bytes + (space.spare_bytes - space.free_spare_bytes);
            // A container that could not be opened when it had been made keeps its logs for the next attempt.
            let left = (in_use / ZONE).saturating_sub(taken);
            if class == MediaClass::Capacity && left <= 2 && self.pool().lacks_containers() {
                taken += left;
            }
            let mut pairs = vec![
                ("total", space.total_bytes, zones * ZONE),
                ("available", space.available_bytes, zones * ZONE),
                ("usable", space.usable_bytes, usable * ZONE),
                ("spare", space.spare_bytes, (zones - usable) * ZONE),
                ("used and used spare", in_use, taken * ZONE),
                ("free usable", space.free_usable_bytes, space.usable_bytes.saturating_sub(space.used_bytes)),
            ];
            if rested {
                pairs.push(("used", space.used_bytes, taken * ZONE));
                pairs.push(("free spare", space.free_spare_bytes, space.spare_bytes));
            }
            pairs.extend(object_pairs(&model, &usage, class));
            for (name, seen, expected) in pairs {
                if seen != expected {
                    return Err(format!("{name} of {class} is {seen:#x}, not {expected:#x}: {usage:?}"));
                }
            }
        }
        Ok(())
    }

    /// Reads everything and compares it.
    async fn compare_contents(&self) -> Outcome<()> {
        let ids: Vec<_> = self.model.borrow().objects.keys().copied().collect();
        for id in ids {
            let outcome = match id.kind() {
                Some(ObjectType::Mblock) => self.mblock_check(id).await?,
                Some(ObjectType::Mlog) => self.settle_log(id).await?,
                _ => self.slab_check(id).await?,
            };
            if outcome.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    async fn settle_log(&self, id: ObjectId) -> Outcome<()> {
        let Some(handle) = self.mlog_open(id).await? else { return Ok(None) };
        let Some(records) = self.mlog_records(&handle).await? else { return Ok(None) };
        self.model.borrow_mut().log(id)?.settle(&records).map_err(|what| format!("{id}: {what}"))?;
        self.mlog_close(handle).await
    }

    /// Deactivates the pool. What was not committed is gone then.
    ///
    /// # Errors
    /// A defect.
    pub async fn leave(self: Rc<Session>) -> Outcome<()> {
        self.call(|| "deactivate".to_owned());
        let name = self.pool().name().to_owned();
        let mut outcome = self.registry.deactivate(&name).await;
        for _ in 0..10 {
            if outcome.as_ref().is_err_and(|error| error.kind() == Kind::Busy) {
                // Handles that were dropped are being closed.
                self.host.sleep(Nanos(2_000_000_000)).await;
                outcome = self.registry.deactivate(&name).await;
            }
        }
        self.model.borrow_mut().crash();
        match outcome {
            Ok(()) => Ok(Some(())),
            Err(error) => self.refused("deactivating", &error),
        }
    }
}

fn root_log(object: &Object) -> ObjectModel {
    ObjectModel {
        class: object.class(),
        zones: object.extent().zones,
        standing: Standing::Committed,
        content: Content::Mlog(LogModel::default(), Possible::known(object.generation())),
    }
}

fn compare_object(object: &Object, expected: &mut ObjectModel) -> Result<(), String> {
    let id = object.id();
    expected.standing = Standing::Committed;
    let (zones, class, state) = (object.extent().zones, object.class(), object.state());
    if (zones, class, state) != (expected.zones, expected.class, ObjectState::Committed) {
        return Err(format!("{id} is {state:?} with {zones} zones in {class}, but the model says {expected:?}"));
    }
    match &mut expected.content {
        Content::Mblock(written) if object.written_bytes() != *written => {
            Err(format!("{id} has {} bytes written, not {written}", object.written_bytes()))
        }
        Content::Mlog(log, generation) => {
            let erased = generation.maybe.contains(&object.generation());
            generation.settle(&format!("the generation of {id}"), &object.generation())?;
            log.erasure_seen(erased);
            Ok(())
        }
        Content::Mblock(_) | Content::Slab(_) => Ok(()),
    }
}

/// No two objects share a zone, and none lies on the superblocks.
fn check_extents<'a>(objects: impl Iterator<Item = &'a Rc<Object>>) -> Result<(), String> {
    let mut owners = BTreeMap::new();
    for object in objects {
        let extent = object.extent();
        for zone in extent.first..extent.first + extent.zones {
            if zone == 0 {
                return Err(format!("{} lies on the superblocks", object.id()));
            }
            if let Some(other) = owners.insert((object.class(), zone), object.id()) {
                return Err(format!("zone {zone} of {} belongs to {other} and to {}", object.class(), object.id()));
            }
        }
    }
    Ok(())
}

fn object_pairs(
    model: &super::pool_model::PoolModel,
    usage: &Usage,
    class: MediaClass,
) -> Vec<(&'static str, u64, u64)> {
    let of = |kind| model.count(kind, Some(class));
    let ((mblocks, mblock_zones), (mlogs, mlog_zones)) = (of(ObjectType::Mblock), of(ObjectType::Mlog));
    let (slabs, slab_zones) = of(ObjectType::Slab);
    let objects = usage.objects;
    vec![
        ("number of mblocks", objects.mblocks, mblocks),
        ("bytes of mblocks", objects.mblock_allocated_bytes, mblock_zones * ZONE),
        ("bytes written to mblocks", objects.mblock_written_bytes, model.written(Some(class))),
        ("number of logs", objects.mlogs, mlogs),
        ("bytes of logs", objects.mlog_allocated_bytes, mlog_zones * ZONE),
        ("number of slab objects", objects.slabs, slabs),
        ("bytes of slab objects", objects.slab_allocated_bytes, slab_zones * ZONE),
    ]
}
