// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts after each durable change of a script, also in the middle of writes, and in the repair after a cut.

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

use super::*;

/// The contents that are allowed after a cut.
type Allowed = Vec<Vec<Vec<u8>>>;

/// All states of the media between two durable ones: single sectors of the write reached the medium.
fn torn_between(before: &Durable, after: &Durable) -> Vec<Durable> {
    let mut states = vec![before.clone(), after.clone()];
    for side in 0..2 {
        let differs = |at: &usize| before.images[side][*at..at + 512] != after.images[side][*at..at + 512];
        let changed: Vec<_> = (0..store::LOG_BYTES).step_by(512).filter(differs).collect();
        assert!(changed.len() <= 8, "the script's writes are short");
        for chosen in 1..1usize << changed.len() {
            let mut state = before.clone();
            for (_, &at) in changed.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1) {
                state.images[side][at..at + 512].copy_from_slice(&after.images[side][at..at + 512]);
            }
            states.push(state);
        }
    }
    states
}

/// Runs `script` on a pair and returns what was durable after each of its changes.
fn changes<F, Fut>(start: &Durable, whole: bool, script: F) -> Vec<Durable>
where
    F: FnOnce(Rc<Store>) -> Fut,
    Fut: std::future::Future<Output = ()> + 'static,
{
    let store = Store::of(start, 512, whole);
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(script(Rc::clone(&store))).expect("the pool runs");
    let mut seen = vec![start.clone()];
    let same = |one: &Durable, other: &Durable| one.images == other.images && one.generations == other.generations;
    // Every write waits until nothing else can run.
    store.media.iter().for_each(|media| media.held.set(true));
    loop {
        pool.run_until_stalled();
        let now = store.durable();
        if !same(seen.last().expect("there is one"), &now) {
            seen.push(now);
        }
        let waiting = store.media.iter().any(|media| media.is_waiting());
        if !waiting {
            return seen;
        }
        store.media.iter().for_each(|media| media.release_waiting());
    }
}

async fn open_in(store: &Rc<Store>) -> Rc<Mdc> {
    let logs: Rc<dyn LogStore> = Rc::<Store>::clone(store);
    Mdc::open(logs, pair(), MdcFlags::default()).await.expect("one log is valid")
}

/// Cuts the power at every point of `script`, repairs, cuts the repair at every point, repairs again.
fn enumerate<F, Fut>(start: &Durable, whole: bool, allowed: &Allowed, script: F) -> usize
where
    F: FnOnce(Rc<Store>) -> Fut,
    Fut: std::future::Future<Output = ()> + 'static,
{
    let mut points = 0;
    let seen = changes(start, whole, script);
    for step in seen.windows(2) {
        for state in torn_between(&step[0], &step[1]) {
            let repairs = changes(&state, whole, |store| async move {
                open_in(&store).await;
            });
            let found = found_in(repairs.last().expect("there is one"), whole);
            assert!(allowed.contains(&found), "{found:?}");
            for repair in repairs.windows(2) {
                for state in torn_between(&repair[0], &repair[1]) {
                    assert_eq!(found_in(&state, whole), found, "a cut in the repair changes nothing");
                    points += 1;
                }
            }
            points += 1;
        }
    }
    points
}

fn found_in(state: &Durable, whole: bool) -> Vec<Vec<u8>> {
    let store = Store::of(state, 512, whole);
    let mdc = open(&store).expect("one log is valid");
    let found = content(&mdc);
    let generations = *store.generations.borrow();
    let active = usize::from(mdc.active().expect("open").id() == pair()[1]);
    assert!(generations[active] < generations[1 - active], "{generations:?}");
    append(&mdc, b"it goes on");
    found
}

fn records(parts: &[&[u8]]) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.to_vec()).collect()
}

/// mpool-81: the first use of a pair, cut at every point.
#[test]
fn first_use_is_repaired_from_every_point() {
    for whole in [true, false] {
        let points = enumerate(&Durable::new([0, 0]), whole, &vec![Vec::new()], |store| async move {
            open_in(&store).await;
        });
        assert!(points > 5, "{points}");
    }
}

/// mpool-81: appends and a compaction, cut at every point: the state is the one before or the one after, both with all
/// acknowledged records.
#[test]
fn a_compaction_is_whole_or_has_not_been() {
    const LONG: &[u8] = &[7; 1500];
    for whole in [true, false] {
        let start = changes(&Durable::new([0, 0]), whole, |store| async move {
            let mdc = open_in(&store).await;
            mdc.append(b"old 1", true).await.expect("there is room");
            mdc.append(b"old 2", true).await.expect("there is room");
        });
        let start = start.last().expect("there is one");
        let (before, after) = (records(&[b"old 1", b"old 2"]), records(&[b"new", LONG]));
        let then = records(&[b"new", LONG, b"later"]);
        let points = enumerate(start, whole, &vec![before, after, then], |store| async move {
            let mdc = open_in(&store).await;
            mdc.cstart().await.expect("the target is empty");
            mdc.append(b"new", false).await.expect("there is room");
            mdc.append(LONG, false).await.expect("there is room");
            mdc.cend().await.expect("the medium works");
            mdc.append(b"later", true).await.expect("there is room");
        });
        assert!(points > 40, "{points}");
    }
}

/// mpool-81: after `cend` has returned only the new state is found; before the erasure was durable only the old one.
#[test]
fn the_commit_point_is_the_growth_of_the_generation() {
    let start = changes(&Durable::new([0, 0]), true, |store| async move {
        open_in(&store).await.append(b"old", true).await.expect("there is room");
    });
    let start = start.last().expect("there is one");
    let seen = changes(start, true, |store| async move {
        let mdc = open_in(&store).await;
        mdc.cstart().await.expect("the target is empty");
        mdc.append(b"new", true).await.expect("there is room");
        mdc.cend().await.expect("the medium works");
    });
    for state in &seen {
        let committed = state.generations == [2, 1];
        let expected = if committed { records(&[b"new"]) } else { records(&[b"old"]) };
        assert_eq!(found_in(state, true), expected, "{:?}", state.generations);
    }
    assert_eq!(seen.last().map(|state| state.generations), Some([2, 1]));
}
