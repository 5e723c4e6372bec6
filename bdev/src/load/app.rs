// SPDX-License-Identifier: BSD-3-Clause

//! An SPDK application inside this process, and the driver thread that uses it.

use core::ffi::c_void;
use std::any::Any;
use std::ffi::CString;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};

use thiserror::Error;

use super::content::SharedContent;
use super::job::{self, JobReport};
use super::spec::{LoadError, LoadReport, LoadSpec};
use super::thread::{self, ThreadHandle, ThreadTimes};
use crate::spdk::ffi;

/// Exit status after SIGINT or SIGTERM, as in shells.
const EXIT_INTERRUPTED: i32 = 130;

/// How to start the application.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Name of the application in messages.
    pub name: String,
    /// Cores to poll on, at least one; the first also runs the RPC server.
    pub cores: Vec<u32>,
    /// Use huge pages; otherwise (26.01 only) `memory_mib` of ordinary memory.
    pub huge_pages: bool,
    /// Memory to reserve at the start, in MiB. With huge pages SPDK takes more when needed.
    pub memory_mib: u32,
    /// Path for the UNIX socket of the RPC server.
    pub rpc_socket: PathBuf,
}

/// Why the application did not run.
#[derive(Debug, Error)]
pub enum AppError {
    /// SPDK supports one application in the life of a process.
    #[error("this process has run its SPDK application already")]
    Again,
    /// An option that SPDK cannot take.
    #[error("SPDK application: option {0} is unusable")]
    Option(&'static str),
    /// This SPDK cannot run without huge pages; 24.01 and later can.
    #[error("this SPDK is older than 24.01 and cannot run without huge pages")]
    NeedsHugePages,
    /// SPDK did not start; standard error says why.
    #[error("the SPDK application did not start or failed: status {0}")]
    Start(i32),
    /// SPDK has no memory for the load generator's data.
    #[error("no memory for the load generator's data: more huge pages are needed")]
    Memory,
    /// SPDK ended the module while it was in use.
    #[error("SPDK has ended the module before the work on it was done")]
    Ended,
    /// A thread on this core could not be created.
    #[error("no SPDK thread on core {0}")]
    Thread(u32),
}

/// The running application, as its driver sees it.
#[derive(Debug)]
pub struct App {
    app_thread: ThreadHandle,
    /// One per core, in the order of [`AppOptions::cores`].
    workers: Vec<ThreadHandle>,
    content: Arc<SharedContent>,
}

impl App {
    /// Number of cores, and hence of jobs.
    #[must_use]
    pub fn core_count(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn app_thread(&self) -> ThreadHandle {
        self.app_thread
    }

    /// Runs `work` on the reactor of core number `index` (of [`AppOptions::cores`]) and waits for it. Nothing else
    /// runs on that reactor meanwhile.
    pub fn run_on<T: Send + 'static>(&self, index: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.workers[index].call(work)
    }

    /// Time that the application's SPDK threads have spent working and polling in vain so far.
    #[must_use]
    pub fn thread_times(&self) -> ThreadTimes {
        thread::times(self.app_thread)
    }

    /// Runs a load, one job on each core, and waits for its end.
    ///
    /// # Errors
    /// The load does not suit the bdev, or a request of it failed.
    pub fn run_load(&self, spec: &LoadSpec) -> Result<LoadReport, LoadError> {
        job::check(spec)?;
        let before = self.thread_times();
        let jobs = self.start_jobs(spec);
        let mut total = JobReport::default();
        for job in jobs {
            total.add(&job?);
        }
        let busy_ticks = self.thread_times().busy_ticks - before.busy_ticks;
        Ok(total.into_report(busy_ticks))
    }

    /// Starts the jobs and collects their results.
    fn start_jobs(&self, spec: &LoadSpec) -> Vec<Result<JobReport, LoadError>> {
        let (sender, receiver) = mpsc::channel();
        let run = super::content::new_run();
        for (index, worker) in self.workers.iter().enumerate() {
            let place = job::Place { index: index as u64, jobs: self.workers.len() as u64, run };
            let (spec, content, sender) = (spec.clone(), Arc::clone(&self.content), sender.clone());
            worker.send(move || job::start(&spec, place, content, &sender));
        }
        drop(sender);
        receiver.iter().collect()
    }
}

/// SPDK can initialise its environment once in a process.
static HAS_RUN: AtomicBool = AtomicBool::new(false);

/// The result of the driver's thread, or the panic to resume.
type Outcome<T> = std::thread::Result<Result<T, AppError>>;

struct Start {
    /// Run on the application's thread once SPDK is up.
    begin: Box<dyn FnOnce() + Send>,
}

/// Starts an SPDK application on the calling thread and `driver` on a thread of its own. Stops the application when the
/// driver returns, and returns the driver's result. SIGINT and SIGTERM end the process.
///
/// # Errors
/// See [`AppError`].
pub fn run<T: Send + 'static>(
    options: &AppOptions,
    driver: impl FnOnce(&App) -> T + Send + 'static,
) -> Result<T, AppError> {
    if HAS_RUN.swap(true, Ordering::SeqCst) {
        return Err(AppError::Again);
    }
    crate::module::link();
    let cores = options.cores.clone();
    let (sender, receiver) = mpsc::channel::<Outcome<T>>();
    let begin = move || {
        let app_thread = ThreadHandle::current();
        std::thread::spawn(move || {
            // Whatever happens in the driver, the application must stop, or the process would never end.
            let outcome = catch_unwind(AssertUnwindSafe(|| drive(app_thread, &cores, driver)));
            let rc = i32::from(!matches!(outcome, Ok(Ok(_))));
            let _ = sender.send(outcome);
            // SAFETY: runs on the application's thread, once.
            app_thread.send(move || unsafe { ffi::spdk_app_stop(rc) });
        });
    };
    let rc = start_app(options, Start { begin: Box::new(begin) })?;
    match receiver.try_recv() {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic as Box<dyn Any + Send>),
        Err(_) => Err(AppError::Start(rc)),
    }
}

