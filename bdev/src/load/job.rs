// SPDX-License-Identifier: BSD-3-Clause

//! One job: keeps a number of requests in flight on one bdev from one SPDK thread.
//!
//! [`start`] opens the bdev and fills the queue. Each completion is counted and replaced by a new request until the
//! limit is reached. When the last request is back, the job closes the bdev and sends its report. Invariants:
//! * A job lives in a `Box` that is given away at the start and taken back by the completion after which nothing is in
//!   flight.
//! * Only its own thread touches a job: SPDK calls back on the submitting thread, and never from inside a submission.
//! * A task has at most one request in flight; its part of the buffer belongs to that request until completion.

use core::ffi::c_void;
use core::ptr;
use std::ffi::CString;
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::Duration;

use super::address::Slots;
use super::content::{self, SharedContent, Source, MAX_WRITE_BLOCKS};
use super::histogram::Histogram;
use super::memory::DmaBuffer;
use super::spec::{Content, Limit, LoadError, LoadReport, LoadSpec, Operation};
use crate::spdk::ffi;

const BLOCK: usize = engine::BLOCK_SIZE;

/// Which of several jobs this is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Number of this job.
    pub(super) index: u64,
    /// Number of jobs.
    pub(super) jobs: u64,
    /// Number of the run.
    pub(super) run: u64,
}

/// The result of one job, or of all together.
#[derive(Debug, Clone, Default)]
pub(super) struct JobReport {
    requests: u64,
    all_requests: u64,
    per_second: f64,
    /// Length of the counted windows, summed over the jobs.
    window_ticks: u64,
    latency: Histogram,
}

impl JobReport {
    pub(super) fn add(&mut self, other: &JobReport) {
        self.requests += other.requests;
        self.all_requests += other.all_requests;
        self.per_second += other.per_second;
        self.window_ticks += other.window_ticks;
        self.latency.merge(&other.latency);
    }

    pub(super) fn into_report(self, busy_ticks: u64) -> LoadReport {
        let hz = ticks_per_second();
        let each = |ticks: u64, count: u64| Duration::from_secs_f64(ticks as f64 / hz as f64 / count.max(1) as f64);
        LoadReport {
            iops: self.per_second,
            requests: self.requests,
            all_requests: self.all_requests,
            busy_per_request: each(busy_ticks, self.all_requests),
            core_time_per_request: each(self.window_ticks, self.requests),
            latency: self.latency,
            ticks_per_second: hz,
        }
    }
}

/// Finds errors of a load that do not depend on the bdev.
pub(super) fn check(spec: &LoadSpec) -> Result<(), LoadError> {
    let wrong = |reason| Err(LoadError::Spec { bdev: spec.bdev.clone(), reason });
    if spec.queue_depth == 0 {
        return wrong("the queue depth is 0");
    }
    if spec.blocks_per_request == 0 || spec.region_blocks < u64::from(spec.blocks_per_request) {
        return wrong("a request has no blocks, or more than the region");
    }
    if matches!(spec.operation, Operation::Write(_)) && spec.blocks_per_request as usize > MAX_WRITE_BLOCKS {
        return wrong("writes have at most 64 blocks");
    }
    Ok(())
}

/// Runs a job on the calling SPDK thread; `done` gets its report, or the first error.
pub(super) fn start(
    spec: &LoadSpec,
    place: Place,
    shared: Arc<SharedContent>,
    done: &Sender<Result<JobReport, LoadError>>,
) {
    match Job::open(spec, place, shared, done.clone()) {
        Ok(job) => Job::begin(job),
        Err(error) => {
            // The receiver may have given up after another job's error.
            let _ = done.send(Err(error));
        }
    }
}

/// One request at a time.
struct Task {
    /// This task's part of the job's buffer.
    own: *mut u8,
    /// The data written or read: `own`, or shared content.
    data: *mut u8,
    /// First block, in units of 4 KiB.
    lbn: u64,
    submitted: u64,
    /// For waiting when SPDK has no spdk_bdev_io left.
    wait: ffi::spdk_bdev_io_wait_entry,
}

/// The context of a request. Never changed after the start.
struct TaskName {
    job: *mut Job,
    index: usize,
}

