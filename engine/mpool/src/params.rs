// SPDX-License-Identifier: BSD-3-Clause

//! The parameters of a pool: those that a caller may give and change, those stored on media, those reported.
//!
//! A parameter that the caller omits keeps the pool's value or, at creation, gets the default. Owner, group and mode
//! are only recorded: access to the RPC socket decides who may do what.
//!
//! Differs from mpool: spare percentages given at creation and activation are honoured (defect 23).

use std::collections::BTreeMap;

use uuid::Uuid;

use super::error::{PoolError, Result};
use super::format::{Label, MpConfig};
use super::ids::{MediaClass, ObjectId};
use super::names;
use super::tunables::{KeptTunable, Tunables};

/// The sizes that a caller may choose; the others follow from the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayoutWish {
    /// The zone size in MiB: a power of two from 1 to 64.
    pub zone_mib: Option<u32>,
    /// The capacity of each log of MDC0 in MiB. For tests.
    pub mdc0_log_mib: Option<u32>,
    /// The capacity of each log of the client containers in MiB. For tests.
    pub mdc_log_mib: Option<u32>,
    /// The number of client containers. For tests.
    pub containers: Option<usize>,
    /// The capacity of each root log, in bytes.
    pub root_log_bytes: Option<u64>,
}

/// The largest readahead in pages, and the default.
pub const MAX_READAHEAD_PAGES: u32 = 32;

/// The sizes that a map of mblocks may have, as the power of two of their bytes.
pub const MAP_SIZE_LOG2: core::ops::RangeInclusive<u32> = 27..=32;

/// The default within [`MAP_SIZE_LOG2`].
pub const DEFAULT_MAP_SIZE_LOG2: u32 = 30;

/// The owner of a new pool.
pub const DEFAULT_UID: u32 = 0;

/// The group of a new pool: disk.
pub const DEFAULT_GID: u32 = 6;

/// The mode of a new pool.
pub const DEFAULT_MODE: u32 = 0o660;

/// The label of a pool that was made for one client, which takes all of its space and itself reports how much is left:
/// the pool is full from the start, so its usage is not logged.
pub const OWN_LABEL: &str = "dedupe-volume";

/// Changes of parameters. A parameter that is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParamChanges {
    /// The user id of the owner.
    pub uid: Option<u32>,
    /// The group id of the owner.
    pub gid: Option<u32>,
    /// The mode, as of a file.
    pub mode: Option<u32>,
    /// The label. An empty one means "not given".
    pub label: Option<String>,
    /// The user's UUID for the kind of content in the pool. The nil UUID means "not given".
    pub user_type: Option<Uuid>,
    /// The largest readahead in pages; 0 disables it, values above [`MAX_READAHEAD_PAGES`] are reduced to that.
    pub readahead_pages: Option<u32>,
    /// The percentages of spare zones, by [`MediaClass::index`].
    pub spare_percent: [Option<u8>; 2],
    /// The tunables to set.
    pub tunables: BTreeMap<KeptTunable, u64>,
}

/// The parameters of a pool to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateParams {
    /// Those that can be changed later.
    pub changes: ParamChanges,
    /// The division of the drive.
    pub layout: LayoutWish,
    /// The size of a map of mblocks, as the power of two of its bytes, within [`MAP_SIZE_LOG2`].
    pub map_size_log2: Option<u32>,
}

