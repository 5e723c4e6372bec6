// SPDX-License-Identifier: BSD-3-Clause

//! Reads and changes the parameters of an active pool: mpool's PARAMS_GET and PARAMS_SET.

use std::collections::BTreeMap;

use super::layout::MIB;
use crate::error::{Kind, Result};
use crate::ids::MediaClass;
use crate::params::{ParamChanges, PoolParams};
use crate::registry::Registry;
use crate::tunables::KeptTunable;
use crate::Pool;

impl Registry {
    /// Changes and stores parameters of an active pool, given by its name or its UUID as text. Returns all parameters.
    ///
    /// # Errors
    /// NotMember: no such active pool. Invalid, NameTooLong: a parameter; nothing has changed. Io: the configuration, a
    /// spare percentage or tunables have not changed.
    pub async fn set_params(&self, name_or_uuid: &str, changes: &ParamChanges) -> Result<PoolParams> {
        self.alone(async {
            let (active, changes) = (self.find(name_or_uuid)?, changes.checked()?);
            active.pool().change_params(&changes).await?;
            Ok(active.pool().params())
        })
        .await
    }

    /// The parameters of an active pool.
    ///
    /// # Errors
    /// NotMember: no such active pool.
    pub fn get_params(&self, name_or_uuid: &str) -> Result<PoolParams> {
        Ok(self.find(name_or_uuid)?.pool().params())
    }
}

impl Pool {
    /// Stores checked changes, as far as they differ from the present values. A spare percentage for a class without a
    /// drive is ignored.
    pub(super) async fn change_params(&self, changes: &ParamChanges) -> Result<()> {
        let wanted = changes.applied_to(&self.config())?;
        if wanted != self.config() {
            self.log_config(wanted).await?;
        }
        for class in MediaClass::ALL {
            let Some(percent) = changes.spare_percent[class.index()] else { continue };
            if percent != self.spare_percent(class) {
                match self.log_spare(class, percent).await {
                    Err(error) if error.kind() == Kind::NotFound => {}
                    other => other?,
                }
            }
        }
        let kept = self.kept_tunables.borrow().clone();
        let is_new = |(tunable, value): &(KeptTunable, u64)| kept.get(tunable) != Some(value);
        let wanted = changes.tunables.iter().map(|(&tunable, &value)| (tunable, value));
        let new: BTreeMap<_, _> = wanted.filter(is_new).collect();
        if !new.is_empty() {
            self.log_tunables(&new).await?;
        }
        Ok(())
    }

    /// All parameters, as they are in force.
    #[must_use]
    pub fn params(&self) -> PoolParams {
        let config = self.config();
        let mut spare_percent = [None; 2];
        let mut mblock_mib = [None; 2];
        for drive in self.drives() {
            spare_percent[drive.class().index()] = Some(self.spare_percent(drive.class()));
            mblock_mib[drive.class().index()] = Some(drive.zone_bytes() / MIB);
        }
        PoolParams {
            uuid: self.uuid(),
            name: self.name().to_owned(),
            uid: config.uid,
            gid: config.gid,
            mode: config.mode,
            label: config.label.as_str().to_owned(),
            user_type: config.user_type,
            readahead_pages: config.readahead_pages,
            map_size_log2: config.map_bytes_shift,
            spare_percent,
            mblock_mib,
            root_log_bytes: config.mdc_capacity_bytes,
            root_logs: config.root_logs,
            containers: self.container_count().saturating_sub(1),
            tunables: KeptTunable::all().map(|tunable| (tunable, self.tunables.borrow().get(tunable))).collect(),
        }
    }
}
