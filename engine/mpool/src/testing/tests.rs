// SPDX-License-Identifier: BSD-3-Clause

//! The semantics of the virtual disk, seen through a device.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::device::{PlainMemory, Transfer};
use crate::units::Nanos;
use crate::{Device, DeviceError, DeviceProperties, Host, IoBuf, Kind};
use futures::future::join_all;

use super::disk::Keep;
use super::faults::Failure;
use super::host::SimHost;
use super::image::Image;
use super::life::{plain_disk, Birth, Life, Off};
use super::machine::Moment;

const MIB: u64 = 1 << 20;

fn cached() -> DeviceProperties {
    DeviceProperties { volatile_cache: true, fua: true, ..plain_disk("disk", MIB, 512) }
}

fn birth(properties: DeviceProperties, seed: u64) -> Birth {
    let mut image = Image::unwritten(seed);
    image.write(0, &[1; 8192]);
    Birth::new(seed, vec![(properties, image)])
}

async fn open(host: &SimHost) -> Rc<dyn Device> {
    host.open("disk").await.expect("the disk is there and free")
}

fn transfer(at: u64, byte: u8, bytes: usize) -> Transfer {
    let buf: IoBuf = Box::new(PlainMemory(vec![byte; bytes]));
    Transfer { at, buf, range: 0..bytes, chunk: 128 << 10 }
}

async fn write(device: &Rc<dyn Device>, at: u64, byte: u8, bytes: usize, fua: bool) {
    let (_, outcome) = device.write(transfer(at, byte, bytes), fua).await;
    outcome.expect("the write does not fail");
}

/// First bytes of the sectors of the image from 0 on.
fn sectors(life: &Life<()>, count: usize) -> Vec<u8> {
    (0..count as u64).map(|sector| life.images[0].bytes(sector * 512, 512)).map(|bytes| bytes[0]).collect()
}

#[test]
fn a_cached_write_is_lost_sector_by_sector_until_a_flush() {
    let run = |seed, flush: bool| {
        let life = birth(cached(), seed).live(Off::Cut, move |host| async move {
            let device = open(&host).await;
            write(&device, 0, 2, 4096, false).await;
            if flush {
                device.flush().await.expect("it does not fail");
            }
        });
        sectors(&life.expect("nothing is misused"), 8)
    };
    let lost: BTreeSet<_> = (0..300).map(|seed| run(seed, false)).collect();
    assert!(lost.contains([1; 8].as_slice()) && lost.contains([2; 8].as_slice()) && lost.len() > 50, "{lost:?}");
    assert!((0..100).all(|seed| run(seed, true) == [2; 8]));
}

#[test]
fn a_flush_covers_only_what_had_ended_when_it_began() {
    let mut lost = 0;
    for seed in 0..200 {
        let life = birth(cached(), seed).live(Off::Cut, |host| async move {
            let device = open(&host).await;
            let (_, _) = futures::join!(device.flush(), write(&device, 0, 2, 512, false));
        });
        lost += usize::from(sectors(&life.expect("nothing is misused"), 1) == [1]);
    }
    assert!(lost > 20, "{lost}");
}

#[test]
fn forced_and_uncached_writes_survive_when_they_have_ended() {
    for (properties, fua) in [(cached(), true), (plain_disk("disk", MIB, 512), false)] {
        for seed in 0..100 {
            let life = birth(properties.clone(), seed).live(Off::Cut, move |host| async move {
                let device = open(&host).await;
                write(&device, 0, 9, 1024, false).await;
                write(&device, 0, 2, 512, fua).await;
            });
            let seen = sectors(&life.expect("nothing is misused"), 2);
            // The second sector of the first write is durable only without a cache.
            assert!(seen == [2, 9] || (fua && seen == [2, 1]), "seed {seed}: {seen:?}");
        }
    }
}

