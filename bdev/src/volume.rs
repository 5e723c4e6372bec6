// SPDX-License-Identifier: BSD-3-Clause

//! One dedupe bdev: how it is created, registered, taken down and freed.
//!
//! All of this happens on the thread that created the volume (SPDK's app thread), except what a shard does on its
//! own. A thing that every shard must do or answer is a *tour* ([`tour`]): shard after shard on its own thread,
//! then back.
//!
//! Creation, each step undone when a later one fails: find or make the pool and the volume's slabs in it
//! ([`Storage`]), lay out, create threads, start shards, register the io_device, register the bdev. Taking down, begun
//! by the delete method, by removal of the bdev below or by the end of the application, all of which come to SPDK's
//! unregistering and so to `destruct`: no more channels, wait until the shards have come to rest, stop them, give back
//! (or, for the delete method, destroy) what is in the pool, tell SPDK, answer who waits.
//!
//! Invariant: shards, ports and `spdk_bdev` stay in place from creation until the last `Arc` is dropped, which is
//! after SPDK was told.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::pool::PoolError;
use engine::Lbn;
use uuid::Uuid;

use crate::channel::{self, Port};
use crate::compat;
use crate::error::CreateError;
use crate::ffi;
use crate::fn_table;
use crate::module;
use crate::params::{BlockSize, CreateParams};
use crate::pool::runtime;
use crate::pool::storage::{self, End, Storage};
use crate::registry;
use crate::setup;
use crate::shard_host::{Plan, ShardHost, StartError, DMA_BYTES, PIECES, VIOS};
use crate::sizing::{self, Memory, Sizes};
use crate::thread::{self, Thread};
use crate::turn::Quiet;

/// Where a volume is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Shards are starting; SPDK does not know the bdev yet.
    Starting,
    /// In service.
    Online,
    /// Being taken down.
    Removing,
}

impl State {
    /// As `bdev_get_bdevs` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Online => "online",
            State::Removing => "removing",
        }
    }
}

/// What is to be done once a volume is gone; whether its objects are, too.
pub type Farewell = Box<dyn FnOnce(Result<(), PoolError>) + Send>;

struct Control {
    state: State,
    base_gone: bool,
    /// What becomes of its objects in the pool.
    end: End,
    farewells: Vec<Farewell>,
}

/// One dedupe bdev.
pub struct Volume {
    bdev: UnsafeCell<ffi::spdk_bdev>,
    name: Arc<str>,
    c_name: CString,
    params: CreateParams,
    uuid: Uuid,
    storage: Storage,
    owner: Thread,
    sizes: Sizes,
    memory: Memory,
    /// Size that the index was given since, in MiB; 0 while it is as it was created.
    index_mib: AtomicU64,
    shards: Arc<[ShardHost]>,
    /// Each from `Box::into_raw`; see [`Port`].
    ports: Mutex<Vec<NonNull<Port>>>,
    next_shard: AtomicUsize,
    control: Mutex<Control>,
}

// SAFETY: `bdev` is SPDK's while it is registered and otherwise touched by the owner thread only; ports are made
// for many threads; all else is Send and Sync.
unsafe impl Send for Volume {}
// SAFETY: as above.
unsafe impl Sync for Volume {}

impl core::fmt::Debug for Volume {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Volume {{ name: {}, shards: {:?} }}", self.name, self.shards)
    }
}

/// Locks a mutex whose guarded data cannot be left half-changed by a panic (panics abort).
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rough size of a shard's arenas: requests, locks, rings.
const ARENA_BYTES: u64 = (VIOS as u64) * 2048 + (PIECES as u64) * 256 + (1 << 20);

impl Volume {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters it was created with.
    pub fn params(&self) -> &CreateParams {
        &self.params
    }

    /// Its identity.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Its shards.
    pub fn shards(&self) -> &[ShardHost] {
        &self.shards
    }

    /// Its layout.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// The memory it uses.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Size of the index in bytes.
    pub fn index_bytes(&self) -> u64 {
        match self.index_mib.load(Ordering::Relaxed) {
            0 => self.sizes.index_bytes,
            mib => mib << 20,
        }
    }