struct Job {
    bdev_name: String,
    descriptor: *mut ffi::spdk_bdev_desc,
    channel: *mut ffi::spdk_io_channel,
    /// Blocks of the bdev in 4 KiB.
    device_blocks: u64,
    operation: Operation,
    blocks: u32,
    once: bool,
    slots: Slots,
    source: Source,
    tasks: Box<[Task]>,
    names: Box<[TaskName]>,
    outstanding: usize,
    started: u64,
    measure_from: u64,
    measure_until: u64,
    last: u64,
    report: JobReport,
    error: Option<LoadError>,
    done: Sender<Result<JobReport, LoadError>>,
    /// Memory of the tasks.
    _buffer: DmaBuffer,
}

fn ticks() -> u64 {
    // SAFETY: reads the time stamp counter.
    unsafe { ffi::spdk_get_ticks() }
}

fn ticks_per_second() -> u64 {
    // SAFETY: reads a constant of SPDK's environment.
    unsafe { ffi::spdk_get_ticks_hz() }
}

fn in_ticks(duration: Duration) -> u64 {
    (duration.as_secs_f64() * ticks_per_second() as f64) as u64
}

/// An open bdev; closed on drop, on the thread that opened it.
struct OpenBdev {
    descriptor: *mut ffi::spdk_bdev_desc,
    channel: *mut ffi::spdk_io_channel,
    block_size: u64,
    block_count: u64,
}

impl OpenBdev {
    fn open(name: &str) -> Result<OpenBdev, LoadError> {
        let failed = |errno| LoadError::Open { bdev: name.to_owned(), errno };
        let c_name = CString::new(name).map_err(|_| failed(libc::EINVAL))?;
        let mut descriptor = ptr::null_mut();
        // SAFETY: runs on an SPDK thread; the name is read only during the call, and `descriptor` is a local for the
        // result.
        let rc =
            unsafe { ffi::spdk_bdev_open_ext(c_name.as_ptr(), true, Some(on_event), ptr::null_mut(), &mut descriptor) };
        if rc != 0 {
            return Err(failed(-rc));
        }
        // SAFETY: the descriptor is open, and its bdev lives as long as the descriptor.
        let (channel, block_size, block_count) = unsafe {
            let bdev = ffi::spdk_bdev_desc_get_bdev(descriptor);
            let channel = ffi::spdk_bdev_get_io_channel(descriptor);
            (channel, ffi::spdk_bdev_get_block_size(bdev), ffi::spdk_bdev_get_num_blocks(bdev))
        };
        let bdev = OpenBdev { descriptor, channel, block_size: u64::from(block_size), block_count };
        if channel.is_null() {
            return Err(failed(libc::ENOMEM));
        }
        Ok(bdev)
    }
}

impl Drop for OpenBdev {
    fn drop(&mut self) {
        // SAFETY: both were got on this thread, once, and no request uses them any more.
        unsafe {
            if !self.channel.is_null() {
                ffi::spdk_put_io_channel(self.channel);
            }
            ffi::spdk_bdev_close(self.descriptor);
        }
    }
}

/// Does nothing: no bdev is removed or resized while a load runs, but SPDK requires the callback.
extern "C" fn on_event(_: ffi::spdk_bdev_event_type::Type, _: *mut ffi::spdk_bdev, _: *mut c_void) {}

impl Job {
    fn open(
        spec: &LoadSpec,
        place: Place,
        shared: Arc<SharedContent>,
        done: Sender<Result<JobReport, LoadError>>,
    ) -> Result<(OpenBdev, Box<Job>), LoadError> {
        let bdev = OpenBdev::open(&spec.bdev)?;
        let device_blocks = BLOCK as u64 / bdev.block_size.max(1);
        if device_blocks == 0 || bdev.block_count / device_blocks < spec.region_blocks {
            let reason = "the bdev's blocks are larger than 4 KiB, or it is smaller than the region";
            return Err(LoadError::Spec { bdev: spec.bdev.clone(), reason });
        }
        let depth = spec.queue_depth as usize;
        let own_bytes = if spec.operation == Operation::Unmap { 0 } else { spec.blocks_per_request as usize * BLOCK };
        let bytes = own_bytes * depth;
        let mut buffer = DmaBuffer::random(bytes, place.run << 8 | place.index)
            .ok_or_else(|| LoadError::Memory { bdev: spec.bdev.clone(), bytes })?;
        let content = if let Operation::Write(content) = spec.operation { content } else { Content::Zero };
        if let Content::Compressible(percent) = content {
            content::make_compressible(buffer.as_mut(), percent);
        }
        let once = spec.limit == Limit::OnePass;
        let slots = spec.region_blocks / u64::from(spec.blocks_per_request);
        let tasks = (0..depth).map(|index| Task::new(buffer.as_ptr().wrapping_add(index * own_bytes))).collect();
        let mut job = Box::new(Job {
            bdev_name: spec.bdev.clone(),
            descriptor: bdev.descriptor,
            channel: bdev.channel,
            device_blocks,
            operation: spec.operation,
            blocks: spec.blocks_per_request,
            once,
            slots: Slots::new(spec.order, once, slots, place.index, place.jobs, spec.seed),
            source: Source::new(content, shared, place.index, place.run),
            tasks,
            names: Box::new([]),
            outstanding: 0,
            started: 0,
            measure_from: 0,
            measure_until: u64::MAX,
            last: 0,
            report: JobReport::default(),
            error: None,
            done,
            _buffer: buffer,
        });
        if let Limit::Time { warm_up, measure } = spec.limit {
            job.measure_from = in_ticks(warm_up);
            job.measure_until = job.measure_from + in_ticks(measure);
        }
        Ok((bdev, job))
    }

