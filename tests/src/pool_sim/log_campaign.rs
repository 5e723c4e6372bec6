// SPDX-License-Identifier: BSD-3-Clause

//! Logs alone: many lives of one log on a virtual disk, each ended by a power cut or an orderly close, compared with
//! [`super::log_model`].
//!
//! In each life the log is opened and read, then used by one user or by several at once: appends of all sizes, synced
//! or not, reading, erasing, closing and opening. The new generation of an erased log is recorded elsewhere before the
//! erasure; here a value stands for that record. Some lives have devices that fail.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::oneshot;
use mpool::lock::ordered;
use mpool::mlog::{LogFormat, LogIdentity, Mlog, OpenFlags};
use mpool::testing::{drawn_disk, Birth, Image, Moment, Off, Random, SimHost};
use mpool::{DeviceProperties, Host, Kind, ObjectId, ObjectType, PoolError, Slot};
use uuid::Uuid;

use super::campaign::Totals;
use super::log_media::DiskRange;
use super::log_model::LogModel;

/// Where the log lies on the disk.
const START: u64 = 64 << 10;

/// What outlives the machine: what is known elsewhere about the log.
#[derive(Debug)]
struct Known {
    model: RefCell<LogModel>,
    generation: Cell<u64>,
    capacity: u64,
    chunk: usize,
    uuid: Uuid,
    wild_sizes: bool,
    defect: Option<LogDefect>,
    records: Cell<u64>,
}

/// The open log and who uses it.
struct User {
    host: Rc<SimHost>,
    known: Rc<Known>,
    media: Rc<DiskRange>,
    log: RefCell<Rc<Mlog>>,
    random: RefCell<Random>,
    over: Cell<bool>,
}

/// A defect put in, to show that it would be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDefect {
    /// Writes are not made durable.
    NoFlush,
    /// Blocks with acknowledged records are written again where a power cut can tear them.
    RewritesTornBlocks,
    /// The generation of an erased log is not remembered.
    ForgetsGeneration,
}

/// Runs one seed: several lives of one log.
///
/// # Errors
/// What is wrong with the log.
pub fn run_log_seed(seed: u64, trace: bool) -> Result<Totals, String> {
    run_log_seed_with(seed, trace, None)
}

/// The same with a defect.
///
/// # Errors
/// What is wrong with the log.
pub fn run_log_seed_with(seed: u64, trace: bool, defect: Option<LogDefect>) -> Result<Totals, String> {
    let mut random = Random::stream(seed, 0x6c6f67);
    let properties = drawn_disk("disk", 8 << 20, &mut random);
    let sector = u64::from(properties.sector_bytes);
    let capacity = match random.below(4) {
        0 => sector * random.between(2, 12),
        1 | 2 => sector * random.between(16, 128),
        _ => sector * random.between(256, 700),
    };
    let known = Rc::new(Known {
        model: RefCell::default(),
        generation: Cell::new(0),
        capacity,
        chunk: random.pick(&[sector, 4096, 8192, 128 << 10, 128 << 10]) as usize,
        uuid: Uuid::from_u128(u128::from(random.draw()) << 64 | u128::from(seed)),
        wild_sizes: random.chance(300),
        defect,
        records: Cell::new(0),
    });
    let mut image = Image::unwritten(random.draw());
    let mut totals = Totals::default();
    let errors = if random.chance(250) { random.pick(&[5, 30]) } else { 0 };
    for life in 0..random.between(3, 8) {
        let disks = vec![(properties.clone(), image.clone())];
        let mut birth = Birth { trace, ..Birth::new(random.draw(), disks) };
        birth.faults.errors = errors;
        birth.faults.slow = if random.chance(200) { 100 } else { 0 };
        let latest = random.pick(&[8, 40, 120]);
        let moment = random.below(latest);
        birth.cut = match random.below(5) {
            0 => None,
            1 => Some(Moment::Begun(moment)),
            2 => Some(Moment::Ended(moment)),
            _ => Some(Moment::Torn(moment)),
        };
        let (shared, drawn) = (Rc::clone(&known), random.draw());
        let outcome = birth.live(Off::Cut, move |host| ordered(live(host, shared, Random::stream(drawn, life))))?;
        totals.count(&outcome);
        outcome.result.unwrap_or(Ok(())).map_err(|what| format!("life {life}: {what}"))?;
        known.model.borrow_mut().crash();
        if outcome.counts.failed > 0 {
            known.model.borrow_mut().device_failed();
        }
        image = outcome.images.into_iter().next().ok_or("the disk is gone")?;
    }
    last_look(&properties, image, &known, trace)?;
    totals.calls = known.records.get();
    Ok(totals)
}

