// SPDX-License-Identifier: BSD-3-Clause

//! A bdev as a device: what it says of itself, transfers, and what it refuses.

use std::rc::Rc;

use futures::future::{join_all, select, Either};
use mpool::device::Transfer;
use mpool::units::Nanos;
use mpool::{Device, DeviceError, Host, IoBuf, Kind};
use serde_json::json;

use crate::Rig;

const MIB: usize = 1 << 20;

/// Every case on every kind of bdev.
pub fn all(rig: &Rig<'_>) {
    for block_size in [512, 4096] {
        let name = rig.malloc(&format!("Malloc{block_size}"), 64, block_size);
        says_what_it_is(rig, &name, block_size as u32);
        keeps_what_is_written(rig, &name);
        refuses_nonsense(rig, &name);
        is_opened_once(rig, &name);
        rig.rpc("bdev_malloc_delete", &json!({"name": name}));
    }
    on_a_file(rig);
    waits_when_spdk_has_no_more_requests(rig);
    survives_dropped_futures(rig);
    sleeps(rig);
}

fn fill(buf: &mut IoBuf, seed: u32) {
    let mut state = seed | 1;
    for byte in (**buf).as_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
}

async fn write(device: &Rc<dyn Device>, at: u64, seed: u32, bytes: usize, chunk: usize) {
    let mut buf = device.allocate(bytes).expect("memory");
    fill(&mut buf, seed);
    let (_, outcome) = device.write(Transfer { at, buf, range: 0..bytes, chunk }, false).await;
    assert_eq!(outcome, Ok(()), "write of {bytes} at {at}");
}

async fn check(device: &Rc<dyn Device>, at: u64, seed: u32, bytes: usize, chunk: usize) {
    let buf = device.allocate(bytes).expect("memory");
    let (buf, outcome) = device.read(Transfer { at, buf, range: 0..bytes, chunk }).await;
    assert_eq!(outcome, Ok(()), "read of {bytes} at {at}");
    let mut expected = device.allocate(bytes).expect("memory");
    fill(&mut expected, seed);
    assert!((*buf).as_ref() == (*expected).as_ref(), "content at {at}");
}

async fn open(host: &Rc<dyn Host>, name: &str) -> Rc<dyn Device> {
    host.open(name).await.unwrap_or_else(|error| panic!("{error}"))
}

fn says_what_it_is(rig: &Rig<'_>, name: &str, block_size: u32) {
    let name = name.to_owned();
    rig.on_pool_thread(move |host| async move {
        let properties = open(&host, &name).await.properties();
        assert_eq!((properties.name.as_str(), properties.bytes), (name.as_str(), 64 << 20));
        assert_eq!((properties.sector_bytes, properties.atomic_write), (block_size, 512));
        assert_eq!((properties.optimal_write_bytes, properties.discard_granularity), (4096, u64::from(block_size)));
        assert!(properties.discard && properties.sector_updatable && properties.volatile_cache && !properties.fua);
    });
}

fn keeps_what_is_written(rig: &Rig<'_>, name: &str) {
    let name = name.to_owned();
    rig.on_pool_thread(move |host| async move {
        let device = open(&host, &name).await;
        let fresh = device.allocate(MIB).expect("memory");
        assert!((*fresh).as_ref().iter().all(|byte| *byte == 0), "memory starts zeroed");
        join_all((0..16).map(|part| write(&device, part * MIB as u64, part as u32, MIB, 128 << 10))).await;
        device.flush().await.expect("flushed");
        join_all((0..16).map(|part| check(&device, part * MIB as u64, part as u32, MIB, 64 << 10))).await;
        // A part of a buffer goes to its own place, and nothing beside it is written.
        let mut buf = device.allocate(MIB).expect("memory");
        fill(&mut buf, 99);
        let part = 8192..8192 + 12288;
        let transfer = Transfer { at: 20 << 20, buf, range: part.clone(), chunk: 4096 };
        let (written, outcome) = device.write(transfer, false).await;
        assert_eq!(outcome, Ok(()));
        let buf = device.allocate(16384).expect("memory");
        let (read, outcome) = device.read(Transfer { at: 20 << 20, buf, range: 0..16384, chunk: 16384 }).await;
        assert_eq!(outcome, Ok(()));
        let read = (*read).as_ref();
        assert!(read[..12288] == (*written).as_ref()[part] && read[12288..].iter().all(|byte| *byte == 0));
        device.unmap(0, 4 << 20).await.expect("unmapped");
        check(&device, 4 << 20, 4, MIB, 128 << 10).await;
        // Nothing at all is a transfer, too.
        let buf = device.allocate(0).expect("memory");
        assert_eq!(device.read(Transfer { at: 0, buf, range: 0..0, chunk: 4096 }).await.1, Ok(()));
        assert_eq!(device.unmap(0, 0).await, Ok(()));
    });
}