    /// Gives the job away to its completions and fills the queue.
    fn begin((bdev, job): (OpenBdev, Box<Job>)) {
        // `end` closes the bdev.
        core::mem::forget(bdev);
        let job = Box::into_raw(job);
        // SAFETY: just given away; no request is in flight, so nothing else uses the job.
        let this = unsafe { &mut *job };
        this.names = (0..this.tasks.len()).map(|index| TaskName { job, index }).collect();
        let now = ticks();
        this.started = now;
        this.measure_from += now;
        this.measure_until = this.measure_until.saturating_add(now);
        for index in 0..this.tasks.len() {
            this.next_request(index, now);
        }
        if this.outstanding == 0 {
            // SAFETY: given away above, and no request is in flight that could come back to the job.
            unsafe { Job::end(job) };
        }
    }

    /// Starts the next request of a task, if there is one.
    #[inline]
    fn next_request(&mut self, index: usize, now: u64) {
        if self.error.is_some() || now >= self.measure_until {
            return;
        }
        let Some(slot) = self.slots.next() else { return };
        let task = &mut self.tasks[index];
        task.lbn = slot * u64::from(self.blocks);
        task.submitted = now;
        task.data = match self.operation {
            // SAFETY: the task has no request in flight, so its buffer of `blocks` blocks is unused; `check` verified
            // the number.
            Operation::Write(_) => unsafe { self.source.data(task.own, task.lbn, self.blocks) },
            Operation::Read { .. } | Operation::Unmap => task.own,
        };
        self.outstanding += 1;
        self.submit(index);
    }

    /// Submits the request that a task has prepared.
    #[inline]
    fn submit(&mut self, index: usize) {
        let task = &self.tasks[index];
        let (offset, count) = (task.lbn * self.device_blocks, u64::from(self.blocks) * self.device_blocks);
        let (descriptor, channel, data) = (self.descriptor, self.channel, task.data.cast::<c_void>());
        let name = ptr::from_ref(&self.names[index]).cast_mut().cast::<c_void>();
        // SAFETY: descriptor and channel are open, on this thread; `data` has room for the request and belongs to it
        // until `on_done` (shared content is only read); `name` lives as long as the job, which waits for all its
        // requests.
        let rc = unsafe {
            match self.operation {
                Operation::Read { .. } => {
                    ffi::spdk_bdev_read_blocks(descriptor, channel, data, offset, count, Some(on_done), name)
                }
                Operation::Write(_) => {
                    ffi::spdk_bdev_write_blocks(descriptor, channel, data, offset, count, Some(on_done), name)
                }
                Operation::Unmap => {
                    ffi::spdk_bdev_unmap_blocks(descriptor, channel, offset, count, Some(on_done), name)
                }
            }
        };
        if rc != 0 {
            self.not_submitted(index, -rc, name);
        }
    }

    /// SPDK refused a request: without an spdk_bdev_io the request waits; after any other error the job ends.
    #[cold]
    fn not_submitted(&mut self, index: usize, errno: i32, name: *mut c_void) {
        let task = &mut self.tasks[index];
        if errno == libc::ENOMEM {
            // SAFETY: the descriptor is open; the entry lives in the task, which has no other request, until `on_room`.
            let rc = unsafe {
                let bdev = ffi::spdk_bdev_desc_get_bdev(self.descriptor);
                task.wait.bdev = bdev;
                task.wait.cb_fn = Some(on_room);
                task.wait.cb_arg = name;
                ffi::spdk_bdev_queue_io_wait(bdev, self.channel, &mut task.wait)
            };
            if rc == 0 {
                return;
            }
        }
        let lbn = task.lbn;
        self.outstanding -= 1;
        self.fail(LoadError::Submit { bdev: self.bdev_name.clone(), lbn, errno });
    }