#[test]
fn of_several_versions_each_can_survive_but_none_older_than_the_durable_one() {
    let run = |seed, flush_after: u8| {
        let life = birth(cached(), seed).live(Off::Cut, move |host| async move {
            let device = open(&host).await;
            for version in 2..5 {
                write(&device, 0, version, 512, false).await;
                if version == flush_after {
                    device.flush().await.expect("it does not fail");
                }
            }
        });
        sectors(&life.expect("nothing is misused"), 1)[0]
    };
    let seen = |flush_after| (0..300).map(|seed| run(seed, flush_after)).collect::<BTreeSet<_>>();
    assert_eq!(seen(0), BTreeSet::from([1, 2, 3, 4]));
    assert_eq!(seen(3), BTreeSet::from([3, 4]));
}

#[test]
fn a_write_in_flight_is_torn_between_atomic_units() {
    let run = |seed, atomic_write, bytes: usize| {
        let properties = DeviceProperties { atomic_write, ..plain_disk("disk", MIB, 512) };
        let born = Birth { cut: Some(Moment::Torn(0)), ..birth(properties, seed) };
        let life = born.live(Off::Cut, move |host| async move {
            let device = open(&host).await;
            write(&device, 0, 2, bytes, false).await;
        });
        sectors(&life.expect("nothing is misused"), bytes / 512)
    };
    let torn = |seen: &Vec<u8>| seen.contains(&1) && seen.contains(&2);
    assert!((0..100).filter(|seed| torn(&run(*seed, 512, 4096))).count() > 50);
    let of_units: BTreeSet<_> = (0..100).map(|seed| run(seed, 4096, 8192)).collect();
    assert!(of_units.iter().all(|seen| !torn(&seen[..8].to_vec()) && !torn(&seen[8..].to_vec())), "{of_units:?}");
    assert_eq!(of_units.len(), 4);
    let whole: BTreeSet<_> = (0..100).map(|seed| run(seed, 4096, 4096)).collect();
    assert_eq!(whole, BTreeSet::from([vec![1; 8], vec![2; 8]]));
}

#[test]
fn the_power_is_cut_where_it_was_asked_for() {
    for (cut, expected) in [(Moment::Begun(1), [2, 1, 1]), (Moment::Ended(1), [2, 2, 1])] {
        for seed in 0..50 {
            let keep = Some(Keep::Nothing);
            let born = Birth { cut: Some(cut), keep, ..birth(plain_disk("disk", MIB, 512), seed) };
            let life = born.live(Off::Cut, |host| async move {
                let device = open(&host).await;
                for sector in 0..3 {
                    write(&device, sector * 512, 2, 512, false).await;
                }
            });
            let life = life.expect("nothing is misused");
            assert!(life.result.is_none());
            assert_eq!(sectors(&life, 3), expected);
        }
    }
}

#[test]
fn pieces_are_reordered() {
    let mut middle_first = 0;
    for seed in 0..100 {
        let (cut, keep) = (Some(Moment::Ended(1)), Some(Keep::Nothing));
        let life = Birth { cut, keep, ..birth(plain_disk("disk", MIB, 512), seed) }.live(Off::Cut, |host| async move {
            let device = open(&host).await;
            let mut three = transfer(0, 2, 1536);
            three.chunk = 512;
            let (_, outcome) = device.write(three, false).await;
            outcome.expect("it does not fail");
        });
        middle_first += usize::from(sectors(&life.expect("nothing is misused"), 3) == [1, 2, 1]);
    }
    assert!((10..90).contains(&middle_first), "{middle_first}");
}

#[test]
fn failures_come_where_they_are_planned() {
    for effect in [false, true] {
        let mut born = birth(plain_disk("disk", MIB, 512), 5);
        born.faults.failing = Some((1, Failure { error: DeviceError::Io, effect }));
        born.faults.no_memory = Some(1);
        let life = born.live(Off::Cut, |host| async move {
            let device = open(&host).await;
            write(&device, 0, 2, 512, false).await;
            let (_, outcome) = device.write(transfer(512, 2, 512), false).await;
            assert_eq!(outcome, Err(DeviceError::Io));
            assert!(device.allocate(512).is_ok() && device.allocate(512).is_err() && device.allocate(512).is_ok());
        });
        let life = life.expect("nothing is misused");
        assert_eq!(sectors(&life, 2), [2, if effect { 2 } else { 1 }]);
        assert_eq!(life.counts.failed, 2);
    }
}