    /// Size of the index as it was asked for, in MiB; none when the default is in force.
    pub fn index_memory_mib(&self) -> Option<u64> {
        match self.index_mib.load(Ordering::Relaxed) {
            0 => self.params.index_memory_mib,
            mib => Some(mib),
        }
    }

    /// Refuses a size of the index that would not fit into memory beside what there is.
    ///
    /// # Errors
    /// It would not.
    pub fn refuse_index(&self, mib: u64) -> Result<(), CreateError> {
        let more = (mib << 20).saturating_sub(self.index_bytes());
        setup::refuse_too_large(&self.name, &Memory { index: more, ..Memory::default() })
    }

    /// Changes the size of the index, online; `done` is called when every shard has begun. Records move over as the
    /// index is used (engine, `hash::Index::resize`).
    pub fn set_index_memory(self: Arc<Volume>, mib: u64, done: impl FnOnce() + Send + 'static) {
        self.index_mib.store(mib, Ordering::Relaxed);
        let bytes = (mib << 20) / self.shards.len() as u64;
        log::info!("{}: the index changes to {mib} MiB", self.name);
        tour(self, move |shard| shard.resize_index(bytes as usize), move |_| done());
    }

    /// What it has in its pool.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The thread that created it and takes it down.
    pub fn owner(&self) -> Thread {
        self.owner
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        lock(&self.control).state
    }

    /// Exposed block size in bytes.
    pub fn block_bytes(&self) -> u32 {
        self.params.block_size.unwrap_or(BlockSize::Block).bytes()
    }

    /// The bytes of `blocks` exposed blocks from `offset` on; none when they are not all inside the volume.
    pub fn byte_range(&self, offset: u64, blocks: u64) -> Option<Range<u64>> {
        let unit = u64::from(self.block_bytes());
        let end = offset.checked_add(blocks)?.checked_mul(unit)?;
        (end <= self.sizes.geometry.logical_blocks().bytes()).then_some(offset * unit..end)
    }

    /// The shard that owns a block.
    pub fn logical_shard(&self, lbn: Lbn) -> &ShardHost {
        &self.shards[self.sizes.geometry.logical_shard(lbn).index()]
    }

    /// The port of a thread, made when it is the first time.
    pub fn port(&self, thread: Thread) -> NonNull<Port> {
        let mut ports = lock(&self.ports);
        // SAFETY: ports live as long as the volume.
        if let Some(port) = ports.iter().find(|port| unsafe { port.as_ref() }.thread() == thread) {
            return *port;
        }
        let port = NonNull::from(Box::leak(Box::new(Port::new(thread))));
        ports.push(port);
        port
    }

    /// The shard for what has no range: the one on the thread or core of the channel, else the next in turn.
    pub fn deal_shard(&self, thread: Thread) -> usize {
        let core = thread::current_core();
        let near = self.shards.iter().position(|shard| shard.thread == thread);
        let near = near.or_else(|| self.shards.iter().position(|shard| Some(shard.core) == core));
        near.unwrap_or_else(|| self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len())
    }

