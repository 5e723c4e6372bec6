// SPDX-License-Identifier: BSD-3-Clause

//! Fairness, cancellation and order of locks.

use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Wake, Waker};

use futures::future::{FutureExt, LocalBoxFuture};

use super::*;
use crate::testing::Random;

/// Tasks that run in a random order, each only after it was woken.
#[derive(Default)]
struct Crowd {
    tasks: Vec<(LocalBoxFuture<'static, ()>, Arc<Woken>)>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Crowd {
    fn add(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push((ordered(task).boxed_local(), Arc::new(Woken(AtomicBool::new(true)))));
    }

    /// Polls one task that is ready; false when there is none.
    fn step(&mut self, random: &mut Random) -> bool {
        let ready: Vec<usize> =
            (0..self.tasks.len()).filter(|&task| self.tasks[task].1 .0.load(Ordering::Relaxed)).collect();
        let Some(&task) = ready.get(random.below(ready.len().max(1))) else { return false };
        let (future, woken) = &mut self.tasks[task];
        woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(woken));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            drop(self.tasks.swap_remove(task));
        }
        true
    }

    /// Runs until all have ended. Fails if the rest waits for ever.
    fn run(&mut self, random: &mut Random) {
        while self.step(random) {}
        assert!(self.tasks.is_empty(), "{} tasks wait for ever", self.tasks.len());
    }
}

