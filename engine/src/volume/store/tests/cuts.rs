// SPDX-License-Identifier: BSD-3-Clause

//! Creation and deletion that are interrupted at every write.

use super::*;

/// Runs `work` on a world so that all writes fail after the first `writes`, to the CAPACITY disk if `capacity`, else to
/// the other. Returns the world after a restart, and whether the work succeeded.
pub(super) fn cut_at<T>(
    world: World,
    (writes, capacity): (u64, bool),
    work: impl AsyncFnOnce(&Rc<Pool>) -> Result<T>,
) -> (World, bool) {
    let disk = world.disk(if capacity { "cap" } else { "stg" });
    disk.fail_writes_after(writes);
    let active = pool(&world);
    let done = world.run(work(&active)).is_ok();
    drop(active);
    (restart(world, true), done)
}

/// Removes what is unfinished.
pub(super) fn sweep(world: &World) -> Vec<String> {
    let pool = pool(world);
    world.run(async {
        let catalog = Catalog::open(&pool).await.expect("readable");
        let removed = remove_unfinished(&pool, &catalog, |_| false).await.expect("removed");
        catalog.close().await.expect("closed");
        removed
    })
}

/// Wherever it is cut, a creation is done or undone: no object is left without an owner.
#[test]
fn a_creation_that_is_cut_short_leaves_nothing() {
    for capacity in [true, false] {
        let before = {
            let world = restart(world(true), true);
            used_zones(&world)
        };
        let mut unfinished = 0;
        for writes in 0.. {
            let made = async |pool: &Rc<Pool>| make(pool, &spec(2, 9)).await;
            let (world, done) = cut_at(world(true), (writes, capacity), made);
            unfinished += sweep(&world).len();
            match world.run(reopen(&pool(&world))) {
                Ok(store) => assert_eq!(store.slabs(), 9, "{writes} writes"),
                Err(error) => {
                    assert!(!done, "{writes} writes: {error}");
                    assert_eq!(error.kind(), Kind::NotFound, "{writes} writes: {error}");
                    assert_eq!(used_zones(&world), before, "{writes} writes");
                    assert!(world.run(make(&pool(&world), &spec(9, 9))).is_ok(), "{writes} writes: again");
                }
            }
            if done {
                assert!(writes > 8, "{writes} writes");
                break;
            }
        }
        // After a failure of the other disk the CAPACITY disk still takes the writes of the undo.
        assert_eq!(unfinished > 3, capacity, "{unfinished} were found unfinished");
    }
}

/// A deletion that is interrupted has not begun, or the next one completes it.
#[test]
fn a_deletion_that_is_cut_short_can_be_done_again() {
    let before = used_zones(&restart(world(true), true));
    for writes in 0.. {
        let world = world(true);
        drop(world.run(make(&pool(&world), &spec(3, 3))).expect("room"));
        let world = restart(world, true);
        let delete = async |pool: &Rc<Pool>| {
            let store = reopen(pool).await?;
            let catalog = Catalog::open(pool).await?;
            store.delete(&catalog).await
        };
        let (world, done) = cut_at(world, (writes, true), delete);
        sweep(&world);
        match world.run(reopen(&pool(&world))) {
            Ok(store) => assert!(!done && store.slabs() == 3, "{writes} writes"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::NotFound, "{writes} writes: {error}");
                assert_eq!(used_zones(&world), before, "{writes} writes");
            }
        }
        if done {
            assert!(writes > 5);
            break;
        }
    }
}

/// A rename that is interrupted has happened or not; the volume exists in either case, under one of the two names.
#[test]
fn a_renaming_that_is_cut_short_leaves_one_name() {
    let mut names = Vec::new();
    for writes in 0.. {
        let world = world(true);
        drop(world.run(make(&pool(&world), &spec(3, 3))).expect("room"));
        let world = restart(world, true);
        let rename = async |pool: &Rc<Pool>| {
            let catalog = Catalog::open(pool).await?;
            let entry = catalog.entries().pop().expect("one volume");
            catalog.rename(entry.uuid, "renamed").await?;
            catalog.close().await
        };
        let (world, done) = cut_at(world, (writes, true), rename);
        assert!(sweep(&world).is_empty(), "{writes} writes");
        let active = pool(&world);
        let name = world.run(async {
            let catalog = Catalog::open(&active).await.expect("readable");
            let [entry] = &catalog.entries()[..] else { panic!("{writes} writes: {:?}", catalog.entries()) };
            assert_eq!(VolumeStore::open(&active, entry.clone()).await.expect("whole").slabs(), 3);
            let name = entry.name.clone();
            catalog.close().await.expect("closed");
            name
        });
        assert!(!done || name == "renamed", "{writes} writes: what was answered counts");
        names.push(name);
        if done {
            break;
        }
    }
    assert!(names.len() > 1 && names[0] != "renamed", "{names:?}");
}