/// The driver thread: prepares the application for loads, runs the driver, and ends the worker threads.
fn drive<T>(app_thread: ThreadHandle, cores: &[u32], driver: impl FnOnce(&App) -> T) -> Result<T, AppError> {
    leave_reactor_core();
    let content = app_thread.call(SharedContent::new).ok_or(AppError::Memory)?;
    let mut app = App { app_thread, workers: Vec::new(), content };
    for &core in cores {
        let worker = app_thread.call(move || {
            let name = CString::new(format!("load_{core}")).expect("a number has no NUL");
            ThreadHandle::create(&name, core)
        });
        app.workers.push(worker.ok_or(AppError::Thread(core))?);
    }
    let result = catch_unwind(AssertUnwindSafe(|| driver(&app)));
    app.workers.iter().for_each(|worker| worker.exit());
    result.map_or_else(|panic| resume_unwind(panic), Ok)
}

/// Lets the driver thread run on any core. It inherited the affinity of the reactor that started it, and a reactor
/// never sleeps.
fn leave_reactor_core() {
    // SAFETY: cpu_set_t is plain bits, and the set is local; pid 0 is the calling thread. If the call fails the driver
    // is slow, not wrong.
    unsafe {
        let mut all: libc::cpu_set_t = core::mem::zeroed();
        for core in 0..libc::CPU_SETSIZE as usize {
            libc::CPU_SET(core, &mut all);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &all);
    }
}

/// Runs the application until it is stopped.
fn start_app(options: &AppOptions, start: Start) -> Result<i32, AppError> {
    let name = c_string("name", &options.name)?;
    let mask = c_string("cores", &core_list(&options.cores)?)?;
    let socket = c_string("rpc_socket", options.rpc_socket.to_str().ok_or(AppError::Option("rpc_socket"))?)?;
    let mut opts = default_opts();
    opts.name = name.as_ptr();
    opts.reactor_mask = mask.as_ptr();
    opts.rpc_addr = socket.as_ptr();
    opts.shutdown_cb = Some(interrupted);
    opts.no_pci = true;
    opts.print_level = ffi::spdk_log_level::SPDK_LOG_WARN;
    opts.unlink_hugepage = options.huge_pages;
    if options.memory_mib > 0 {
        opts.mem_size = i32::try_from(options.memory_mib).map_err(|_| AppError::Option("memory_mib"))?;
    }
    set_newer_opts(&mut opts, options)?;
    let context = Box::into_raw(Box::new(start));
    // SAFETY: SPDK initialised `opts`, and its strings live until the call returns, which is when the application has
    // ended. `started`, or the code below, takes the context back, once.
    unsafe {
        let rc = ffi::spdk_app_start(&mut opts, Some(started), context.cast());
        ffi::spdk_app_fini();
        Ok(rc)
    }
}

/// SPDK calls this on the application's thread once all subsystems run.
///
/// # Safety
/// `context` is a [`Start`] from `into_raw`, not used since.
unsafe extern "C" fn started(context: *mut c_void) {
    // SAFETY: by contract of this function.
    let start = unsafe { Box::from_raw(context.cast::<Start>()) };
    (start.begin)();
}

/// SPDK calls this on SIGINT or SIGTERM. Loads may be running, and nothing of this process outlives it.
extern "C" fn interrupted() {
    // SAFETY: ends the process without running any of its code.
    unsafe { libc::_exit(EXIT_INTERRUPTED) }
}

#[cfg(spdk_has_app_opts_size)]
fn default_opts() -> ffi::spdk_app_opts {
    // SAFETY: the structure is plain data, and SPDK fills as much of it as the size says.
    unsafe {
        let mut opts = core::mem::zeroed();
        ffi::spdk_app_opts_init(&mut opts, size_of::<ffi::spdk_app_opts>());
        opts
    }
}

#[cfg(not(spdk_has_app_opts_size))]
fn default_opts() -> ffi::spdk_app_opts {
    // SAFETY: the structure is plain data, and SPDK fills it.
    unsafe {
        let mut opts = core::mem::zeroed();
        ffi::spdk_app_opts_init(&mut opts);
        opts
    }
}

/// Options that not every release has. Another application may poll the same cores: the machine's owner decides that,
/// not a lock file.
fn set_newer_opts(opts: &mut ffi::spdk_app_opts, options: &AppOptions) -> Result<(), AppError> {
    #[cfg(spdk_has_cpumask_locks)]
    {
        opts.disable_cpumask_locks = true;
    }
    #[cfg(spdk_has_no_huge)]
    {
        opts.no_huge = !options.huge_pages;
    }
    #[cfg(not(spdk_has_no_huge))]
    if !options.huge_pages {
        return Err(AppError::NeedsHugePages);
    }
    let _ = (opts, options);
    Ok(())
}

fn c_string(option: &'static str, text: &str) -> Result<CString, AppError> {
    CString::new(text).map_err(|_| AppError::Option(option))
}

/// Cores in SPDK's notation: `[0,1]`.
fn core_list(cores: &[u32]) -> Result<String, AppError> {
    if cores.is_empty() {
        return Err(AppError::Option("cores"));
    }
    let names: Vec<String> = cores.iter().map(u32::to_string).collect();
    Ok(format!("[{}]", names.join(",")))
}