/// Opens the log once more, without faults.
fn last_look(properties: &DeviceProperties, image: Image, known: &Rc<Known>, trace: bool) -> Result<(), String> {
    let birth = Birth { trace, ..Birth::new(1, vec![(properties.clone(), image)]) };
    let shared = Rc::clone(known);
    let body = move |host| ordered(async move { open_and_read(&host, &shared).await.map(drop) });
    birth.live(Off::Cut, body)?.result.ok_or("no end")?.map_err(|what| format!("last look: {what}"))
}

async fn open(known: &Known, media: &Rc<DiskRange>) -> Result<Rc<Mlog>, PoolError> {
    let id = ObjectId::new(5, ObjectType::Mlog, Slot(1));
    let identity = LogIdentity { id, uuid: known.uuid, generation: known.generation.get() };
    let media: Rc<DiskRange> = Rc::clone(media);
    Mlog::open(media, identity, OpenFlags::default(), LogFormat::V2, false).await
}

/// Opens the log after a power cut, and settles the model. None when the device failed.
async fn open_and_read(host: &Rc<SimHost>, known: &Known) -> Result<Option<(Rc<DiskRange>, Rc<Mlog>)>, String> {
    let device = host.open("disk").await.map_err(|error| error.to_string())?;
    let media = Rc::new(DiskRange {
        device,
        start: START,
        bytes: known.capacity,
        chunk: known.chunk,
        never_flushes: known.defect == Some(LogDefect::NoFlush),
        denies_tearing: known.defect == Some(LogDefect::RewritesTornBlocks),
    });
    let outcome = async {
        let log = open(known, &media).await?;
        let records = read_all(&log).await?;
        Ok((log, records))
    };
    match outcome.await {
        Ok((log, records)) => {
            known.model.borrow_mut().settle(&records).map_err(|what| format!("after a power cut {what}"))?;
            Ok(Some((media, log)))
        }
        Err(error) if is_fault(host, &error) => Ok(None),
        Err(error) => Err(format!("the log cannot be opened: {error}")),
    }
}

async fn read_all(log: &Mlog) -> Result<Vec<Vec<u8>>, PoolError> {
    log.rewind().await?;
    let mut records = Vec::new();
    while let Some(record) = log.next_vec(usize::MAX).await? {
        records.push(record);
    }
    Ok(records)
}

/// True when a device that fails by plan explains the error.
fn is_fault(host: &SimHost, error: &PoolError) -> bool {
    let failed = host.machine().borrow().counts.failed > 0;
    failed && matches!(error.kind(), Kind::Io | Kind::NoMemory)
}

async fn live(host: Rc<SimHost>, known: Rc<Known>, mut random: Random) -> Result<(), String> {
    let Some((media, log)) = open_and_read(&host, &known).await? else { return Ok(()) };
    if random.chance(200) {
        // What was never written may hold anything, also after it was discarded again.
        if log.is_empty() {
            drop(media.discard().await);
        }
    }
    let (log, random, over) = (RefCell::new(log), RefCell::new(random), Cell::new(false));
    let user = Rc::new(User { host, known, media, log, random, over });
    for _ in 0..user.below(40) {
        if !user.over.get() {
            user.act().await?;
        }
    }
    Ok(())
}

impl User {
    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    fn present(&self) -> Rc<Mlog> {
        Rc::clone(&self.log.borrow())
    }

    async fn act(self: &Rc<User>) -> Result<(), String> {
        // Some try a few things more before they open it anew.
        if self.present().has_failed() && self.below(3) > 0 {
            return self.reopen().await;
        }
        match self.below(20) {
            0..=9 => self.append().await,
            10..=13 => self.append_together().await,
            14 => self.sync().await,
            15 | 16 => self.read().await,
            17 => self.erase().await,
            _ => self.reopen().await,
        }
    }

    /// Bytes of a record: of all sizes, often just around what fits into a block.
    fn size(&self) -> usize {
        let sector = self.media.device.properties().sector_bytes as u64;
        let payload = sector - 48;
        let most = if self.known.wild_sizes { self.known.capacity.min(1 << 18) } else { 6 * sector };
        let bytes = match self.below(8) {
            0 => self.below(12),
            1 => payload - 8 + self.below(17),
            2 => payload / 2 + self.below(17),
            3 => self.below(most + 1),
            _ => 8 + self.below(payload / 2),
        };
        bytes.max(8) as usize
    }