fn refuses_nonsense(rig: &Rig<'_>, name: &str) {
    let name = name.to_owned();
    rig.on_pool_thread(move |host| async move {
        let device = open(&host, &name).await;
        let end = device.properties().bytes;
        let cases = [
            (100, 0..4096, 4096),
            (0, 0..100, 4096),
            (0, 0..4096, 100),
            (0, 0..4096, 0),
            (end, 0..4096, 4096),
            (end - 4096, 0..8192, 4096),
            (u64::MAX - 4095, 0..8192, 4096),
            (0, 4096..20480, 4096),
        ];
        for (at, range, chunk) in cases {
            let case = format!("{at} {range:?} {chunk}");
            let buf = device.allocate(16384).expect("memory");
            let (buf, outcome) = device.read(Transfer { at, buf, range: range.clone(), chunk }).await;
            assert_eq!(outcome, Err(DeviceError::Invalid), "{case}");
            let (_, outcome) = device.write(Transfer { at, buf, range, chunk }, false).await;
            assert_eq!(outcome, Err(DeviceError::Invalid), "{case}");
        }
        for (at, bytes) in [(100, 4096), (0, 100), (end, 4096), (u64::MAX - 4095, 8192)] {
            assert_eq!(device.unmap(at, bytes).await, Err(DeviceError::Invalid), "{at} {bytes}");
        }
        let buf = device.allocate(4096).expect("memory");
        let forced = device.write(Transfer { at: 0, buf, range: 0..4096, chunk: 4096 }, true).await;
        assert_eq!(forced.1, Err(DeviceError::Invalid), "no write can be forced");
    });
}

fn is_opened_once(rig: &Rig<'_>, name: &str) {
    let owned = name.to_owned();
    rig.on_pool_thread(move |host| async move {
        let first = open(&host, &owned).await;
        let error = host.open(&owned).await.expect_err("claimed");
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        assert!(error.to_string().contains("'dedupe'") && error.to_string().contains(&owned), "{error}");
        drop(first);
        open(&host, &owned).await;
        let error = host.open("None").await.expect_err("missing");
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    });
    assert_eq!(rig.rpc("bdev_get_bdevs", &json!({"name": name}))[0]["claimed"], false, "the claim is given up");
}

fn on_a_file(rig: &Rig<'_>) {
    let file = rig.dir.join("drive.img");
    std::fs::File::create(&file).and_then(|file| file.set_len(64 << 20)).expect("a file");
    rig.rpc("bdev_aio_create", &json!({"name": "File", "filename": file.display().to_string(), "block_size": 4096}));
    keeps_what_is_written(rig, "File");
    refuses_nonsense(rig, "File");
    rig.rpc("bdev_aio_delete", &json!({"name": "File"}));
    let content = std::fs::read(&file).expect("the file");
    assert!(content[5 << 20..6 << 20].iter().any(|byte| *byte != 0), "it is in the file");
}

/// SPDK has 65535 requests by default; this needs more.
fn waits_when_spdk_has_no_more_requests(rig: &Rig<'_>) {
    let name = rig.malloc("Many", 128, 512);
    rig.on_pool_thread(move |host| async move {
        let device = open(&host, &name).await;
        let writes = (0..3).map(|part| write(&device, part * (32 << 20), part as u32, 32 * MIB, 512));
        let (_, flushed) = futures::future::join(join_all(writes), device.flush()).await;
        assert_eq!(flushed, Ok(()));
        join_all((0..3).map(|part| check(&device, part * (32 << 20), part as u32, 32 * MIB, 512))).await;
    });
    rig.rpc("bdev_malloc_delete", &json!({"name": "Many"}));
}

/// A transfer whose future is dropped goes on, and its memory lives as long.
fn survives_dropped_futures(rig: &Rig<'_>) {
    let base = rig.malloc("Slow", 16, 4096);
    rig.delay("Delay", &base, 1000, 50_000);
    rig.on_pool_thread(move |host| async move {
        let device = open(&host, "Delay").await;
        for seed in 0..4 {
            let writing = Box::pin(write(&device, u64::from(seed) << 20, seed, MIB, 128 << 10));
            let soon = Box::pin(host.sleep(Nanos(1_000_000)));
            assert!(matches!(select(writing, soon).await, Either::Right(_)), "the write takes longer");
        }
        host.sleep(Nanos(200_000_000)).await;
        for seed in 0..4 {
            check(&device, u64::from(seed) << 20, seed, MIB, 128 << 10).await;
        }
        // And the device goes after them.
        let writing = Box::pin(write(&device, 8 << 20, 9, MIB, 128 << 10));
        drop(select(writing, Box::pin(host.sleep(Nanos(1_000_000)))).await);
        drop(device);
        host.sleep(Nanos(200_000_000)).await;
        check(&open(&host, "Delay").await, 8 << 20, 9, MIB, 128 << 10).await;
    });
    rig.rpc("bdev_delay_delete", &json!({"name": "Delay"}));
    rig.rpc("bdev_malloc_delete", &json!({"name": "Slow"}));
}

fn sleeps(rig: &Rig<'_>) {
    rig.on_pool_thread(|host| async move {
        let before = host.now();
        host.sleep(Nanos(30_000_000)).await;
        let slept = host.now().0 - before.0;
        assert!((30_000_000..2_000_000_000).contains(&slept), "{slept} ns");
        host.sleep(Nanos(0)).await;
        let endless = Box::pin(host.sleep(Nanos(u64::MAX)));
        assert!(matches!(select(endless, Box::pin(host.sleep(Nanos(1000)))).await, Either::Right(_)));
        let (mut one, mut two) = ([0; 16], [0; 16]);
        host.random(&mut one);
        host.random(&mut two);
        assert_ne!(one, two);
    });
}
