// SPDX-License-Identifier: BSD-3-Clause

//! Chapters, the log of the open chapter, and images of the index.

use mpool::PAGE_BYTES;

use super::cuts::{cut_at, sweep};
use super::*;

/// A section of `pages` pages, with content of its own.
fn section(tag: u8, pages: usize) -> Rc<[u8]> {
    (0..pages * PAGE_BYTES).map(|at| tag ^ (at / 512) as u8).collect()
}

/// Sections of 1 to 7 pages.
fn sections(first: u8, count: u8) -> Vec<Rc<[u8]>> {
    (first..first + count).map(|tag| section(tag, usize::from(tag) % 7 + 1)).collect()
}

fn made(world: &World) -> VolumeStore {
    world.run(make(&pool(world), &spec(2, 2))).expect("room")
}

/// Zones in use on both drives when a volume has no index objects. Activation makes room for metadata, so they are
/// counted after one.
fn zones_without_index(staging: bool) -> Vec<u64> {
    let world = world(staging);
    drop(made(&world));
    used_zones(&restart(world, staging))
}

/// The numbers of the chapters in the pool.
fn numbers(store: &VolumeStore) -> Vec<u64> {
    store.chapters().iter().map(|chapter| chapter.number).collect()
}

#[test]
fn chapters_are_kept_until_they_are_deleted() {
    let world = world(false);
    let store = made(&world);
    let before = zones_without_index(false);
    let all: Vec<Vec<Rc<[u8]>>> = vec![sections(1, 5), sections(60, 40), sections(7, 1)];
    for (number, sections) in (3..).zip(&all) {
        let chapter = world.run(store.add_chapter(number, sections)).expect("room");
        assert_eq!((chapter.number, chapter.sections as usize), (number, sections.len()));
    }
    world.run(store.close()).expect("closed");
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    assert_eq!(numbers(&store), [3, 4, 5]);
    for (chapter, sections) in store.chapters().iter().zip(&all) {
        assert_eq!(chapter.sections as usize, sections.len());
        assert!(world.run(store.read_chapter(chapter)).expect("read") == sections.concat());
        world.run(async {
            let reader = store.open_chapter(chapter).expect("a map");
            let mut at = 0;
            for section in sections {
                assert!(reader.read(at, section.len()).await.expect("read") == section[..]);
                at += section.len() as u64;
            }
            assert_eq!(reader.read(at, PAGE_BYTES).await.expect_err("beyond").kind(), Kind::Invalid);
            assert_eq!(store.delete_chapter(chapter).await.expect_err("read").kind(), Kind::Busy);
            reader.close().await;
        });
    }
    let error = world.run(store.add_chapter(5, &sections(1, 1))).expect_err("numbers grow");
    assert_eq!(error.kind(), Kind::Invalid);
    for chapter in store.chapters() {
        world.run(store.delete_chapter(&chapter)).expect("deleted");
    }
    assert!(numbers(&store).is_empty());
    assert_eq!(used_zones(&world), before, "all zones are free again");
}

/// Wherever its creation is cut, a chapter exists or does not: no mblock is left without an owner.
#[test]
fn a_chapter_that_is_cut_short_leaves_nothing() {
    let before = zones_without_index(true);
    let mut seen = [false; 2];
    for writes in 0.. {
        let world = world(true);
        drop(made(&world));
        let add = async |pool: &Rc<Pool>| {
            let store = reopen(pool).await?;
            store.add_chapter(9, &sections(1, 9)).await
        };
        let (world, done) = cut_at(world, (writes, true), add);
        assert!(sweep(&world).is_empty());
        let store = world.run(reopen(&pool(&world))).expect("a volume, whatever became of its chapter");
        let chapters = store.chapters();
        assert!(!done || chapters.len() == 1, "{writes} writes");
        seen[chapters.len()] = true;
        for chapter in &chapters {
            assert!(world.run(store.read_chapter(chapter)).expect("whole") == sections(1, 9).concat());
            world.run(store.delete_chapter(chapter)).expect("deleted");
        }
        world.run(store.forget_missing_chapters()).expect("struck off");
        assert!(store.ledger.contents().chapters.is_empty(), "{writes} writes");
        assert_eq!(used_zones(&world), before, "{writes} writes");
        world.run(store.add_chapter(9, &sections(1, 9))).expect("again");
        if done {
            break;
        }
    }
    assert_eq!(seen, [true; 2]);
}

/// A deletion that is interrupted has not begun, or the next one completes it; the volume works without the chapter.
#[test]
fn a_chapters_deletion_that_is_cut_short_can_be_done_again() {
    let before = zones_without_index(true);
    let mut missing = false;
    for writes in 0.. {
        let world = world(true);
        let store = made(&world);
        world.run(store.add_chapter(4, &sections(1, 3))).expect("room");
        drop(store);
        let world = restart(world, true);
        let delete = async |pool: &Rc<Pool>| {
            let store = reopen(pool).await?;
            let chapter = store.chapters()[0];
            store.delete_chapter(&chapter).await
        };
        let (world, done) = cut_at(world, (writes, true), delete);
        let store = world.run(reopen(&pool(&world))).expect("there");
        missing |= store.chapters().is_empty() && !store.ledger.contents().chapters.is_empty();
        for chapter in store.chapters() {
            assert!(!done, "{writes} writes");
            world.run(store.delete_chapter(&chapter)).expect("deleted");
        }
        world.run(store.forget_missing_chapters()).expect("struck off");
        assert!(store.ledger.contents().chapters.is_empty());
        assert_eq!(used_zones(&world), before, "{writes} writes");
        if done {
            break;
        }
    }
    assert!(missing, "one was deleted and not struck off");
}