    fn model_after_faults(&self) -> std::cell::RefMut<'_, LogModel> {
        let mut model = self.known.model.borrow_mut();
        if self.host.machine().borrow().counts.failed > 0 {
            model.device_failed();
        }
        model
    }

    async fn append(&self) -> Result<(), String> {
        let sync = self.below(2) == 0;
        let (name, payload) = self.known.model.borrow_mut().begin(self.size());
        let log = self.present();
        self.host.trace(|| format!("append {name}, {} bytes, sync {sync}", payload.len()));
        let failed = log.has_failed();
        let outcome = log.append(&payload, sync).await;
        self.host.trace(|| format!("append {name}: {outcome:?}"));
        self.known.records.set(self.known.records.get() + 1);
        let mut model = self.known.model.borrow_mut();
        match outcome {
            Ok(()) if failed => return Err(format!("record {name} is taken behind what was lost")),
            Ok(()) => model.acknowledge(name, sync),
            Err(error) if error.kind() == Kind::LogFull => {
                let fits = log.room().is_some_and(|room| room >= payload.len() as u64);
                model.refuse(name);
                // A failed flush may have made room since.
                if fits && self.host.machine().borrow().counts.failed == 0 {
                    return Err(format!("{} bytes are refused, but fit", payload.len()));
                }
            }
            Err(error) => {
                model.fail(Some(name));
                drop(model);
                return self.excuse(&error);
            }
        }
        Ok(())
    }

    fn excuse(&self, error: &PoolError) -> Result<(), String> {
        if !is_fault(&self.host, error) {
            return Err(format!("without a cause: {error}"));
        }
        Ok(())
    }

    /// Several users append at once, each one record after the other.
    async fn append_together(self: &Rc<User>) -> Result<(), String> {
        let mut ends = Vec::new();
        for _ in 0..2 + self.below(6) {
            let (user, (end, ended)) = (Rc::clone(self), oneshot::channel());
            let count = 1 + self.below(4);
            self.host.spawn(Box::pin(ordered(async move {
                let mut outcome = Ok(());
                for _ in 0..count {
                    outcome = outcome.and(user.append().await);
                }
                drop(end.send(outcome));
            })));
            ends.push(ended);
        }
        for ended in ends {
            ended.await.map_err(|_| "an appender is gone")??;
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), String> {
        let mark = self.known.model.borrow_mut().mark();
        let outcome = self.present().sync().await;
        self.host.trace(|| format!("sync: {outcome:?}"));
        match outcome {
            Ok(()) => self.known.model.borrow_mut().made_durable(mark),
            Err(error) => {
                self.known.model.borrow_mut().fail(None);
                return self.excuse(&error);
            }
        }
        Ok(())
    }

    async fn read(&self) -> Result<(), String> {
        match read_all(&self.present()).await {
            Ok(records) => self.model_after_faults().check(&records).map_err(|what| format!("reading: {what}")),
            Err(error) => self.excuse(&error),
        }
    }

    async fn erase(&self) -> Result<(), String> {
        let log = self.present();
        let discards = self.below(2) == 0;
        if discards {
            // So that no write is in flight when the discard begins.
            drop(log.sync().await);
        }
        let generation = self.known.generation.get() + 1 + self.below(3);
        if self.known.defect != Some(LogDefect::ForgetsGeneration) {
            self.known.generation.set(generation);
        }
        let emptied = self.known.model.borrow().successor();
        *self.known.model.borrow_mut() = emptied;
        log.reset(generation);
        if !discards {
            return Ok(());
        }
        match self.media.discard().await {
            Ok(()) => Ok(()),
            Err(error) => self.excuse(&error),
        }
    }

    async fn reopen(&self) -> Result<(), String> {
        let log = self.present();
        let mark = self.known.model.borrow_mut().mark();
        match log.close().await {
            Ok(()) => self.known.model.borrow_mut().made_durable(mark),
            Err(error) => {
                self.known.model.borrow_mut().fail(None);
                self.excuse(&error)?;
            }
        }
        for _ in 0..20 {
            match open(&self.known, &self.media).await {
                Ok(log) => {
                    *self.log.borrow_mut() = log;
                    return self.read().await;
                }
                Err(error) => self.excuse(&error)?,
            }
        }
        // The device fails all the time: this life is over.
        self.over.set(true);
        Ok(())
    }
}