    fn device(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Creates a volume and calls `done`, later, on this thread. On the app thread.
    pub fn create(params: CreateParams, done: impl FnOnce(Result<Arc<Volume>, CreateError>) + Send + 'static) {
        runtime::spawn(async move {
            match Volume::prepare(params).await {
                Ok((volume, plans)) => Volume::start(volume, plans, done),
                Err(error) => done(Err(error)),
            }
        });
    }

    /// Everything up to the start of the shards.
    async fn prepare(params: CreateParams) -> Result<(Arc<Volume>, VecDeque<Plan>), CreateError> {
        setup::refuse_taken_name(&params.name)?;
        let cores = setup::choose_cores(&params)?;
        let storage = storage::obtain(&params, cores.len()).await?;
        match Parts::of(&params, &cores, &storage) {
            Ok(parts) => Ok(Volume::assemble(params, storage, parts)),
            Err(error) => {
                storage::end(storage.key, End::Undo).await.unwrap_or_else(|error| log::error!("{error}"));
                Err(error)
            }
        }
    }

    fn assemble(params: CreateParams, storage: Storage, parts: Parts) -> (Arc<Volume>, VecDeque<Plan>) {
        let volume = Arc::new(Volume {
            // SAFETY: plain data of SPDK's that expects to be zeroed; filled in before it is registered.
            bdev: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            name: Arc::from(params.name.as_str()),
            c_name: CString::new(params.name.as_str()).unwrap_or_default(),
            uuid: storage.volume_uuid,
            params,
            storage,
            owner: parts.owner,
            sizes: parts.sizes,
            memory: parts.memory,
            index_mib: AtomicU64::new(0),
            shards: parts.shards,
            ports: Mutex::new(Vec::new()),
            next_shard: AtomicUsize::new(0),
            control: Mutex::new(Control {
                state: State::Starting,
                base_gone: false,
                end: End::Keep,
                farewells: Vec::new(),
            }),
        });
        (volume, parts.plans)
    }

    fn start(
        volume: Arc<Volume>,
        mut plans: VecDeque<Plan>,
        done: impl FnOnce(Result<Arc<Volume>, CreateError>) + Send + 'static,
    ) {
        if !storage::watch(volume.storage.key, Arc::downgrade(&volume)) {
            lock(&volume.control).base_gone = true;
        }
        let start = move |shard: &ShardHost| plans.pop_front().map_or(Ok(()), |plan| shard.start(plan));
        let then = Arc::clone(&volume);
        tour(volume, start, move |results| {
            let outcome = then.check_start(&results).and_then(|()| then.register());
            match outcome {
                Ok(()) => done(Ok(then)),
                Err(error) => {
                    let end = Arc::clone(&then);
                    tour(then, ShardHost::stop, move |_| {
                        runtime::spawn(async move {
                            storage::end(end.storage.key, End::Undo)
                                .await
                                .unwrap_or_else(|error| log::error!("{error}"));
                            done(Err(error));
                        });
                    });
                }
            }
        });
    }

    fn check_start(&self, results: &[Result<(), StartError>]) -> Result<(), CreateError> {
        for (shard, result) in self.shards.iter().zip(results) {
            result.map_err(|error| CreateError::Start { name: self.name.to_string(), core: shard.core, error })?;
        }
        if lock(&self.control).base_gone {
            let (name, base) = (self.name.to_string(), self.storage.bdev_name.clone());
            return Err(CreateError::BaseRemoved { name, base });
        }
        Ok(())
    }

    /// Makes the volume known to SPDK.
    fn register(self: &Arc<Volume>) -> Result<(), CreateError> {
        self.fill_bdev();
        // SAFETY: the volume is the io_device's key and outlives it; the callbacks fit the context size. The bdev
        // is filled in and stays in place until SPDK has been told that it is gone.
        let rc = unsafe {
            ffi::spdk_io_device_register(
                self.device(),
                Some(channel::create),
                Some(channel::destroy),
                channel::CHANNEL_BYTES as u32,
                self.c_name.as_ptr(),
            );
            lock(&self.control).state = State::Online;
            registry::add(Arc::clone(self));
            ffi::spdk_bdev_register(self.bdev.get())
        };
        if rc == 0 {
            self.announce();
            return Ok(());
        }
        lock(&self.control).state = State::Starting;
        registry::remove(self);
        // SAFETY: registered above; without a bdev nobody has a channel.
        unsafe { ffi::spdk_io_device_unregister(self.device(), None) };
        Err(CreateError::Register { name: self.name.to_string(), errno: rc })
    }

    fn fill_bdev(&self) {
        // SAFETY: not yet registered, so this thread's alone.
        let bdev = unsafe { &mut *self.bdev.get() };
        let block = self.block_bytes();
        bdev.ctxt = self.device();
        bdev.name = self.c_name.as_ptr().cast_mut();
        bdev.product_name = c"dedupe".as_ptr().cast_mut();
        bdev.uuid = compat::uuid_from_bytes(*self.uuid.as_bytes());
        bdev.blocklen = block;
        bdev.blockcnt = self.sizes.geometry.logical_blocks().bytes() / u64::from(block);
        // What completes may be in the write cache of the bdev below; flush reaches it.
        bdev.write_cache = i32::from(self.storage.write_cache);
        bdev.write_unit_size = 1;
        bdev.required_alignment = self.storage.required_alignment;
        compat::set_hints(bdev, engine::BLOCK_SIZE as u32 / block);
        bdev.module = module::handle();
        bdev.fn_table = fn_table::table();
    }

    fn announce(&self) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let geometry = &self.sizes.geometry;
        log::info!(
            "{}: {} MiB of {}-byte blocks over {} MiB of pool '{}' on '{}', {} slabs of {} MiB, {} shard(s)",
            self.name,
            mib(geometry.logical_blocks().bytes()),
            self.block_bytes(),
            mib(geometry.data_blocks().bytes()),
            self.storage.pool_name,
            self.storage.bdev_name,
            geometry.slabs(),
            mib(geometry.slab_blocks() << 12),
            geometry.shards(),
        );
        log::info!(
            "{}: metadata is kept in RAM only in this release: the volume is empty after a restart. It uses \
             {} MiB of memory now and at most {} MiB, and {} MiB of DMA memory",
            self.name,
            mib(self.memory.certain()),
            mib(self.memory.at_most()),
            mib(self.memory.dma),
        );
    }