/// Sections of the open chapter survive a power cut, and the log is filled further.
#[test]
fn the_open_chapter_survives_a_power_cut() {
    let world = world(false);
    let store = made(&world);
    let all = sections(1, 9);
    world.run(async {
        let (log, found) = store.open_history_log().await.expect("made");
        assert!(found.is_empty());
        for section in &all[..4] {
            log.append(section).await.expect("room");
        }
    });
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    world.run(async {
        let (log, found) = store.open_history_log().await.expect("there");
        assert!(found == all[..4]);
        for section in &all[4..] {
            log.append(section).await.expect("room");
        }
        let full = loop {
            match log.append(&section(9, 7)).await {
                Ok(()) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(full, Kind::LogFull);
        log.close().await.expect("closed");
        let (_, found) = store.open_history_log().await.expect("there");
        assert!(found[..9] == all);
    });
}

/// A log that could not take a section continues when the pool does: its sections become a chapter, and only the failed
/// section is lost.
#[test]
fn a_log_that_has_failed_goes_on() {
    let world = world(false);
    let store = made(&world);
    let all = sections(1, 6);
    let disk = world.disk("cap");
    world.run(async {
        let (log, _) = store.open_history_log().await.expect("made");
        for section in &all[..3] {
            log.append(section).await.expect("room");
        }
        disk.fail_writes_after(0);
        log.append(&section(9, 9)).await.expect_err("no write succeeds");
        assert!(log.has_failed());
        store.renew_history_log(&log, &all[..3], |_| unreachable!("nothing is closed")).await.expect_err("not yet");
        disk.heal();
        log.append(&all[3]).await.expect_err("the log has failed");
        let mut closed = None;
        while closed.is_none() {
            // The pool continues once it has found that the disk works again.
            let renewed = store.renew_history_log(&log, &all[..3], |chapter| closed = Some(chapter)).await;
            assert!(renewed.is_ok() || closed.is_none());
        }
        assert!(!log.has_failed());
        for section in &all[3..] {
            log.append(section).await.expect("it goes on");
        }
    });
    drop(store);
    let world = restart(world, false);
    let store = world.run(reopen(&pool(&world))).expect("there");
    world.run(async {
        let chapters = store.chapters();
        assert_eq!(chapters.len(), 1);
        assert!(store.read_chapter(&chapters[0]).await.expect("read") == all[..3].concat());
        let (_, open) = store.open_history_log().await.expect("there");
        assert!(open == all[3..]);
    });
}

/// A log that was copied into a chapter is not taken for an open chapter, wherever the copy was interrupted.
#[test]
fn a_chapter_is_copied_once() {
    let mut seen = [false; 2];
    for writes in 0.. {
        let world = world(true);
        let store = made(&world);
        let all = sections(1, 6);
        world.run(async {
            let (log, _) = store.open_history_log().await.expect("made");
            for section in &all {
                log.append(section).await.expect("room");
            }
            log.close().await.expect("closed");
        });
        drop(store);
        let world = restart(world, true);
        let copy = async |pool: &Rc<Pool>| {
            let store = reopen(pool).await?;
            let (log, sections) = store.open_history_log().await?;
            store.add_chapter(log.chapter(), &sections).await?;
            store.erase_history_log(&log).await
        };
        let (world, done) = cut_at(world, (writes, true), copy);
        let store = world.run(reopen(&pool(&world))).expect("there");
        world.run(async {
            let (log, open) = store.open_history_log().await.expect("there");
            let mut closed = Vec::new();
            for chapter in store.chapters() {
                assert!(chapter.number < log.chapter());
                closed.push(store.read_chapter(&chapter).await.expect("read"));
            }
            let parts = (closed.len(), open.len());
            assert!([closed.concat(), open.concat()].concat() == all.concat(), "{writes} writes: {parts:?}");
            seen[usize::from(open.is_empty())] = true;
            log.append(&all[0]).await.expect("it goes on");
            let next = store.add_chapter(log.chapter(), &all[..1]).await.expect("a larger number");
            assert_eq!(next.number, log.chapter());
        });
        if done {
            break;
        }
    }
    assert_eq!(seen, [true; 2]);
}

/// Deleting a volume deletes all objects of its index.
#[test]
fn a_volume_takes_its_index_with_it() {
    let world = world(true);
    let before = used_zones(&world);
    let store = made(&world);
    let pool = pool(&world);
    world.run(async {
        let (log, _) = store.open_history_log().await.expect("made");
        log.append(&section(1, 3)).await.expect("room");
        store.add_chapter(log.chapter(), &sections(1, 2)).await.expect("room");
        log.close().await.expect("closed");
        let catalog = Catalog::open(&pool).await.expect("open");
        store.delete(&catalog).await.expect("deleted");
        catalog.close().await.expect("closed");
    });
    assert_eq!(used_zones(&world), before);
}
