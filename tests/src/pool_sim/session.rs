// SPDX-License-Identifier: BSD-3-Clause

//! An active pool in use: the model hears of every call before it begins and after it has ended.
//!
//! A call returns what it yields, nothing when it was refused for a good reason (no space; a device that fails by
//! plan), and an error when the refusal or the outcome has no excuse.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures::channel::oneshot;
use mpool::device::PlainMemory;
use mpool::lock::ordered;
use mpool::registry::{ActivePool, Registry};
use mpool::testing::{mix, Random, SimHost};
use mpool::{Host, IoBuf, Kind, MediaClass, ObjectId, Pool, PoolError, PAGE_BYTES};

use super::pool_model::{Content, ObjectModel, PoolModel, Standing};
use super::slab_model;

/// The model, as all share it over all lives.
pub type SharedModel = Rc<RefCell<PoolModel>>;

/// What a call yields, unless it was refused for a good reason.
pub type Outcome<T> = Result<Option<T>, String>;

/// An active pool and its users.
pub struct Session {
    /// The host.
    pub host: Rc<SimHost>,
    /// The pools.
    pub registry: Rc<Registry>,
    /// The active pool.
    pub active: Rc<ActivePool>,
    /// The expectation.
    pub model: SharedModel,
    /// What the users decide by.
    pub random: RefCell<Random>,
    /// Calls begun.
    pub calls: Rc<Cell<u64>>,
}

/// Memory with so many bytes.
#[must_use]
pub fn memory(bytes: usize) -> IoBuf {
    Box::new(PlainMemory(vec![0; bytes]))
}

/// Memory with what the tag stands for, from byte `at` on.
#[must_use]
pub fn patterned(tag: u64, at: u64, bytes: usize) -> IoBuf {
    let mut buf = memory(bytes);
    slab_model::fill(tag, at, (*buf).as_mut());
    buf
}

/// The tag of an mblock's content.
#[must_use]
pub const fn tag_of(id: ObjectId) -> u64 {
    mix(id.0)
}

/// True when the error can come from a device that fails by plan.
#[must_use]
pub fn is_fault(host: &SimHost, error: &PoolError) -> bool {
    host.machine().borrow().counts.excuses() && matches!(error.kind(), Kind::Io | Kind::NoMemory)
}

impl Session {
    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Rc<Pool> {
        self.active.pool()
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// A call begins.
    pub fn call(&self, what: impl FnOnce() -> String) {
        self.calls.set(self.calls.get() + 1);
        self.host.trace(|| format!("call: {}", what()));
    }

    /// Looks for an excuse for an error.
    ///
    /// # Errors
    /// There is none.
    pub fn excuse(&self, doing: &str, error: &PoolError) -> Result<(), String> {
        self.host.trace(|| format!("{doing}: {error}"));
        if is_fault(&self.host, error) {
            return Ok(());
        }
        Err(format!("{doing} fails without a cause: {error} ({:?})", error.kind()))
    }

    /// A refusal that is excused, or is for want of space.
    ///
    /// # Errors
    /// Neither.
    pub fn refused<T>(&self, doing: &str, error: &PoolError) -> Outcome<T> {
        if error.kind() == Kind::NoSpace {
            return Ok(None);
        }
        self.excuse(doing, error).map(|()| None)
    }

    /// Runs tasks beside each other, each as a task of its own, to their ends.
    ///
    /// # Errors
    /// That of the first that fails.
    pub async fn together<F>(&self, tasks: impl IntoIterator<Item = F>) -> Result<(), String>
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        let mut ends = Vec::new();
        for task in tasks {
            let (end, ended) = oneshot::channel();
            self.host.spawn(Box::pin(ordered(async move { drop(end.send(task.await)) })));
            ends.push(ended);
        }
        for ended in ends {
            ended.await.map_err(|_| "a task is gone")??;
        }
        Ok(())
    }

    /// Allocates an mblock.
    ///
    /// # Errors
    /// A defect.
    pub async fn mblock_alloc(&self, class: MediaClass, spare: bool) -> Outcome<ObjectId> {
        self.call(|| format!("alloc mblock in {class}"));
        match self.pool().mblock_alloc(class, spare).await {
            Ok(props) => {
                if props.committed || props.written_bytes != 0 || props.class != class || props.zones != 1 {
                    return Err(format!("a new mblock has {props:?}"));
                }
                let content = Content::Mblock(0);
                let object = ObjectModel { class, zones: 1, standing: Standing::Uncommitted, content };
                self.model.borrow_mut().issue(props.id, object)?;
                Ok(Some(props.id))
            }
            Err(error) => self.refused("allocating an mblock", &error),
        }
    }