/// Lets others run first.
async fn yield_now() {
    let mut yielded = false;
    core::future::poll_fn(move |context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn sharers_go_together_and_an_excluder_alone() {
    let lock = Lock::new(Rank::ClientObject);
    let (first, second) = (lock.shared().now_or_never(), lock.shared().now_or_never());
    assert!(first.is_some() && second.is_some());
    assert!(lock.try_exclusive().is_none() && lock.exclusive().now_or_never().is_none());
    drop((first, second));
    let alone = lock.try_exclusive();
    assert!(alone.as_ref().is_some_and(|guard| guard.is_of(&lock)) && lock.is_held());
    assert!(lock.shared().now_or_never().is_none() && lock.try_exclusive().is_none());
    drop(alone);
    assert!(!lock.is_held());
}

#[test]
fn a_sharer_does_not_overtake_an_excluder_that_waits() {
    let lock = Lock::new(Rank::ClientObject);
    let first = lock.shared().now_or_never();
    let mut writer = lock.exclusive();
    assert!(poll_once(&mut writer).is_pending());
    let mut late = lock.shared();
    assert!(poll_once(&mut late).is_pending() && lock.try_exclusive().is_none());
    drop(first);
    assert!(poll_once(&mut late).is_pending(), "the writer's turn comes first");
    let Poll::Ready(guard) = poll_once(&mut writer) else { panic!("the writer has its turn") };
    drop(guard);
    assert!(poll_once(&mut late).is_ready());
}

#[test]
fn a_waiter_that_gives_up_lets_those_behind_it_through() {
    let lock = Lock::new(Rank::ClientObject);
    let first = lock.shared().now_or_never();
    let mut writer = lock.exclusive();
    assert!(poll_once(&mut writer).is_pending());
    let mut late = lock.shared();
    assert!(poll_once(&mut late).is_pending());
    drop(writer);
    assert!(poll_once(&mut late).is_ready(), "only the writer was in the way");
    drop(first);
    assert!(lock.try_exclusive().is_some());
}

#[test]
fn a_waiter_dropped_after_the_hand_over_passes_the_lock_on() {
    let lock = Lock::new(Rank::ClientObject);
    let first = lock.exclusive().now_or_never();
    let (mut second, mut third) = (lock.exclusive(), lock.exclusive());
    assert!(poll_once(&mut second).is_pending() && poll_once(&mut third).is_pending());
    drop(first);
    drop(second);
    assert!(poll_once(&mut third).is_ready());
    assert!(!lock.is_held());
}

/// mpool-104: tasks that take locks at random in rank order, cancel waits at random, and continue at random never
/// deadlock, and an exclusive holder is always alone.
#[test]
fn random_operations_in_the_order_of_ranks_all_end() {
    const RANKS: [Rank; 5] = [Rank::Management, Rank::ClientObject, Rank::Uniquifier, Rank::Compaction, Rank::RootLog];
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let locks: Rc<Vec<Pair>> =
            Rc::new(RANKS.iter().map(|&rank| [0; 2].map(|zero| (Lock::new(rank), Cell::new(zero)))).collect());
        let mut crowd = Crowd::default();
        for _ in 0..12 {
            let (locks, mut random) = (Rc::clone(&locks), Random::new(random.draw()));
            crowd.add(async move {
                for _ in 0..20 {
                    visit(&locks, &mut random).await;
                }
            });
        }
        crowd.run(&mut random);
        assert!(locks.iter().flatten().all(|(lock, inside)| !lock.is_held() && inside.get() == 0));
    }
}

/// Two locks of a rank. The number counts shared holders; it is -1 while one is exclusive.
type Pair = [(Lock, Cell<i32>); 2];

/// Takes a random path through the ranks.
async fn visit(locks: &[Pair], random: &mut Random) {
    let mut held = Vec::new();
    for pair in locks {
        let (lock, inside) = &pair[random.below(2)];
        let (guard, step) = match random.below(5) {
            0 => (lock.shared().await, 1),
            1 => (lock.exclusive().await, -1),
            2 => {
                // Requests a lock, and cancels before the next poll.
                let mut asked = if random.below(2) == 0 { lock.shared() } else { lock.exclusive() };
                let waker = core::future::poll_fn(|context| Poll::Ready(context.waker().clone())).await;
                drop(Pin::new(&mut asked).poll(&mut Context::from_waker(&waker)));
                yield_now().await;
                continue;
            }
            _ => continue,
        };
        assert!(if step == 1 { inside.get() >= 0 } else { inside.get() == 0 });
        inside.set(inside.get() + step);
        held.push((guard, inside, step));
        yield_now().await;
    }
    while !held.is_empty() {
        let (guard, inside, step) = held.swap_remove(random.below(held.len()));
        inside.set(inside.get() - step);
        drop(guard);
        if random.below(2) == 0 {
            yield_now().await;
        }
    }
}

/// mpool-104: taking an inner lock before an outer one is detected, even without contention.
#[test]
#[should_panic(expected = "lock order")]
fn a_wrong_order_panics() {
    let (outer, inner) = (Lock::new(Rank::ClientObject), Lock::new(Rank::Compaction));
    let mut task = ordered(async {
        let _inner = inner.exclusive().await;
        let _outer = outer.shared().await;
    });
    let _ = poll_once(&mut task);
}

/// mpool-104: a second lock of the same rank is detected.
#[test]
#[should_panic(expected = "lock order")]
fn two_locks_of_a_rank_panic() {
    let (one, other) = (Lock::new(Rank::ClientObject), Lock::new(Rank::ClientObject));
    let _ = poll_once(&mut ordered(async {
        let _one = one.shared().await;
        let _other = other.try_exclusive();
    }));
}

/// mpool-104: a wrapped future takes its locks inside those of the enclosing task.
#[test]
#[should_panic(expected = "lock order")]
fn a_task_within_a_task_stays_inside_its_locks() {
    let (outer, inner) = (Lock::new(Rank::Activation), Lock::new(Rank::Compaction));
    let _ = poll_once(&mut ordered(async {
        let _inner = inner.exclusive().await;
        ordered(async { drop(outer.exclusive().await) }).await;
    }));
}

#[test]
fn tasks_do_not_see_each_others_locks() {
    let (outer, inner) = (Lock::new(Rank::ClientObject), Lock::new(Rank::Compaction));
    let mut first = ordered(async {
        let _guard = inner.exclusive().await;
        yield_now().await;
    });
    assert!(poll_once(&mut first).is_pending() && inner.is_held());
    let mut second = ordered(async { drop(outer.exclusive().await) });
    assert!(poll_once(&mut second).is_ready());
    assert!(poll_once(&mut first).is_ready() && !inner.is_held());
}

#[test]
fn wrapped_workers_of_a_task_each_hold_a_lock_of_the_same_rank() {
    let locks = [Lock::new(Rank::Compaction), Lock::new(Rank::Compaction)];
    let activation = Lock::new(Rank::Activation);
    let mut task = ordered(async {
        let _guard = activation.exclusive().await;
        let work = |lock: &Lock| {
            let asked = lock.exclusive();
            ordered(async move {
                let _guard = asked.await;
                yield_now().await;
            })
        };
        futures::future::join(work(&locks[0]), work(&locks[1])).await;
    });
    assert!(poll_once(&mut task).is_pending());
    assert!(locks.iter().all(Lock::is_held));
    assert!(poll_once(&mut task).is_ready());
}

#[test]
fn a_guard_given_to_another_task_frees_the_rank_of_the_task_that_took_it() {
    let lock = Lock::new(Rank::Compaction);
    let handed = Rc::new(Cell::new(None));
    let slot = Rc::clone(&handed);
    let mut first = ordered(async {
        slot.set(Some(lock.exclusive().await));
        yield_now().await;
        drop(lock.exclusive().await);
    });
    assert!(poll_once(&mut first).is_pending());
    assert!(poll_once(&mut ordered(async { drop(handed.take()) })).is_ready());
    assert!(poll_once(&mut first).is_ready());
}
