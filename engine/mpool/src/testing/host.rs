// SPDX-License-Identifier: BSD-3-Clause

//! A host with virtual time, for tests: the clock advances only when no task can run.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use async_trait::async_trait;
use futures::channel::oneshot;
use futures::executor::{LocalPool, LocalSpawner};
use futures::future::LocalBoxFuture;
use futures::task::LocalSpawnExt;

use crate::device::Device;
use crate::error::{Kind, PoolError};
use crate::host::{Host, Level};
use crate::units::Nanos;

/// The host. Its "random" bytes come from a counter.
pub struct TestHost {
    now: Cell<u64>,
    /// By wake-up time and order of arrival.
    sleepers: RefCell<BTreeMap<(u64, u64), oneshot::Sender<()>>>,
    arrivals: Cell<u64>,
    pool: RefCell<LocalPool>,
    spawner: LocalSpawner,
    lines: RefCell<Vec<String>>,
    random: Cell<u64>,
}

impl TestHost {
    /// A host without tasks, whose clock is at 1000 s.
    pub fn new() -> Rc<TestHost> {
        let pool = LocalPool::new();
        Rc::new(TestHost {
            now: Cell::new(1_000_000_000_000),
            sleepers: RefCell::default(),
            arrivals: Cell::new(0),
            spawner: pool.spawner(),
            pool: RefCell::new(pool),
            lines: RefCell::default(),
            random: Cell::new(0),
        })
    }

    /// Runs tasks until none can run; the clock stands still.
    pub fn settle(&self) {
        self.pool.borrow_mut().run_until_stalled();
    }

    /// Runs tasks while the clock advances by `time`.
    pub fn run_for(&self, time: Nanos) {
        let end = self.now.get() + time.0;
        self.settle();
        while self.wake_next(end) {
            self.settle();
        }
        self.now.set(end);
    }

    /// Runs `future`, and tasks, until it ends.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            self.settle();
            if !woken.0.load(Ordering::Relaxed) {
                assert!(self.wake_next(u64::MAX), "nothing will ever happen");
            }
        }
    }

    /// The logged lines.
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Wakes the first sleeper, if its time is at most `end`. Cancelled ones do not count.
    fn wake_next(&self, end: u64) -> bool {
        let mut sleepers = self.sleepers.borrow_mut();
        sleepers.retain(|_, sleeper| !sleeper.is_canceled());
        let Some(first) = sleepers.first_entry().filter(|first| first.key().0 <= end) else { return false };
        self.now.set(first.key().0);
        first.remove().send(()).is_ok()
    }
}

/// Whether a future was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for TestHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestHost")
    }
}

#[async_trait(?Send)]
impl Host for TestHost {
    fn now(&self) -> Nanos {
        Nanos(self.now.get())
    }

    async fn sleep(&self, time: Nanos) {
        let (sender, receiver) = oneshot::channel();
        self.arrivals.set(self.arrivals.get() + 1);
        self.sleepers.borrow_mut().insert((self.now.get() + time.0, self.arrivals.get()), sender);
        receiver.await.expect("the host outlives its sleepers");
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.spawner.spawn_local(task).expect("the host runs");
    }

    fn random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            self.random.set(self.random.get() + 1);
            *byte = self.random.get().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[7];
        }
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
        Err(PoolError::new(Kind::NoDrive, path, "there are no devices"))
    }

    fn log(&self, _level: Level, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }
}