#[test]
fn equal_seeds_give_equal_lives() {
    let run = |seed| {
        let mut born = birth(cached(), seed);
        born.faults.slow = 300;
        let life = born.live(Off::Cut, |host| async move {
            let device = open(&host).await;
            join_all((0..16).map(|sector| write(&device, sector * 512, 2, 512, false))).await;
            host.sleep(Nanos(5_000)).await;
        });
        let life = life.expect("nothing is misused");
        (sectors(&life, 16), life.time, life.steps)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn misuse_is_noticed() {
    type Body = fn(Rc<dyn Device>) -> futures::future::LocalBoxFuture<'static, ()>;
    let cases: [(&str, Body); 4] = [
        ("not aligned", |device| Box::pin(async move { drop(device.read(transfer(100, 0, 512)).await) })),
        ("not inside", |device| Box::pin(async move { drop(device.read(transfer(MIB, 0, 512)).await) })),
        ("FUA", |device| Box::pin(async move { drop(device.write(transfer(0, 0, 512), true).await) })),
        ("in flight", |device| {
            Box::pin(async move {
                drop(futures::join!(device.unmap(512, 512), device.write(transfer(0, 2, 1024), false)));
            })
        }),
    ];
    for (word, body) in cases {
        let outcome = birth(plain_disk("disk", MIB, 512), 1)
            .live(Off::Cut, move |host| async move { body(open(&host).await).await });
        assert!(outcome.as_ref().is_err_and(|what| what.contains(word)), "{word}: {outcome:?}");
    }
}

#[test]
fn waiting_for_nothing_is_noticed() {
    let life = birth(cached(), 1).live(Off::Cut, |_| std::future::pending::<()>());
    assert!(life.is_err_and(|what| what.contains("all tasks wait")));
    let life = birth(cached(), 1).live(Off::Cut, |host| async move {
        let ticking = Rc::clone(&host);
        host.spawn(Box::pin(async move {
            loop {
                ticking.sleep(Nanos(5_000_000_000)).await;
            }
        }));
        std::future::pending::<()>().await;
    });
    assert!(life.is_err_and(|what| what.contains("for an hour")));
}

#[test]
fn a_disk_is_opened_once_at_a_time() {
    let life = birth(cached(), 1).live(Off::Cut, |host| async move {
        let device = open(&host).await;
        assert_eq!(host.open("disk").await.map(drop).map_err(|error| error.kind()), Err(Kind::Busy));
        drop(device);
        drop(open(&host).await);
        assert_eq!(host.open("other").await.map(drop).map_err(|error| error.kind()), Err(Kind::NotFound));
    });
    assert!(life.is_ok());
}

#[test]
fn a_transfer_outlives_its_caller() {
    let life = birth(plain_disk("disk", MIB, 512), 3).live(Off::Orderly, |host| async move {
        let device = open(&host).await;
        let mut given_up = Box::pin(device.write(transfer(0, 2, 512), false));
        let polled = futures::poll!(&mut given_up);
        assert!(polled.is_pending());
        drop(given_up);
    });
    assert_eq!(sectors(&life.expect("nothing is misused"), 1), [2]);
}

#[test]
fn discarded_sectors_show_old_content_zeros_or_garbage() {
    let seen = |seed| {
        let life = birth(plain_disk("disk", MIB, 512), seed).live(Off::Cut, |host| async move {
            let device = open(&host).await;
            device.unmap(0, 4096).await.expect("it does not fail");
        });
        let bytes = life.expect("nothing is misused").images[0].bytes(0, 4096);
        match bytes[0] {
            0 if bytes == [0; 4096] => 0,
            1 if bytes == [1; 4096] => 1,
            _ => 2,
        }
    };
    assert_eq!((0..60).map(seen).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
}
