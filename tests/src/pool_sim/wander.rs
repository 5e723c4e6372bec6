// SPDX-License-Identifier: BSD-3-Clause

//! Random use of a pool by several tasks at once. Each task has objects of its own, so that the model knows what each
//! contains; one log is shared by all, so that appends are committed in groups.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::logs::LogHandle;
use mpool::testing::Random;
use mpool::units::Nanos;
use mpool::{Host, MediaClass, ObjectId, ObjectType, Search, PAGE_BYTES};

use super::pool_model::{Content, Standing};
use super::session::{Outcome, Session};

/// Bytes of which all writes of mblocks but the last are multiples.
const UNIT: usize = 16 << 10;

/// One of the tasks.
struct Wanderer {
    session: Rc<Session>,
    random: RefCell<Random>,
    objects: RefCell<Vec<ObjectId>>,
    shared: Option<Rc<LogHandle>>,
    class: MediaClass,
}

/// Uses a pool: so many `tasks`, each with so many `steps`.
///
/// # Errors
/// A defect.
pub async fn wander(session: &Rc<Session>, tasks: u64, steps: u64) -> Result<(), String> {
    let root = ObjectId::ROOT_LOGS[0];
    let known = session.model.borrow().objects.contains_key(&root);
    let shared = if known { session.mlog_open(root).await?.map(Rc::new) } else { None };
    let ids: Vec<_> =
        session.model.borrow().objects.keys().copied().filter(|id| id.uniquifier() > 1 || id.slot().0 != 1).collect();
    let classes = 1 + u64::from(session.model.borrow().staging.sure);
    let wanderers: Vec<_> = (0..tasks)
        .map(|task| {
            let drawn = session.random.borrow_mut().draw();
            let class = if session.below(classes) == 0 { MediaClass::Capacity } else { MediaClass::Staging };
            let objects = ids.iter().copied().skip(task as usize).step_by(tasks as usize).collect();
            Wanderer {
                session: Rc::clone(session),
                random: RefCell::new(Random::stream(drawn, task)),
                objects: RefCell::new(objects),
                shared: shared.clone(),
                class,
            }
        })
        .collect();
    session
        .together(wanderers.into_iter().map(|wanderer| async move {
            for _ in 0..steps {
                wanderer.step().await?;
            }
            Ok(())
        }))
        .await?;
    if let Some(shared) = shared.and_then(|shared| Rc::try_unwrap(shared).ok()) {
        session.mlog_check(&shared).await?;
        session.mlog_close(shared).await?;
    }
    Ok(())
}

impl Wanderer {
    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// One of its objects, of a kind and a standing.
    fn choose(&self, kind: ObjectType, standing: Standing) -> Option<ObjectId> {
        let mut model = self.session.model.borrow_mut();
        let fits = |id: &&ObjectId| {
            id.kind() == Some(kind) && model.object(**id).is_ok_and(|object| object.standing == standing)
        };
        let objects = self.objects.borrow();
        let fitting: Vec<_> = objects.iter().filter(fits).collect();
        if fitting.is_empty() {
            return None;
        }
        Some(*fitting[self.random.borrow_mut().index(fitting.len())])
    }

    fn own(&self, id: Option<ObjectId>) -> Option<ObjectId> {
        self.objects.borrow_mut().extend(id);
        id
    }

    async fn step(&self) -> Outcome<()> {
        let session = &self.session;
        match self.below(24) {
            0..=3 => self.new_mblock().await,
            4 | 5 => match self.choose(ObjectType::Mblock, Standing::Uncommitted) {
                Some(id) => self.grow_mblock(id).await,
                None => self.new_mblock().await,
            },
            6..=8 => self.commit_any().await,
            9 => self.abort_any().await,
            10..=12 => self.delete_any().await,
            13 => match self.choose(ObjectType::Mblock, Standing::Committed) {
                Some(id) => session.mblock_check(id).await,
                None => Ok(None),
            },
            14..=16 => self.use_log().await,
            17 => self.erase_log().await,
            18 | 19 => self.use_slab().await,
            20..=22 => self.append_shared().await,
            _ => {
                session.host.sleep(Nanos(self.below(2_000_000))).await;
                Ok(Some(()))
            }
        }
    }

    async fn new_mblock(&self) -> Outcome<()> {
        let spare = self.below(10) == 0;
        match self.own(self.session.mblock_alloc(self.class, spare).await?) {
            Some(id) => self.grow_mblock(id).await,
            None => Ok(None),
        }
    }