    fn fail(&mut self, error: LoadError) {
        self.error.get_or_insert(error);
    }

    /// Counts a completion and starts the task's next request.
    #[inline]
    fn completed(&mut self, index: usize, success: bool) {
        let now = ticks();
        self.outstanding -= 1;
        let task = &self.tasks[index];
        if !success {
            let lbn = task.lbn;
            self.fail(LoadError::Failed { bdev: self.bdev_name.clone(), lbn });
            return;
        }
        if self.operation == (Operation::Read { verify: true }) {
            // SAFETY: the request is done, so its blocks are filled and no device uses them; the buffer is 4
            // KiB-aligned.
            if let Some((lbn, found)) = unsafe { content::wrong_stamp(task.data, task.lbn, self.blocks) } {
                self.fail(LoadError::Miscompare { bdev: self.bdev_name.clone(), lbn, found });
                return;
            }
        }
        self.report.all_requests += 1;
        self.last = now;
        if now >= self.measure_from && now < self.measure_until {
            self.report.requests += 1;
            self.report.latency.record(now - task.submitted);
        }
        self.next_request(index, now);
    }

    /// Closes the bdev and reports.
    ///
    /// # Safety
    /// `job` was given away by `begin`, nobody uses it, and no request is in flight.
    unsafe fn end(job: *mut Job) {
        // SAFETY: by contract of this function.
        let mut job = unsafe { Box::from_raw(job) };
        let (descriptor, channel) = (job.descriptor, job.channel);
        drop(OpenBdev { descriptor, channel, block_size: 0, block_count: 0 });
        let window = if job.once { job.last.saturating_sub(job.started) } else { job.measure_until - job.measure_from };
        job.report.window_ticks = window;
        job.report.per_second = job.report.requests as f64 * ticks_per_second() as f64 / window.max(1) as f64;
        let result = job.error.take().map_or_else(|| Ok(core::mem::take(&mut job.report)), Err);
        // The receiver may have given up after another job's error.
        let _ = job.done.send(result);
    }
}

impl Task {
    fn new(own: *mut u8) -> Task {
        // SAFETY: the entry is plain data: pointers, which may be null, and a list link.
        let wait = unsafe { core::mem::zeroed() };
        Task { own, data: own, lbn: 0, submitted: 0, wait }
    }
}

/// A request is done.
///
/// # Safety
/// Called by SPDK once per request, on the job's thread: `name` is the [`TaskName`] that the request was submitted
/// with, and `io` the request.
unsafe extern "C" fn on_done(io: *mut ffi::spdk_bdev_io, success: bool, name: *mut c_void) {
    // Before the job is touched: freeing a request may call `on_room` for one that waits for it.
    // SAFETY: this callback owns `io`, and frees it once.
    unsafe { ffi::spdk_bdev_free_io(io) };
    // SAFETY: names live as long as the job, which this request kept alive.
    let TaskName { job, index } = unsafe { &*name.cast::<TaskName>() };
    let (job, index) = (*job, *index);
    // SAFETY: the job is alive, and only its thread, which is here and nowhere else, uses it.
    let this = unsafe { &mut *job };
    this.completed(index, success);
    if this.outstanding == 0 {
        // SAFETY: nothing is in flight, and `this` is not used any more.
        unsafe { Job::end(job) };
    }
}

/// SPDK has an spdk_bdev_io again.
///
/// # Safety
/// Called by SPDK once for each queued entry, on the job's thread: `name` is the [`TaskName`] of the waiting task.
unsafe extern "C" fn on_room(name: *mut c_void) {
    // SAFETY: as in `on_done`; a waiting task counts as in flight, so the job is alive.
    let TaskName { job, index } = unsafe { &*name.cast::<TaskName>() };
    let (job, index) = (*job, *index);
    // SAFETY: as in `on_done`, which holds no reference to the job while it frees a request.
    let this = unsafe { &mut *job };
    this.submit(index);
    if this.outstanding == 0 {
        // SAFETY: nothing is in flight, and `this` is not used any more.
        unsafe { Job::end(job) };
    }
}
