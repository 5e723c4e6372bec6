// SPDX-License-Identifier: BSD-3-Clause

//! Short scripts, each about one operation, to be cut at every one of their I/Os.
//!
//! A script begins with what its preparation left, and runs in one life from the activation on. A device that fails by
//! plan ends it early.

use std::rc::Rc;

use mpool::format::MediaFormat;
use mpool::testing::{drawn_disk, Random, SimHost};
use mpool::units::Nanos;
use mpool::{DeviceProperties, Host, MediaClass, ObjectId, ObjectType, PAGE_BYTES};

use super::pool_model::Standing;
use super::revive::{registry_in, revive, Found, CAPACITY, STAGING, ZONE};
use super::session::{Session, SharedModel};
use super::session_manage::{create, create_in, destroy, rename};
use super::wander::wander;

/// What a call yields; when it was refused for a good reason, the script is over.
macro_rules! done {
    ($call:expr) => {
        match $call.await? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

/// What a script is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Creation on an empty disk.
    Create,
    /// Activation of a pool with objects, and deactivation.
    Activate,
    /// An mblock is allocated, written, committed and read.
    MblockCommit,
    /// Mblocks are aborted and deleted, and their zones used again.
    MblockDelete,
    /// A log is allocated, committed, appended to, flushed and closed.
    MlogAppend,
    /// A log is erased, used again, and deleted.
    MlogErase,
    /// A slab object is allocated, committed, written, flushed and deleted.
    Slab,
    /// A container that is full is compacted by the commit that finds it full.
    InlineCompaction,
    /// Containers that are nearly full are compacted in the background.
    BackgroundCompaction,
    /// MDC0 is compacted.
    RootCompaction,
    /// The STAGING drive joins and is used.
    DriveAdd,
    /// The inactive pool is renamed.
    Rename,
    /// Label and spare percentage are changed.
    SetParams,
    /// The disk has grown, and the pool takes it in at activation.
    Resize,
    /// A pool of the original format is brought to this software's at activation.
    Upgrade,
    /// The inactive pool is destroyed and a new one created.
    Destroy,
    /// Several tasks use the pool in all ways.
    Mixture,
}

impl Script {
    /// All of them.
    pub const ALL: [Script; 17] = [
        Script::Create,
        Script::Activate,
        Script::MblockCommit,
        Script::MblockDelete,
        Script::MlogAppend,
        Script::MlogErase,
        Script::Slab,
        Script::InlineCompaction,
        Script::BackgroundCompaction,
        Script::RootCompaction,
        Script::DriveAdd,
        Script::Rename,
        Script::SetParams,
        Script::Resize,
        Script::Upgrade,
        Script::Destroy,
        Script::Mixture,
    ];

    /// The disks that it runs on: CAPACITY, STAGING.
    pub fn disks(self, random: &mut Random) -> [DeviceProperties; 2] {
        let mut disks = [drawn_disk(CAPACITY, 48 * ZONE, random), drawn_disk(STAGING, 16 * ZONE, random)];
        if matches!(self, Script::InlineCompaction | Script::BackgroundCompaction | Script::RootCompaction) {
            // Each record takes a block of its own, so that a container is full soon.
            disks[0].sector_bytes = 4096;
            disks[0].atomic_write = 512;
            disks[0].discard_granularity = 4096;
        }
        disks
    }

    /// True when the pool is activated with the permission to rewrite superblocks.
    #[must_use]
    pub fn converts(self) -> bool {
        matches!(self, Script::Resize | Script::Upgrade)
    }

    /// Makes what the script begins with.
    ///
    /// # Errors
    /// A defect.
    pub async fn prepare(self, host: Rc<SimHost>, model: SharedModel, seed: u64) -> Result<(), String> {
        if self == Script::Create {
            return Ok(());
        }
        let format = if self == Script::Upgrade { MediaFormat::ORIGINAL } else { MediaFormat::CURRENT };
        let created = create_in(registry_in(&host, format), &host, &model, seed, false).await?;
        let session = created.ok_or("nothing fails here")?;
        session.check_usage(false)?;
        match self {
            Script::Upgrade => {
                for _ in 0..3 {
                    commit_mblock(&session).await?;
                    append_to_log(&session).await?;
                }
            }
            Script::InlineCompaction => fill_containers(&session, 244).await?,
            Script::BackgroundCompaction => fill_containers(&session, 190).await?,
            Script::RootCompaction => {
                for round in 0..244 {
                    session.set_label(&format!("label_{round}")).await?;
                }
            }
            Script::Rename | Script::Destroy => {
                session.add_staging().await?;
            }
            _ => {}
        }
        if matches!(self, Script::Activate | Script::MblockDelete | Script::Mixture | Script::Rename) {
            session.leave().await?;
            let Found::Pool(again) = revive(&host, &model, seed, false).await? else {
                return Err("the new pool is not there".to_owned());
            };
            wander(&again, 1, 40).await?;
            again.leave().await?;
            return Ok(());
        }
        session.leave().await.map(drop)
    }

    /// Runs in a life of its own.
    ///
    /// # Errors
    /// A defect.
    pub async fn run(self, host: Rc<SimHost>, model: SharedModel, seed: u64) -> Result<(), String> {
        match self {
            Script::Create => {
                let Some(session) = create(&host, &model, seed, false).await? else { return Ok(()) };
                wander(&session, 1, 3).await
            }
            Script::Rename => {
                rename(&host, &model, "other").await?;
                activate(&host, &model, seed).await.map(drop)
            }
            Script::Destroy => {
                if destroy(&host, &model).await?.is_none() {
                    return Ok(());
                }
                create(&host, &model, seed, false).await.map(drop)
            }
            Script::Resize | Script::Upgrade => match revive(&host, &model, seed, true).await? {
                Found::Pool(session) => use_and_leave(session).await,
                Found::Nothing | Found::Fault => Ok(()),
            },
            _ => {
                let Some(session) = activate(&host, &model, seed).await? else { return Ok(()) };
                self.act(&session).await?;
                go_on(&session).await?;
                session.leave().await.map(drop)
            }
        }
    }

    async fn act(self, session: &Rc<Session>) -> Result<(), String> {
        match self {
            Script::MblockCommit => commit_mblock(session).await.map(drop),
            Script::MblockDelete => delete_mblocks(session).await.map(drop),
            Script::MlogAppend => append_to_log(session).await.map(drop),
            Script::MlogErase => erase_log(session).await.map(drop),
            Script::Slab => use_slab(session).await.map(drop),
            Script::InlineCompaction => commit_and_delete(session, 12).await,
            Script::BackgroundCompaction => {
                session.host.sleep(Nanos(13_000_000_000)).await;
                commit_and_delete(session, 2).await
            }
            Script::RootCompaction => {
                for round in 0..8 {
                    session.set_label(&format!("late_{round}")).await?;
                }
                Ok(())
            }
            Script::DriveAdd => {
                if session.add_staging().await?.is_some() {
                    if let Some(id) = session.mblock_alloc(MediaClass::Staging, false).await? {
                        session.mblock_write(id, PAGE_BYTES).await?;
                        session.commit(id).await?;
                    }
                }
                Ok(())
            }
            Script::SetParams => {
                session.set_label("second").await?;
                session.set_spare(25).await?;
                session.set_label("third").await.map(drop)
            }
            Script::Mixture => wander(session, 3, 12).await,
            _ => Ok(()),
        }
    }
}

async fn activate(host: &Rc<SimHost>, model: &SharedModel, seed: u64) -> Result<Option<Rc<Session>>, String> {
    match revive(host, model, seed, false).await? {
        Found::Pool(session) => Ok(Some(session)),
        Found::Nothing => Err("there is no pool".to_owned()),
        Found::Fault => Ok(None),
    }
}

/// After failures the disks are healed. A while later the pool has mended itself: nothing is refused any more.
async fn go_on(session: &Rc<Session>) -> Result<(), String> {
    if !session.host.machine().borrow().counts.excuses() {
        return Ok(());
    }
    session.model.borrow_mut().device_failed();
    session.host.machine().borrow_mut().heal();
    session.host.sleep(Nanos(90_000_000_000)).await;
    match session.pool().faults() {
        faults if faults.is_empty() => wander(session, 2, 12).await,
        faults => Err(format!("a while after the end of all failures there is still: {faults:?}")),
    }
}

async fn use_and_leave(session: Rc<Session>) -> Result<(), String> {
    wander(&session, 1, 3).await?;
    session.leave().await.map(drop)
}

/// Fills the containers with so many records each, most of them garbage.
async fn fill_containers(session: &Rc<Session>, records: u64) -> Result<(), String> {
    commit_and_delete(session, records * super::revive::CONTAINERS as u64 / 2).await?;
    // Deletions wait for their discards here, so that zones do not run out.
    session.host.sleep(Nanos(1_000_000_000)).await;
    Ok(())
}

async fn commit_and_delete(session: &Rc<Session>, times: u64) -> Result<(), String> {
    for _ in 0..times {
        let Some(id) = session.slab_alloc(MediaClass::Capacity, 1).await? else { return Ok(()) };
        if session.commit(id).await?.is_none() || session.delete(id).await?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

async fn commit_mblock(session: &Rc<Session>) -> Result<Option<()>, String> {
    let id = done!(session.mblock_alloc(MediaClass::Capacity, false));
    done!(session.mblock_write(id, 64 << 10));
    done!(session.mblock_write(id, 3 * PAGE_BYTES));
    done!(session.commit(id));
    session.mblock_check(id).await
}

async fn delete_mblocks(session: &Rc<Session>) -> Result<Option<()>, String> {
    let committed = first_committed(session, ObjectType::Mblock);
    let aborted = done!(session.mblock_alloc(MediaClass::Capacity, false));
    done!(session.mblock_write(aborted, PAGE_BYTES));
    done!(session.abort(aborted));
    if let Some(id) = committed {
        done!(session.delete(id));
    }
    let next = done!(session.mblock_alloc(MediaClass::Capacity, false));
    done!(session.mblock_write(next, PAGE_BYTES));
    done!(session.commit(next));
    session.delete(next).await
}

fn first_committed(session: &Session, kind: ObjectType) -> Option<ObjectId> {
    let model = session.model.borrow();
    let fits = |id: &&ObjectId| id.kind() == Some(kind) && !ObjectId::ROOT_LOGS.contains(id);
    let found = model.objects.iter().find(|(id, object)| fits(id) && object.standing == Standing::Committed);
    found.map(|(id, _)| *id)
}

async fn new_log(session: &Rc<Session>) -> Result<Option<ObjectId>, String> {
    let id = done!(session.mlog_alloc(MediaClass::Capacity, ZONE));
    Ok(session.commit(id).await?.map(|()| id))
}

async fn append_to_log(session: &Rc<Session>) -> Result<Option<()>, String> {
    let id = done!(new_log(session));
    let handle = done!(session.mlog_open(id));
    for (bytes, sync) in [(100, true), (2000, false), (30, false), (700, true), (5000, true), (60, false)] {
        done!(session.mlog_append(&handle, bytes, sync));
    }
    done!(session.mlog_sync(&handle));
    done!(session.mlog_append(&handle, 90, false));
    session.mlog_close(handle).await
}

async fn erase_log(session: &Rc<Session>) -> Result<Option<()>, String> {
    let id = done!(new_log(session));
    let handle = done!(session.mlog_open(id));
    done!(session.mlog_append(&handle, 1000, true));
    done!(session.mlog_append(&handle, 40, false));
    done!(session.mlog_erase(id, 10));
    done!(session.mlog_append(&handle, 300, true));
    done!(session.mlog_check(&handle));
    done!(session.mlog_close(handle));
    done!(session.mlog_erase(id, 0));
    session.delete(id).await
}

async fn use_slab(session: &Rc<Session>) -> Result<Option<()>, String> {
    let id = done!(session.slab_alloc(MediaClass::Capacity, 2));
    let open = done!(session.slab_open(id));
    done!(session.slab_write(&open, 0, 8192, false));
    done!(session.commit(id));
    done!(session.slab_write(&open, 4096, 8192, true));
    done!(session.slab_write(&open, ZONE, 4096, false));
    done!(session.slab_flush(&open));
    done!(session.slab_write(&open, 0, 4096, false));
    done!(session.slab_check(id));
    drop(open);
    let mut together = Vec::new();
    for _ in 0..5 {
        together.push(done!(session.slab_alloc(MediaClass::Capacity, 1)));
    }
    done!(session.commit_together(&together));
    session.delete(id).await
}
