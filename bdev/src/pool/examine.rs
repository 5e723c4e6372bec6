// SPDX-License-Identifier: BSD-3-Clause

//! Examine: finds pools when their bdevs appear, activates them, and loads their volumes.
//!
//! Each unclaimed bdev is read when SPDK has it examined: at its registration, or on demand. If it holds a drive of a
//! pool, the pool's other drive is searched on the other bdevs, and the pool is activated when all its recorded drives
//! are there. Only MDC0, on the CAPACITY drive, records which these are. So activation is tried when the CAPACITY drive
//! is there; if the STAGING drive is missing then, activation is tried again when that appears.
//!
//! Only bdevs that were examined, or named by an operator, are used; if two hold the same drive, neither is.
//!
//! A pool that cannot be activated for any other reason is left alone; the log says why, and `mpool_activate` takes
//! more information.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::rc::Rc;

use mpool::management::activate::ActivateRequest;
use mpool::management::scan::{pools_among, ScannedDrive};
use mpool::{Kind, PoolError};
use uuid::Uuid;

use super::runtime::{self, Runtime};
use super::scan::{self, Chosen};
use crate::spdk::bdevs::{self, Claim};
use crate::spdk::{module, tasks};

/// The bdevs that examine is reading or has read.
#[derive(Debug, Default)]
pub struct Examinations {
    under_way: RefCell<Vec<String>>,
    /// Names of bdevs that were examined or named, with what distinguishes each from later bdevs of the same name.
    known: RefCell<Vec<(String, usize)>>,
    wakers: RefCell<Vec<Waker>>,
}

impl Examinations {
    /// Waits until examine is not reading a bdev.
    pub async fn done_with(&self, bdev: &str) {
        let name = bdevs::canonical(bdev);
        poll_fn(|context| {
            if !self.under_way.borrow().contains(&name) {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Records that pools may be taken from a bdev: it was examined, or named by an operator.
    pub fn note(&self, bdev: &str) {
        let mut known = self.known.borrow_mut();
        // Forgets bdevs that are gone: a bdev that comes back under the name is another one.
        known.retain(|(name, registration)| name != bdev && bdevs::registration(name) == Some(*registration));
        known.extend(bdevs::registration(bdev).map(|registration| (bdev.to_owned(), registration)));
    }

    /// True when a bdev was examined or named.
    pub fn knows(&self, bdev: &str) -> bool {
        let registration = bdevs::registration(bdev);
        self.known.borrow().iter().any(|(name, known)| name == bdev && Some(*known) == registration)
    }

    fn end(&self, bdev: &str) {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(index) = under_way.iter().position(|name| name == bdev) {
            under_way.swap_remove(index);
        }
        drop(under_way);
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

/// A bdev was registered, and nobody claimed it while its configuration was examined. On the application thread.
pub fn examine_disk(name: String) {
    let runtime = runtime::get().filter(|runtime| !runtime.service.is_finishing());
    let (Some(runtime), Some(Claim::None)) = (runtime, bdevs::claim_of(&name)) else {
        module::examined();
        return;
    };
    runtime.service.examinations.note(&name);
    runtime.service.examinations.under_way.borrow_mut().push(name.clone());
    tasks::spawn(async move {
        examine(&runtime, &name).await;
        runtime.service.examinations.end(&name);
        module::examined();
    });
}

async fn examine(runtime: &Rc<Runtime>, name: &str) {
    let names = [name.to_owned()];
    let Some(found) = scan::look_at(&names).await.into_iter().next() else { return };
    match found.drive {
        // The volumes are loaded before SPDK is told that the bdev is examined.
        Ok(drive) => {
            if activate(runtime, name, &drive).await {
                runtime.load_volumes(drive.pool).await;
            }
        }
        Err(error) if error.kind() == Kind::NoPool => {}
        Err(error) if error.kind() == Kind::UnknownSuperblock => log::warn!("{error}"),
        Err(error) => log::debug!("not examined further: {error}"),
    }
}

/// Activates the pool of a drive that has appeared, if all its drives are there. Returns whether it did.
async fn activate(runtime: &Rc<Runtime>, name: &str, drive: &ScannedDrive) -> bool {
    let _managing = runtime.service.manage().await;
    if bdevs::claim_of(name) != Some(Claim::None) {
        // Used in the meantime, for instance by a pool that is being created on it.
        return false;
    }
    if let Some(active) = runtime.service.registry().identified(drive.pool) {
        let own = active.pool().drives().into_iter().find(|own| own.descriptor().uuid == drive.drive.uuid);
        match own.and_then(|own| own.device().map(|device| device.properties().name)) {
            Some(own) => log::error!(
                "bdev '{name}' has the same drive as '{own}' of the active pool '{}': one is a copy of the other; \
                 mpool_import makes a pool of its own of the copy",
                drive.name
            ),
            None => log::warn!("drive '{name}' belongs to pool '{}', which is active without it", drive.name),
        }
        return false;
    }
    activate_if_complete(runtime, drive.pool, &drive.name).await
}

/// Looks for the drives of a pool that was closed because it had lost one, which may be back by now.
pub fn look_again(runtime: &Rc<Runtime>, uuid: Uuid, pool: String) {
    let runtime = Rc::clone(runtime);
    tasks::spawn(async move {
        let managing = runtime.service.manage().await;
        let gone = runtime.service.registry().identified(uuid).is_none() && !runtime.service.is_finishing();
        let activated = gone && activate_if_complete(&runtime, uuid, &pool).await;
        drop(managing);
        if activated {
            runtime.load_volumes(uuid).await;
        }
    });
}

/// Activates a pool if all its drives are there. Returns whether it did.
async fn activate_if_complete(runtime: &Rc<Runtime>, uuid: Uuid, pool: &str) -> bool {
    let found = pools_among(&scan::look_at_all().await).into_iter().find(|found| found.uuid == uuid);
    let Some(found) = found else { return false };
    let outcome = match scan::choose(&found, &runtime.service.examinations) {
        Ok(chosen) => try_all(runtime, pool, &chosen).await,
        Err(error) => Err(error),
    };
    match &outcome {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::NoDrive => log::info!("pool '{pool}' is not activated yet: {error}"),
        Err(error) => log::error!("pool '{pool}' is not activated: {error}"),
    }
    if let Err(error) = &outcome {
        if let Some((bdev, _)) = found.drives.iter().max_by_key(|(_, drive)| drive.has_mdc0) {
            runtime.service.inactive.note(uuid, pool, bdev, error);
        }
    }
    outcome.is_ok()
}

/// Tries the drive with MDC0 together with each of the others; leaves out those that are no members.
async fn try_all(runtime: &Rc<Runtime>, pool: &str, chosen: &Chosen) -> Result<(), PoolError> {
    for other in &chosen.others {
        match try_to_activate(runtime, vec![chosen.capacity.clone(), other.clone()]).await {
            Err(error) if error.kind() == Kind::NotMember => {
                log::warn!("pool '{pool}': drive '{other}' is left out: {error}");
            }
            outcome => return outcome,
        }
    }
    try_to_activate(runtime, vec![chosen.capacity.clone()]).await
}

async fn try_to_activate(runtime: &Rc<Runtime>, paths: Vec<String>) -> Result<(), PoolError> {
    let request = ActivateRequest { paths, ..ActivateRequest::default() };
    runtime.service.registry().activate(&request).await.map(drop)
}
