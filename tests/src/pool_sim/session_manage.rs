// SPDX-License-Identifier: BSD-3-Clause

//! Operations on whole pools, told to the model.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::management::create::CreateRequest;
use mpool::management::destroy::DestroyRequest;
use mpool::management::drive_add::DriveAddRequest;
use mpool::management::rename::RenameRequest;
use mpool::params::{CreateParams, LayoutWish, ParamChanges};
use mpool::registry::Registry;
use mpool::testing::{Random, SimHost};
use mpool::{DeviceProperties, Kind, MediaClass};

use super::pool_model::Possible;
use super::revive::{registry, zones_of, CAPACITY, CONTAINERS, STAGING, ZONE};
use super::session::{is_fault, Outcome, Session, SharedModel};

/// Spare zones of new pools, in percent.
const SPARE: u8 = 10;

/// How pools are divided here: all as small as can be, so that everything runs full soon.
#[must_use]
pub fn small_layout() -> LayoutWish {
    LayoutWish {
        zone_mib: Some(1),
        mdc0_log_mib: Some(1),
        mdc_log_mib: Some(1),
        containers: Some(CONTAINERS),
        root_log_bytes: Some(ZONE),
    }
}

fn disk(host: &SimHost, name: &str) -> Option<DeviceProperties> {
    let machine = host.machine().borrow();
    let found = machine.disks.iter().find(|disk| disk.properties.name == name);
    found.map(|disk| disk.properties.clone())
}

/// Creates a pool.
///
/// # Errors
/// A defect.
pub async fn create(host: &Rc<SimHost>, model: &SharedModel, seed: u64, force: bool) -> Outcome<Rc<Session>> {
    create_in(registry(host), host, model, seed, force).await
}

/// Creates a pool by a registry with a format of its own.
///
/// # Errors
/// A defect.
pub async fn create_in(
    registry: Rc<Registry>,
    host: &Rc<SimHost>,
    model: &SharedModel,
    seed: u64,
    force: bool,
) -> Outcome<Rc<Session>> {
    let changes =
        ParamChanges { label: Some("first".to_owned()), spare_percent: [None, Some(SPARE)], ..ParamChanges::default() };
    let request = CreateRequest {
        name: "pool".to_owned(),
        capacity: CAPACITY.to_owned(),
        params: CreateParams { changes, layout: small_layout(), map_size_log2: None },
        force,
        ..CreateRequest::default()
    };
    host.trace(|| "call: create".to_owned());
    {
        let mut model = model.borrow_mut();
        model.objects.clear();
        model.issued.clear();
        model.containers = 0;
        model.exists.begin(true);
        model.name = Possible::known("pool".to_owned());
        model.label = Possible::known("first".to_owned());
        model.spare = [Possible::known(0), Possible::known(SPARE)];
        model.staging = Possible::known(false);
        let bytes = disk(host, CAPACITY).map_or(0, |properties| properties.bytes);
        model.zones[MediaClass::Capacity.index()] = Possible::known(zones_of(bytes));
    }
    match registry.create(&request).await {
        Ok(active) => {
            model.borrow_mut().exists.done();
            let random = RefCell::new(Random::stream(seed, 0x63));
            let (host, model) = (Rc::clone(host), Rc::clone(model));
            let session = Session { host, registry, active, model, random, calls: Rc::default() };
            session.adopt_root_logs();
            Ok(Some(Rc::new(session)))
        }
        Err(error) if is_fault(host, &error) => Ok(None),
        Err(error) => Err(format!("the pool cannot be created: {error}")),
    }
}