    /// Appends to an uncommitted mblock.
    ///
    /// # Errors
    /// A defect.
    pub async fn mblock_write(&self, id: ObjectId, bytes: usize) -> Outcome<()> {
        self.call(|| format!("write {bytes} bytes to {id}"));
        let at = self.written(id)?;
        let (_, outcome) = self.pool().mblock_write(id, patterned(tag_of(id), at, bytes), 0..bytes).await;
        match outcome {
            Ok(()) => {
                self.model.borrow_mut().object(id)?.content = Content::Mblock(at + bytes as u64);
                Ok(Some(()))
            }
            Err(error) => self.refused("writing an mblock", &error),
        }
    }

    fn written(&self, id: ObjectId) -> Result<u64, String> {
        match self.model.borrow_mut().object(id)?.content {
            Content::Mblock(written) => Ok(written),
            _ => Err(format!("{id} is no mblock")),
        }
    }

    /// Commits an mblock or a slab object.
    ///
    /// # Errors
    /// A defect.
    pub async fn commit(&self, id: ObjectId) -> Outcome<()> {
        self.call(|| format!("commit {id}"));
        self.model.borrow_mut().object(id)?.standing = Standing::Doubtful;
        let outcome = match id.kind() {
            Some(mpool::ObjectType::Mblock) => self.pool().mblock_commit(id).await,
            Some(mpool::ObjectType::Mlog) => self.pool().mlog_commit(id).await,
            _ => self.pool().slab_commit(id).await,
        };
        match outcome {
            Ok(()) => {
                self.model.borrow_mut().object(id)?.standing = Standing::Committed;
                self.host.trace(|| format!("committed {id}"));
                Ok(Some(()))
            }
            Err(error) => self.refused("committing", &error),
        }
    }

    /// Commits logs and slab objects together.
    ///
    /// # Errors
    /// A defect.
    pub async fn commit_together(&self, ids: &[ObjectId]) -> Outcome<()> {
        self.call(|| format!("commit {ids:?} together"));
        for id in ids {
            self.model.borrow_mut().object(*id)?.standing = Standing::Doubtful;
        }
        match self.pool().commit_together(ids).await {
            Ok(()) => {
                for id in ids {
                    self.model.borrow_mut().object(*id)?.standing = Standing::Committed;
                }
                self.host.trace(|| format!("committed {ids:?} together"));
                Ok(Some(()))
            }
            Err(error) => self.refused("committing together", &error),
        }
    }

    /// Takes an uncommitted object back.
    ///
    /// # Errors
    /// A defect.
    pub async fn abort(&self, id: ObjectId) -> Outcome<()> {
        self.call(|| format!("abort {id}"));
        let outcome = match id.kind() {
            Some(mpool::ObjectType::Mblock) => self.pool().mblock_abort(id).await,
            Some(mpool::ObjectType::Mlog) => self.pool().mlog_abort(id).await,
            _ => self.pool().slab_abort(id).await,
        };
        match outcome {
            Ok(()) => {
                // After a commit that failed the record may be on media all the same.
                let mut model = self.model.borrow_mut();
                if model.object(id)?.standing == Standing::Uncommitted {
                    model.objects.remove(&id);
                }
                Ok(Some(()))
            }
            Err(error) => self.refused("aborting", &error),
        }
    }

    /// Deletes a committed object.
    ///
    /// # Errors
    /// A defect.
    pub async fn delete(&self, id: ObjectId) -> Outcome<()> {
        self.call(|| format!("delete {id}"));
        self.model.borrow_mut().object(id)?.standing = Standing::Doubtful;
        let outcome = match id.kind() {
            Some(mpool::ObjectType::Mblock) => self.pool().mblock_delete(id).await,
            Some(mpool::ObjectType::Mlog) => self.pool().mlog_delete(id).await,
            _ => self.pool().slab_delete(id).await,
        };
        match outcome {
            Ok(()) => {
                self.model.borrow_mut().objects.remove(&id);
                self.host.trace(|| format!("deleted {id}"));
                Ok(Some(()))
            }
            Err(error) => self.refused("deleting", &error),
        }
    }

    /// Reads a committed mblock and compares it.
    ///
    /// # Errors
    /// A defect.
    pub async fn mblock_check(&self, id: ObjectId) -> Outcome<()> {
        let written = self.written(id)?;
        let mut at = 0;
        while at < written {
            let bytes = (written - at).min(64 * PAGE_BYTES as u64) as usize;
            let (buf, outcome) = self.pool().mblock_read(id, at, memory(bytes), 0..bytes).await;
            if let Err(error) = outcome {
                return self.refused("reading an mblock", &error);
            }
            let expected = patterned(tag_of(id), at, bytes);
            if (*buf).as_ref() != (*expected).as_ref() {
                return Err(format!(
                    "{id} does not contain what was written between bytes {at} and {}",
                    at + bytes as u64
                ));
            }
            at += bytes as u64;
        }
        Ok(Some(()))
    }
}
