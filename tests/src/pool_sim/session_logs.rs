// SPDX-License-Identifier: BSD-3-Clause

//! Calls on logs and slab objects, told to the model.

use std::rc::Rc;

use mpool::drive::Durability;
use mpool::logs::LogHandle;
use mpool::mlog::OpenFlags;
use mpool::{Kind, MediaClass, ObjectId, SlabObject};

use super::log_model::LogModel;
use super::pool_model::{Content, ObjectModel, Possible, Standing};
use super::session::{memory, patterned, Outcome, Session};
use super::slab_model::SlabModel;

impl Session {
    /// Allocates a log.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_alloc(&self, class: MediaClass, bytes: u64) -> Outcome<ObjectId> {
        self.call(|| format!("alloc mlog of {bytes} bytes in {class}"));
        match self.pool().mlog_alloc(class, bytes, false).await {
            Ok(props) => {
                if props.capacity_bytes < bytes || props.committed || props.generation != 0 {
                    return Err(format!("a new log of {bytes} bytes has {props:?}"));
                }
                let content = Content::Mlog(LogModel::default(), Possible::known(0));
                let object = ObjectModel { class, zones: props.zones, standing: Standing::Uncommitted, content };
                self.model.borrow_mut().issue(props.id, object)?;
                Ok(Some(props.id))
            }
            Err(error) => self.refused("allocating a log", &error),
        }
    }

    /// Opens a committed log.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_open(&self, id: ObjectId) -> Outcome<LogHandle> {
        self.call(|| format!("open {id}"));
        match self.pool().mlog_open(id, OpenFlags::default()).await {
            Ok(handle) => Ok(Some(handle)),
            Err(error) => self.refused("opening a log", &error),
        }
    }

    /// Appends a record to an open log.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_append(&self, handle: &LogHandle, bytes: usize, sync: bool) -> Outcome<()> {
        let id = handle.id();
        self.call(|| format!("append {bytes} bytes to {id}, sync {sync}"));
        let (name, payload) = self.model.borrow_mut().log(id)?.begin(bytes);
        let outcome = handle.log().append(&payload, sync).await;
        self.host.trace(|| format!("record {name} of {id}: {outcome:?}"));
        let mut model = self.model.borrow_mut();
        let log = model.log(id)?;
        match outcome {
            Ok(()) => log.acknowledge(name, sync),
            Err(error) if error.kind() == Kind::LogFull => log.refuse(name),
            Err(error) => {
                log.fail(Some(name));
                drop(model);
                return self.refused("appending", &error);
            }
        }
        Ok(Some(()))
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_sync(&self, handle: &LogHandle) -> Outcome<()> {
        let id = handle.id();
        self.call(|| format!("sync {id}"));
        let mark = self.model.borrow_mut().log(id)?.mark();
        match handle.log().sync().await {
            Ok(()) => {
                self.model.borrow_mut().log(id)?.made_durable(mark);
                Ok(Some(()))
            }
            Err(error) => {
                self.model.borrow_mut().log(id)?.fail(None);
                self.refused("syncing", &error)
            }
        }
    }

    /// Closes a log.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_close(&self, handle: LogHandle) -> Outcome<()> {
        let id = handle.id();
        self.call(|| format!("close {id}"));
        let mark = self.model.borrow_mut().log(id)?.mark();
        match handle.close().await {
            Ok(()) => {
                self.model.borrow_mut().log(id)?.made_durable(mark);
                Ok(Some(()))
            }
            Err(error) => {
                self.model.borrow_mut().log(id)?.fail(None);
                self.refused("closing", &error)
            }
        }
    }

    /// Reads all records of an open log. None when the device failed.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_records(&self, handle: &LogHandle) -> Outcome<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        if let Err(error) = handle.log().rewind().await {
            return self.refused("rewinding", &error);
        }
        loop {
            match handle.log().next_vec(usize::MAX).await {
                Ok(Some(record)) => records.push(record),
                Ok(None) => return Ok(Some(records)),
                Err(error) => return self.refused("reading a log", &error),
            }
        }
    }

    /// Reads an open log, which nobody appends to, and compares it.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_check(&self, handle: &LogHandle) -> Outcome<()> {
        let Some(records) = self.mlog_records(handle).await? else { return Ok(None) };
        let mut model = self.model.borrow_mut();
        let log = model.log(handle.id())?;
        if self.host.machine().borrow().counts.failed > 0 {
            log.device_failed();
        }
        log.check(&records).map_err(|what| format!("{}: {what}", handle.id()))?;
        Ok(Some(()))
    }

    /// Erases a log to which nobody appends.
    ///
    /// # Errors
    /// A defect.
    pub async fn mlog_erase(&self, id: ObjectId, min_generation: u64) -> Outcome<()> {
        self.call(|| format!("erase {id}"));
        {
            let mut model = self.model.borrow_mut();
            let Content::Mlog(log, generation) = &mut model.object(id)?.content else {
                return Err(format!("{id} is no log"));
            };
            log.begin_erasure();
            generation.begin(min_generation.max(generation.sure + 1));
        }
        match self.pool().mlog_erase(id, min_generation).await {
            Ok(seen) => {
                let mut model = self.model.borrow_mut();
                let Content::Mlog(log, generation) = &mut model.object(id)?.content else {
                    return Err(format!("{id} is no log"));
                };
                *log = log.successor();
                generation.done();
                generation.settle(&format!("the generation of {id}"), &seen)?;
                Ok(Some(()))
            }
            Err(error) => self.refused("erasing", &error),
        }
    }

    /// Allocates a slab object.
    ///
    /// # Errors
    /// A defect.
    pub async fn slab_alloc(&self, class: MediaClass, zones: u64) -> Outcome<ObjectId> {
        self.call(|| format!("alloc slab object of {zones} zones in {class}"));
        match self.pool().slab_alloc(class, zones, false).await {
            Ok(props) => {
                if props.extent.zones != zones || props.committed {
                    return Err(format!("a new slab object of {zones} zones has {props:?}"));
                }
                let content = Content::Slab(SlabModel::default());
                let object = ObjectModel { class, zones, standing: Standing::Uncommitted, content };
                self.model.borrow_mut().issue(props.id, object)?;
                Ok(Some(props.id))
            }
            Err(error) => self.refused("allocating a slab object", &error),
        }
    }

    /// Opens a slab object.
    ///
    /// # Errors
    /// A defect.
    pub async fn slab_open(&self, id: ObjectId) -> Outcome<Rc<SlabObject>> {
        self.call(|| format!("open {id}"));
        match self.pool().slab_open(id).await {
            Ok(open) => Ok(Some(Rc::new(open))),
            Err(error) => self.refused("opening a slab object", &error),
        }
    }

    /// Writes pages of a slab object.
    ///
    /// # Errors
    /// A defect.
    pub async fn slab_write(&self, open: &SlabObject, at: u64, bytes: usize, durable: bool) -> Outcome<()> {
        let id = open.props().id;
        let tag = self.random.borrow_mut().draw();
        self.call(|| format!("write {bytes} bytes at {at} of {id}, durable {durable}"));
        self.model.borrow_mut().slab(id)?.begin(tag, at, bytes as u64);
        let durability = if durable { Durability::Durable } else { Durability::Deferred };
        let (_, outcome) = open.write(at, patterned(tag, at, bytes), 0..bytes, durability).await;
        match outcome {
            Ok(()) => {
                self.model.borrow_mut().slab(id)?.acknowledge(tag, durable);
                Ok(Some(()))
            }
            Err(error) => self.refused("writing a slab object", &error),
        }
    }

    /// Flushes a slab object.
    ///
    /// # Errors
    /// A defect.
    pub async fn slab_flush(&self, open: &SlabObject) -> Outcome<()> {
        let id = open.props().id;
        self.call(|| format!("flush {id}"));
        let mark = self.model.borrow_mut().slab(id)?.mark();
        match open.flush().await {
            Ok(()) => {
                self.model.borrow_mut().slab(id)?.flushed(mark);
                Ok(Some(()))
            }
            Err(error) => self.refused("flushing a slab object", &error),
        }
    }

    /// Reads what was written to a slab object and compares it.
    ///
    /// # Errors
    /// A defect.
    pub async fn slab_check(&self, id: ObjectId) -> Outcome<()> {
        let Some(open) = self.slab_open(id).await? else { return Ok(None) };
        let unit = 4096;
        let written = self.model.borrow_mut().slab(id)?.written();
        let pages: std::collections::BTreeSet<_> = written.iter().map(|(at, _)| at / unit * unit).collect();
        for at in pages {
            let (buf, outcome) = open.read(at, memory(unit as usize), 0..unit as usize).await;
            if let Err(error) = outcome {
                return self.refused("reading a slab object", &error);
            }
            let mut model = self.model.borrow_mut();
            model.slab(id)?.settle(at, (*buf).as_ref()).map_err(|what| format!("{id}: {what}"))?;
        }
        self.model.borrow_mut().slab(id)?.settled();
        Ok(Some(()))
    }
}