/// Renames the inactive pool.
///
/// # Errors
/// A defect.
pub async fn rename(host: &Rc<SimHost>, model: &SharedModel, name: &str) -> Outcome<()> {
    host.trace(|| format!("call: rename to {name}"));
    let registry = registry(host);
    let staging = model.borrow().staging.sure;
    let mut paths = vec![CAPACITY.to_owned()];
    paths.extend(staging.then(|| STAGING.to_owned()));
    model.borrow_mut().name.begin(name.to_owned());
    match registry.rename(&RenameRequest { paths, name: name.to_owned(), current: None }).await {
        Ok(()) => {
            model.borrow_mut().name.done();
            Ok(Some(()))
        }
        Err(error) if is_fault(host, &error) => Ok(None),
        Err(error) => Err(format!("the pool cannot be renamed: {error}")),
    }
}

/// Destroys the inactive pool.
///
/// # Errors
/// A defect.
pub async fn destroy(host: &Rc<SimHost>, model: &SharedModel) -> Outcome<()> {
    host.trace(|| "call: destroy".to_owned());
    let registry = registry(host);
    let staging = model.borrow().staging.sure;
    let mut paths = vec![CAPACITY.to_owned()];
    paths.extend(staging.then(|| STAGING.to_owned()));
    model.borrow_mut().exists.begin(false);
    match registry.destroy(&DestroyRequest { name: None, paths, force: false }).await {
        Ok(()) => {
            model.borrow_mut().exists.done();
            Ok(Some(()))
        }
        Err(error) if is_fault(host, &error) => Ok(None),
        Err(error) => Err(format!("the pool cannot be destroyed: {error}")),
    }
}

impl Session {
    /// Changes the label.
    ///
    /// # Errors
    /// A defect.
    pub async fn set_label(&self, label: &str) -> Outcome<()> {
        self.call(|| format!("label {label}"));
        self.model.borrow_mut().label.begin(label.to_owned());
        let changes = ParamChanges { label: Some(label.to_owned()), ..ParamChanges::default() };
        match self.registry.set_params(self.pool().name(), &changes).await {
            Ok(params) if params.label == label => {
                self.model.borrow_mut().label.done();
                Ok(Some(()))
            }
            Ok(params) => Err(format!("the label was set to {label}, but is {}", params.label)),
            Err(error) => self.refused("setting the label", &error),
        }
    }

    /// Changes the spare percentage of CAPACITY.
    ///
    /// # Errors
    /// A defect.
    pub async fn set_spare(&self, percent: u8) -> Outcome<()> {
        self.call(|| format!("spare {percent} %"));
        let at = MediaClass::Capacity.index();
        self.model.borrow_mut().spare[at].begin(percent);
        let changes = ParamChanges { spare_percent: [None, Some(percent)], ..ParamChanges::default() };
        match self.registry.set_params(self.pool().name(), &changes).await {
            Ok(_) => {
                self.model.borrow_mut().spare[at].done();
                Ok(Some(()))
            }
            Err(error) => self.refused("setting the spare percentage", &error),
        }
    }

    /// Adds the drive for STAGING.
    ///
    /// # Errors
    /// A defect.
    pub async fn add_staging(&self) -> Outcome<()> {
        self.call(|| "add the STAGING drive".to_owned());
        let tried = {
            let mut model = self.model.borrow_mut();
            model.staging.begin(true);
            let bytes = disk(&self.host, STAGING).map_or(0, |properties| properties.bytes);
            model.zones[MediaClass::Staging.index()] = Possible::known(zones_of(bytes));
            model.spare[MediaClass::Staging.index()] = Possible::known(SPARE);
            std::mem::replace(&mut model.staging_tried, true)
        };
        let request = DriveAddRequest {
            pool: self.pool().name().to_owned(),
            path: STAGING.to_owned(),
            class: MediaClass::Staging,
            zone_mib: Some(1),
            spare_percent: Some(SPARE),
            // What is on a new disk is drawn, and may look like anything.
            force: true,
        };
        match self.registry.drive_add(&request).await {
            Ok(()) => {
                self.model.borrow_mut().staging.done();
                Ok(Some(()))
            }
            Err(error) if tried && error.kind() == Kind::Busy => Ok(None),
            Err(error) => self.refused("adding a drive", &error),
        }
    }
}