    /// Takes the volume down, destroys its objects in the pool, and calls `farewell` when that is done. On the app
    /// thread.
    pub fn delete(&self, farewell: Farewell) {
        let mut control = lock(&self.control);
        control.end = End::Destroy;
        control.farewells.push(farewell);
        drop(control);
        self.unregister();
    }

    /// Takes the volume down because its base goes away.
    pub fn base_removed(&self) {
        lock(&self.control).base_gone = true;
        if self.state() != State::Starting {
            log::warn!("{}: base bdev '{}' was removed", self.name, self.storage.bdev_name);
            self.unregister();
        }
    }

    fn unregister(&self) {
        let before = core::mem::replace(&mut lock(&self.control).state, State::Removing);
        if before == State::Online {
            // SAFETY: registered, and not yet asked to unregister by this module; SPDK bears with being asked twice.
            unsafe { ffi::spdk_bdev_unregister(self.bdev.get(), None, ptr::null_mut()) };
        }
    }

    /// SPDK has no more use for the bdev: no descriptor is open, no request is on the way.
    pub fn destruct(self: Arc<Volume>) {
        lock(&self.control).state = State::Removing;
        // SAFETY: registered in `register`. SPDK calls back once the last channel is gone, with the key: the
        // volume, which the registry keeps.
        unsafe { ffi::spdk_io_device_unregister(self.device(), Some(channels_gone)) };
    }

    /// Waits until nothing is in flight in or between the shards, then stops them.
    ///
    /// One look at each shard is not enough, since a shard that was idle when it was asked may have got mail since.
    /// When two looks in succession find all idle, as many mails received as sent, and no mail in between, then
    /// nothing is under way.
    fn come_to_rest(volume: Arc<Volume>, before: Option<Vec<Quiet>>) {
        let then = Arc::clone(&volume);
        tour(volume, ShardHost::quiet, move |now| {
            let sent: u64 = now.iter().map(|shard| shard.sent).sum();
            let received: u64 = now.iter().map(|shard| shard.received).sum();
            let at_rest = now.iter().all(|shard| shard.idle) && sent == received;
            if at_rest && before.as_ref() == Some(&now) {
                let end = Arc::clone(&then);
                tour(then, ShardHost::stop, move |_| Volume::finish(end));
            } else {
                let owner = then.owner;
                owner.post(move || Volume::come_to_rest(then, Some(now).filter(|_| at_rest)));
            }
        });
    }

