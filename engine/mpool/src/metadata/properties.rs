// SPDX-License-Identifier: BSD-3-Clause

//! The pool's properties in MDC0: drives, spare percentages, configuration, tunables, content version.
//!
//! Each change is logged under MDC0's compaction lock before memory changes (defect 14).
//!
//! Differs from mpool: a spare percentage of a class without a drive is not an error but ignored. A power cut leaves it
//! when it interrupts a creation or the addition of a drive.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::container::Container;
use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{ContentVersion, DriveDescriptor, MpConfig, Record};
use crate::ids::{MediaClass, Slot};
use crate::tunables::KeptTunable;
use crate::Pool;

/// The pool's properties in MDC0.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The last description of each class's drive.
    pub drives: [Option<DriveDescriptor>; 2],
    /// The last spare percentage of each class.
    pub spares: [Option<u8>; 2],
    /// The version of the content.
    pub version: ContentVersion,
    /// The configuration, if one was stored.
    pub config: Option<MpConfig>,
    /// The tunables stored in the pool.
    pub tunables: BTreeMap<KeptTunable, u64>,
}

impl Pool {
    /// Opens MDC0 and reads the properties, ignoring objects: the first pass over MDC0.
    ///
    /// # Errors
    /// MDC0 is corrupt or of a newer version; Io.
    pub(crate) async fn load_properties(&self) -> Result<Recorded> {
        self.container(Slot::ZERO).unread.set(true);
        let mdc = self.open_pair(Slot::ZERO).await?;
        *self.container(Slot::ZERO).mdc.borrow_mut() = Some(mdc);
        let mut recorded = Recorded {
            drives: [None; 2],
            spares: [None; 2],
            version: ContentVersion::ORIGINAL,
            config: None,
            tunables: BTreeMap::new(),
        };
        self.read_records(self.container(Slot::ZERO), |record| {
            match *record {
                Record::McConfig(drive) => recorded.drives[drive.class.index()] = Some(drive),
                Record::McSpare { class, percent } => recorded.spares[class.index()] = Some(percent),
                Record::Version(version) => recorded.version = version,
                Record::MpConfig(ref config) => recorded.config = Some(config.clone()),
                Record::Tunable { tunable, value } => {
                    recorded.tunables.insert(tunable, value);
                }
                _ => {}
            }
            Ok(())
        })
        .await?;
        if let Some(config) = &recorded.config {
            *self.config.borrow_mut() = config.clone();
        }
        self.container(Slot::ZERO).version.set(recorded.version);
        self.tune(&recorded.tunables)?;
        Ok(recorded)
    }

    /// Opens MDC0 of a pool that is being created: an empty pair, which gets its markers and its version.
    ///
    /// # Errors
    /// Io.
    pub(crate) async fn open_fresh_mdc0(&self) -> Result<()> {
        let mdc = self.open_pair(Slot::ZERO).await?;
        let container = self.container(Slot::ZERO);
        *container.mdc.borrow_mut() = Some(mdc);
        self.container_count.set(1);
        self.log_version(container).await
    }

    /// Writes the version record, the first of a container's content, unless the version is the original.
    pub(super) async fn log_version(&self, container: &Container) -> Result<()> {
        let _rest = container.compaction.exclusive().await;
        let version = self.content_version();
        if version.is_recorded() {
            self.append_record(container, &Record::Version(version)).await?;
        }
        container.version.set(version);
        Ok(())
    }

    /// Records a drive and then adds it: from here on it is a member. Its spare percentage is recorded first, so that a
    /// power cut leaves a member with the right one, or no member.
    ///
    /// # Errors
    /// Invalid: more than 100 percent. Io: the drive is no member.
    pub(crate) async fn log_new_drive(&self, drive: Rc<Drive>, spare_percent: Option<u8>) -> Result<()> {
        let class = drive.class();
        let percent = spare_percent.unwrap_or(self.spare_percent(class));
        drive.space().borrow_mut().set_spare_percent(percent)?;
        let container = self.container(Slot::ZERO);
        let _rest = container.compaction.exclusive().await;
        let records = [Record::McSpare { class, percent }, Record::McConfig(drive.descriptor())];
        self.append_records(container, &records).await?;
        self.note_spare_percent(class, percent);
        self.publish_drive(drive);
        Ok(())
    }

    /// Records the changed description of a member.
    ///
    /// # Errors
    /// Io.
    pub(crate) async fn log_drive(&self, descriptor: &DriveDescriptor) -> Result<()> {
        let container = self.container(Slot::ZERO);
        let _rest = container.compaction.exclusive().await;
        self.append_record(container, &Record::McConfig(*descriptor)).await
    }

    /// Changes the spare percentage of a class.
    ///
    /// # Errors
    /// NotFound: the class has no drive. Invalid: more than 100. Io: nothing has changed.
    pub(crate) async fn log_spare(&self, class: MediaClass, percent: u8) -> Result<()> {
        let drive = self.drive_of(class)?;
        if percent > 100 {
            return Err(PoolError::invalid(
                self.subject(),
                format!("{percent}% of spare zones; at most 100 are possible"),
            ));
        }
        let container = self.container(Slot::ZERO);
        let _rest = container.compaction.exclusive().await;
        self.append_record(container, &Record::McSpare { class, percent }).await?;
        self.note_spare_percent(class, percent);
        let changed = drive.space().borrow_mut().set_spare_percent(percent);
        changed
    }

    /// Changes the stored configuration.
    ///
    /// # Errors
    /// Io: nothing has changed.
    pub(crate) async fn log_config(&self, config: MpConfig) -> Result<()> {
        let container = self.container(Slot::ZERO);
        let _rest = container.compaction.exclusive().await;
        self.append_record(container, &Record::MpConfig(config.clone())).await?;
        if let Some(maps) = self.maps.get() {
            maps.set_readahead_pages(config.readahead_pages);
        }
        *self.config.borrow_mut() = config;
        Ok(())
    }

    /// Stores tunables in this pool and applies them; after a power cut all of them, or the first few, are stored.
    ///
    /// # Errors
    /// Invalid: a value is out of range. NotSupported: the pool's format has no tunables. Io: nothing has changed.
    pub(crate) async fn log_tunables(&self, wanted: &BTreeMap<KeptTunable, u64>) -> Result<()> {
        if self.content_version() < ContentVersion::TUNABLES {
            let reason = format!("tunables are kept since version {} of its content", ContentVersion::TUNABLES);
            return Err(PoolError::new(Kind::NotSupported, self.subject(), reason));
        }
        let container = self.container(Slot::ZERO);
        let _rest = container.compaction.exclusive().await;
        let records: Vec<_> = wanted.iter().map(|(&tunable, &value)| Record::Tunable { tunable, value }).collect();
        self.append_records(container, &records).await?;
        self.tune(wanted)
    }

    /// Applies tunables of this pool, as far as that is possible while it is active: the budget of the cache and the
    /// number of containers loaded together apply from the next activation on, periods from their next start.
    fn tune(&self, wanted: &BTreeMap<KeptTunable, u64>) -> Result<()> {
        let mut tunables = self.tunables.borrow().clone();
        for (&tunable, &value) in wanted {
            tunables.set(tunable, value)?;
        }
        for drive in self.drives() {
            drive.set_chunk_bytes(tunables.chunk_kib() as usize * 1024);
        }
        if let Some(maps) = self.maps.get() {
            maps.set_reaper(tunables.reaper);
            maps.set_most(tunables.maps_max());
        }
        self.kept_tunables.borrow_mut().extend(wanted);
        *self.tunables.borrow_mut() = tunables;
        Ok(())
    }
}
