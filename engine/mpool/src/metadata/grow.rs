// SPDX-License-Identifier: BSD-3-Clause

//! Adds metadata containers, and the root MDC's logs.
//!
//! A container is two logs described in MDC0. A power cut between their two creations leaves half a pair, which the
//! next activation removes.

use std::rc::Rc;

use super::allocate::Wish;
use super::object::Object;
use crate::error::{Kind, PoolError, Result};
use crate::host::Level;
use crate::ids::{MediaClass, ObjectId, ObjectType, Slot, SLOTS};
use crate::Pool;

impl Pool {
    /// Ensures that there are `clients` client containers, as far as there is room. A failure is logged; only failing
    /// to make the first is an error.
    pub(crate) async fn ensure_containers(&self, clients: usize) -> Result<()> {
        let _set = self.activation.exclusive().await;
        while self.container_count.get() <= clients.min(SLOTS - 1) {
            let made = self.add_container().await;
            let Err(error) = made else { continue };
            let have = self.container_count.get() - 1;
            if have == 0 {
                return Err(error.while_doing("making the first client container"));
            }
            // This is tried in each period, but logged once.
            if !self.growth_refused.replace(true) {
                self.log(Level::Warning, format!("it has {have} of {clients} client containers: {error}"));
            }
            return Ok(());
        }
        self.growth_refused.set(false);
        Ok(())
    }

    /// Adds one container. The activation lock must be held.
    ///
    /// # Errors
    /// NoSpace: 255 exist, or there are not enough zones; Io.
    pub(super) async fn add_container(&self) -> Result<()> {
        let number = self.container_count.get();
        if number >= SLOTS {
            return Err(PoolError::new(Kind::NoSpace, self.subject(), "255 client containers are the most"));
        }
        let slot = Slot(number as u8);
        let mut logs = Vec::with_capacity(2);
        for id in ObjectId::mdc_logs(slot) {
            match self.new_container_log(id).await {
                Ok(log) => logs.push(log),
                Err(error) => {
                    self.take_back(&logs);
                    return Err(error);
                }
            }
        }
        for log in &logs {
            let committed = {
                let _changing = log.lock().exclusive().await;
                self.commit_object(log).await
            };
            if let Err(error) = committed {
                self.take_back(&logs);
                return Err(error);
            }
        }
        let mdc = self.open_pair(slot).await?;
        let container = self.container(slot);
        *container.mdc.borrow_mut() = Some(mdc);
        self.log_version(container).await?;
        self.container_count.set(number + 1);
        Ok(())
    }

    /// Allocates and discards a log of a container, unless a failed attempt has left one. MDC0 describes the log once
    /// it is committed.
    async fn new_container_log(&self, id: ObjectId) -> Result<Rc<Object>> {
        let mdc0 = self.container(Slot::ZERO);
        if let Some(left) = mdc0.committed(id) {
            return Ok(left);
        }
        let class = MediaClass::Capacity;
        let wish = Wish { kind: ObjectType::Mlog, class, zones: self.mdc_log_zones.get().max(1), spare: false };
        let log = self.place(id, wish, self.drive_of(class)?).await?;
        mdc0.insert(Rc::clone(&log));
        if let Err(error) = log.drive().erase(log.extent(), true).await {
            self.take_back(&[log]);
            return Err(error);
        }
        Ok(log)
    }

    /// Frees uncommitted logs. Committed ones are used by the next attempt, or removed by the next activation.
    fn take_back(&self, logs: &[Rc<Object>]) {
        for log in logs.iter().filter(|log| log.state() == super::ObjectState::Uncommitted) {
            let mdc0 = self.container(Slot::ZERO);
            mdc0.remove(log);
            self.release_zones(mdc0, Rc::clone(log));
        }
    }

    /// Ensures that the root MDC's two logs exist.
    ///
    /// # Errors
    /// NoSpace; Io.
    pub(crate) async fn ensure_root_logs(&self) -> Result<()> {
        let capacity = self.config().mdc_capacity_bytes;
        for id in ObjectId::ROOT_LOGS {
            let Some(container) = self.client_container(id.slot()) else {
                return Err(PoolError::new(Kind::NotFound, self.subject(), "there is no container for the root logs"));
            };
            if container.committed(id).is_none() {
                if container.uncommitted(id).is_none() {
                    self.mlog_realloc(id, MediaClass::Capacity, capacity).await?;
                }
                self.mlog_commit(id).await?;
            }
        }
        Ok(())
    }
}