    /// Gives everything back.
    fn finish(volume: Arc<Volume>) {
        // SAFETY: ports live as long as the volume.
        if !lock(&volume.ports).iter().all(|port| unsafe { port.as_ref() }.is_quiet()) {
            let owner = volume.owner;
            owner.post(move || Volume::finish(volume));
            return;
        }
        runtime::spawn(async move {
            let end = lock(&volume.control).end;
            let outcome = storage::end(volume.storage.key, end).await;
            registry::remove(&volume);
            match &outcome {
                Ok(()) => log::info!("{}: removed", volume.name),
                Err(error) => log::error!("{}: removed, but not all that it has in the pool: {error}", volume.name),
            }
            // SAFETY: `destruct` promised to say so; SPDK does not use the bdev afterwards.
            unsafe { ffi::spdk_bdev_destruct_done(volume.bdev.get(), 0) };
            let farewells = core::mem::take(&mut lock(&volume.control).farewells);
            for farewell in farewells {
                farewell(outcome.clone());
            }
            module::volume_gone();
        });
    }
}

/// What a volume is made of beside its storage.
struct Parts {
    owner: Thread,
    sizes: Sizes,
    memory: Memory,
    shards: Arc<[ShardHost]>,
    plans: VecDeque<Plan>,
}

impl Parts {
    fn of(params: &CreateParams, cores: &[u32], storage: &Storage) -> Result<Parts, CreateError> {
        let name = params.name.as_str();
        let sizes =
            sizing::lay_out(storage.slab_places.len() as u64, storage.slab_blocks, cores.len(), &params.wishes())
                .map_err(|error| CreateError::sizing(name, &storage.pool_name, error))?;
        let memory = Memory::of(&sizes, ARENA_BYTES, DMA_BYTES);
        setup::refuse_too_large(name, &memory)?;
        let fingerprinter = setup::random_fingerprinter(name)?;
        let owner = Thread::current().ok_or_else(|| CreateError::Thread { name: name.to_owned(), core: cores[0] })?;
        let shards = setup::make_shards(name, cores, owner)?;
        let plans = setup::make_plans(name, storage, &sizes, &fingerprinter, &shards);
        Ok(Parts { owner, sizes, memory, shards, plans })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for port in lock(&self.ports).drain(..) {
            // SAFETY: from `Box::leak`, freed once; all channels are gone and the port is quiet (`finish`), or
            // there never was a channel.
            drop(unsafe { Box::from_raw(port.as_ptr()) });
        }
    }
}

/// Has `visit` run for each shard in turn, on its thread, and then `done` with the answers on the owner's. Runs
/// through at once where all of it is on the calling thread.
pub fn tour<T: Send + 'static>(
    volume: Arc<Volume>,
    visit: impl FnMut(&ShardHost) -> T + Send + 'static,
    done: impl FnOnce(Vec<T>) + Send + 'static,
) {
    let answers = Vec::with_capacity(volume.shards.len());
    step(volume, visit, answers, done);
}

fn step<T: Send + 'static>(
    volume: Arc<Volume>,
    mut visit: impl FnMut(&ShardHost) -> T + Send + 'static,
    mut answers: Vec<T>,
    done: impl FnOnce(Vec<T>) + Send + 'static,
) {
    let Some(shard) = volume.shards.get(answers.len()) else {
        let owner = volume.owner;
        owner.run(move || done(answers));
        return;
    };
    shard.thread.run(move || {
        answers.push(visit(&volume.shards[answers.len()]));
        step(volume, visit, answers, done);
    });
}

/// A counted reference to the volume behind a context pointer of SPDK's.
///
/// # Safety
/// `context` is the address of a volume that some `Arc` keeps.
pub unsafe fn volume_of(context: *mut c_void) -> Arc<Volume> {
    let volume = context.cast::<Volume>().cast_const();
    // SAFETY: every volume is made by `Arc::new`, and the caller vouches that it is alive.
    unsafe {
        Arc::increment_strong_count(volume);
        Arc::from_raw(volume)
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn channels_gone(device: *mut c_void) {
    // SAFETY: SPDK calls this with the key, a volume that the registry keeps until `finish`.
    let volume = unsafe { volume_of(device) };
    Volume::come_to_rest(volume, None);
}