/// The parameters of an active pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolParams {
    /// The UUID of the pool.
    pub uuid: Uuid,
    /// The name of the pool.
    pub name: String,
    /// The user id of the owner.
    pub uid: u32,
    /// The group id of the owner.
    pub gid: u32,
    /// The mode, as of a file.
    pub mode: u32,
    /// The label of the pool.
    pub label: String,
    /// The user's UUID for the kind of content in the pool; nil when it was not given.
    pub user_type: Uuid,
    /// The largest readahead in pages.
    pub readahead_pages: u32,
    /// The size of a map of mblocks, as the power of two of its bytes.
    pub map_size_log2: u32,
    /// The percentages of spare zones, by [`MediaClass::index`]; none for a class without a drive.
    pub spare_percent: [Option<u8>; 2],
    /// The sizes of an mblock in MiB, by [`MediaClass::index`]; none for a class without a drive.
    pub mblock_mib: [Option<u64>; 2],
    /// The capacity with which root logs are made, in bytes.
    pub root_log_bytes: u64,
    /// The ids of the root MDC's logs.
    pub root_logs: [ObjectId; 2],
    /// The number of client containers.
    pub containers: usize,
    /// The tunables that a pool can store, as they are in force.
    pub tunables: Vec<(KeptTunable, u64)>,
}

impl ParamChanges {
    /// Checks all changes before anything is done, and converts them to the stored form.
    ///
    /// # Errors
    /// NameTooLong: the label. Invalid: more than 100 % of spare zones, or a tunable out of its range.
    pub fn checked(&self) -> Result<ParamChanges> {
        for class in MediaClass::ALL {
            if let Some(percent) = self.spare_percent[class.index()].filter(|percent| *percent > 100) {
                let reason = format!("{percent} % of spare zones; 0 to 100 are possible");
                return Err(PoolError::invalid(format!("parameter 'spare' of {class}"), reason));
            }
        }
        let mut tried = Tunables::default();
        self.tunables.iter().try_for_each(|(&tunable, &value)| tried.set(tunable, value))?;
        let label = self.label.as_deref().map(names::label).transpose()?.flatten();
        let user_type = self.user_type.filter(|user_type| !user_type.is_nil());
        let readahead_pages = self.readahead_pages.map(|pages| pages.min(MAX_READAHEAD_PAGES));
        Ok(ParamChanges { label, user_type, readahead_pages, ..self.clone() })
    }

    /// The stored configuration with these changes, which must have been [checked](ParamChanges::checked).
    ///
    /// # Errors
    /// The label does not fit its field.
    pub fn applied_to(&self, config: &MpConfig) -> Result<MpConfig> {
        let label = match &self.label {
            Some(label) => stored_label(label)?,
            None => config.label,
        };
        Ok(MpConfig {
            uid: self.uid.unwrap_or(config.uid),
            gid: self.gid.unwrap_or(config.gid),
            mode: self.mode.unwrap_or(config.mode),
            user_type: self.user_type.unwrap_or(config.user_type),
            readahead_pages: self.readahead_pages.unwrap_or(config.readahead_pages),
            label,
            ..config.clone()
        })
    }
}

impl CreateParams {
    /// The configuration that the new pool stores, with root logs of `root_log_bytes`.
    ///
    /// # Errors
    /// NameTooLong or Invalid: a parameter out of its range.
    pub fn config(&self, root_log_bytes: u64) -> Result<MpConfig> {
        let changes = self.changes.checked()?;
        let map_size_log2 = self.map_size_log2.unwrap_or(DEFAULT_MAP_SIZE_LOG2);
        if !MAP_SIZE_LOG2.contains(&map_size_log2) {
            let (least, most) = (MAP_SIZE_LOG2.start(), MAP_SIZE_LOG2.end());
            let reason = format!("2^{map_size_log2} bytes; 2^{least} to 2^{most} are possible");
            return Err(PoolError::invalid("parameter 'map size'", reason));
        }
        changes.applied_to(&MpConfig {
            root_logs: ObjectId::ROOT_LOGS,
            uid: DEFAULT_UID,
            gid: DEFAULT_GID,
            mode: DEFAULT_MODE,
            mdc_capacity_bytes: root_log_bytes,
            readahead_pages: MAX_READAHEAD_PAGES,
            map_bytes_shift: map_size_log2,
            user_type: Uuid::nil(),
            label: stored_label(names::DEFAULT_LABEL)?,
        })
    }
}

fn stored_label(label: &str) -> Result<Label> {
    Label::new(label).map_err(|error| PoolError::invalid("parameter 'label'", error.to_string()))
}