    async fn grow_mblock(&self, id: ObjectId) -> Outcome<()> {
        let written = match self.session.model.borrow_mut().object(id)?.content {
            Content::Mblock(written) => written,
            _ => return Err(format!("{id} is no mblock")),
        };
        let room = (super::revive::ZONE - written) as usize;
        if !written.is_multiple_of(UNIT as u64) || room < 8 * UNIT {
            return Ok(None);
        }
        let last = self.below(4) == 0;
        let bytes = if last { 1 + self.below(6) as usize } else { UNIT / PAGE_BYTES * (1 + self.below(5) as usize) };
        self.session.mblock_write(id, bytes * PAGE_BYTES).await
    }

    fn any(&self, standing: Standing) -> Option<ObjectId> {
        let kinds = [ObjectType::Mblock, ObjectType::Mblock, ObjectType::Mlog, ObjectType::Slab];
        let first = self.below(4) as usize;
        (0..4).find_map(|next| self.choose(kinds[(first + next) % 4], standing))
    }

    async fn commit_any(&self) -> Outcome<()> {
        let together = self.committable();
        if together.len() > 1 {
            return self.session.commit_together(&together).await;
        }
        match self.any(Standing::Uncommitted) {
            Some(id) => self.session.commit(id).await,
            None => self.new_mblock().await,
        }
    }

    /// Its uncommitted logs and slab objects.
    fn committable(&self) -> Vec<ObjectId> {
        let mut model = self.session.model.borrow_mut();
        let fits = |id: &ObjectId| {
            let uncommitted = model.object(*id).is_ok_and(|object| object.standing == Standing::Uncommitted);
            uncommitted && id.kind() != Some(ObjectType::Mblock)
        };
        self.objects.borrow().iter().copied().filter(fits).collect()
    }

    async fn abort_any(&self) -> Outcome<()> {
        match self.any(Standing::Uncommitted) {
            Some(id) => self.session.abort(id).await,
            None => match self.any_in_doubt() {
                Some(id) => self.session.abort(id).await,
                None => Ok(None),
            },
        }
    }

    /// One of its objects whose commit has failed.
    fn any_in_doubt(&self) -> Option<ObjectId> {
        let id = self.any(Standing::Doubtful)?;
        self.session.pool().find(id, Search::Uncommitted).is_ok().then_some(id)
    }

    async fn delete_any(&self) -> Outcome<()> {
        match self.any(Standing::Committed) {
            Some(id) => self.session.delete(id).await,
            None => Ok(None),
        }
    }

    async fn use_log(&self) -> Outcome<()> {
        let Some(id) = self.choose(ObjectType::Mlog, Standing::Committed) else {
            let bytes = self.below(3) * super::revive::ZONE;
            let Some(id) = self.own(self.session.mlog_alloc(self.class, bytes).await?) else { return Ok(None) };
            return self.session.commit(id).await;
        };
        let Some(handle) = self.session.mlog_open(id).await? else { return Ok(None) };
        for _ in 0..self.below(6) {
            let (bytes, sync) = (self.record_bytes(), self.below(2) == 0);
            self.session.mlog_append(&handle, bytes, sync).await?;
        }
        match self.below(4) {
            0 => drop(self.session.mlog_sync(&handle).await?),
            1 => drop(self.session.mlog_check(&handle).await?),
            2 => {
                let generation = self.below(4);
                self.session.mlog_erase(id, generation).await?;
                let bytes = self.record_bytes();
                self.session.mlog_append(&handle, bytes, true).await?;
            }
            _ => {}
        }
        self.session.mlog_close(handle).await
    }

    /// Bytes of a record, at least what names it.
    fn record_bytes(&self) -> usize {
        8 + match self.below(6) {
            0 => self.below(20_000),
            1 => 440 + self.below(40),
            _ => self.below(200),
        } as usize
    }

    async fn erase_log(&self) -> Outcome<()> {
        let generation = self.below(5);
        match self.choose(ObjectType::Mlog, Standing::Committed) {
            Some(id) => self.session.mlog_erase(id, generation).await,
            None => Ok(None),
        }
    }

    async fn use_slab(&self) -> Outcome<()> {
        let standing = if self.below(3) == 0 { Standing::Uncommitted } else { Standing::Committed };
        let Some(id) = self.choose(ObjectType::Slab, standing) else {
            let zones = 1 + self.below(3);
            self.own(self.session.slab_alloc(self.class, zones).await?);
            return Ok(Some(()));
        };
        let Some(open) = self.session.slab_open(id).await? else { return Ok(None) };
        for _ in 0..self.below(5) {
            let (at, pages) = (self.below(30) * PAGE_BYTES as u64, 1 + self.below(3) as usize);
            let durable = self.below(4) == 0;
            self.session.slab_write(&open, at, pages * PAGE_BYTES, durable).await?;
        }
        if self.below(2) == 0 {
            self.session.slab_flush(&open).await?;
        }
        Ok(Some(()))
    }

    async fn append_shared(&self) -> Outcome<()> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let (bytes, sync) = (self.record_bytes(), self.below(4) > 0);
        self.session.mlog_append(shared, bytes, sync).await
    }
}
