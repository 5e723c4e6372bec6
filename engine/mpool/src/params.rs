// SPDX-License-Identifier: BSD-3-Clause

//! The parameters of a pool: what a caller may give and change, what is kept on media, what is reported.
//!
//! Whatever a caller leaves out keeps its value: that of the pool or, when the pool is created, the default. The owner,
//! the group and the mode are recorded and nothing more: who may do what is decided by the access to the RPC socket.
//!
//! Differs from mpool: spare percentages given at creation and activation are honoured (defect 23).

use std::collections::BTreeMap;

use uuid::Uuid;

use super::error::{PoolError, Result};
use super::format::{Label, MpConfig};
use super::ids::{MediaClass, ObjectId};
use super::names;
use super::tunables::{KeptTunable, Tunables};

/// What a caller may ask for; the rest is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayoutWish {
    /// Zone size in MiB: a power of two from 1 to 64.
    pub zone_mib: Option<u32>,
    /// Capacity of each log of MDC0 in MiB. For tests.
    pub mdc0_log_mib: Option<u32>,
    /// Capacity of each log of the client containers in MiB. For tests.
    pub mdc_log_mib: Option<u32>,
    /// Client containers. For tests.
    pub containers: Option<usize>,
    /// Capacity of each root log, in bytes.
    pub root_log_bytes: Option<u64>,
}

/// Largest readahead in pages, and the default.
pub const MAX_READAHEAD_PAGES: u32 = 32;

/// Sizes that a map of mblocks may have, as the power of two of their bytes.
pub const MAP_SIZE_LOG2: core::ops::RangeInclusive<u32> = 27..=32;

/// The default of [`MAP_SIZE_LOG2`].
pub const DEFAULT_MAP_SIZE_LOG2: u32 = 30;

/// Owner of a new pool.
pub const DEFAULT_UID: u32 = 0;

/// Group of a new pool: disk.
pub const DEFAULT_GID: u32 = 6;

/// Mode of a new pool.
pub const DEFAULT_MODE: u32 = 0o660;

/// Label of a pool that was made for one client, which takes all of its space and tells by itself how much is left: the pool
/// is full from the start, and that is no news.
pub const OWN_LABEL: &str = "dedupe-volume";

/// Parameters to be changed. What is none stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParamChanges {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Mode, as of a file.
    pub mode: Option<u32>,
    /// Label. The empty one means "not given".
    pub label: Option<String>,
    /// What the user of the pool calls its kind. The null UUID means "not given".
    pub user_type: Option<Uuid>,
    /// Largest readahead in pages; 0 disables it, what is above [`MAX_READAHEAD_PAGES`] counts as that.
    pub readahead_pages: Option<u32>,
    /// Spare zones in percent, by [`MediaClass::index`].
    pub spare_percent: [Option<u8>; 2],
    /// Tunables.
    pub tunables: BTreeMap<KeptTunable, u64>,
}

/// Parameters of a pool to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateParams {
    /// Those that can be changed later.
    pub changes: ParamChanges,
    /// The division of the drive.
    pub layout: LayoutWish,
    /// Size of a map of mblocks, as the power of two of its bytes, within [`MAP_SIZE_LOG2`].
    pub map_size_log2: Option<u32>,
}

/// The parameters of an active pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolParams {
    /// Identity.
    pub uuid: Uuid,
    /// Name.
    pub name: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode, as of a file.
    pub mode: u32,
    /// Label.
    pub label: String,
    /// What the user of the pool calls its kind; the null UUID when it was not given.
    pub user_type: Uuid,
    /// Largest readahead in pages.
    pub readahead_pages: u32,
    /// Size of a map of mblocks, as the power of two of its bytes.
    pub map_size_log2: u32,
    /// Spare zones in percent, by [`MediaClass::index`]; none for a class without a drive.
    pub spare_percent: [Option<u8>; 2],
    /// Size of an mblock in MiB, by [`MediaClass::index`]; none for a class without a drive.
    pub mblock_mib: [Option<u64>; 2],
    /// Capacity that root logs are made with, in bytes.
    pub root_log_bytes: u64,
    /// The logs of the root MDC.
    pub root_logs: [ObjectId; 2],
    /// Client containers.
    pub containers: usize,
    /// Tunables that a pool can keep, as they are in force.
    pub tunables: Vec<(KeptTunable, u64)>,
}

impl ParamChanges {
    /// Checks everything before anything is done, and brings it into the form in which it is stored.
    ///
    /// # Errors
    /// NameTooLong: the label. Invalid: more than 100 % of spare zones, or a tunable that is not in its range.
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

    /// The stored configuration with these changes, which have been [checked](ParamChanges::checked).
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
