// SPDX-License-Identifier: BSD-3-Clause

//! A bdev that goes away: what is under way ends, what comes later fails, and the removal does not hang.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mpool::device::Transfer;
use mpool::units::Nanos;
use mpool::{Device, DeviceError, Host};
use serde_json::json;

use crate::{rpc, Rig};

/// Every case.
pub fn all(rig: &Rig<'_>) {
    goes_idle(rig);
    goes_under_load(rig);
}

async fn read(device: &Rc<dyn Device>) -> Result<(), DeviceError> {
    let buf = device.allocate(65536).expect("memory");
    device.read(Transfer { at: 0, buf, range: 0..65536, chunk: 4096 }).await.1
}

/// Reads until the device is gone.
async fn read_until_gone(host: &Rc<dyn Host>, device: &Rc<dyn Device>) -> u64 {
    let mut reads = 0;
    loop {
        match read(device).await {
            Ok(()) => reads += 1,
            Err(error) => {
                assert_eq!(error, DeviceError::Gone);
                return reads;
            }
        }
        host.sleep(Nanos(0)).await;
    }
}

fn goes_idle(rig: &Rig<'_>) {
    let name = rig.malloc("Idle", 16, 4096);
    let socket = rig.socket.to_owned();
    let remover = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        rpc(&socket, "bdev_malloc_delete", &json!({"name": "Idle"}));
        began.elapsed()
    });
    rig.on_pool_thread(move |host| async move {
        let device = host.open(&name).await.expect("opened");
        host.sleep(Nanos(600_000_000)).await;
        assert_eq!(read(&device).await, Err(DeviceError::Gone));
        assert_eq!(device.flush().await, Err(DeviceError::Gone));
        assert_eq!(device.unmap(0, 4096).await, Err(DeviceError::Gone));
        assert_eq!(device.properties().bytes, 16 << 20, "it can still be asked");
        host.open(&name).await.expect_err("there is none");
    });
    let took = remover.join().expect("removed");
    assert!(took < Duration::from_secs(2), "removal took {took:?}");
    rig.malloc("Idle", 16, 4096);
    rig.on_pool_thread(|host| async move { read(&host.open("Idle").await.expect("opened")).await.expect("read") });
    rig.rpc("bdev_malloc_delete", &json!({"name": "Idle"}));
}

fn goes_under_load(rig: &Rig<'_>) {
    let base = rig.malloc("Busy", 16, 4096);
    rig.delay("BusyDelay", &base, 20_000, 1000);
    let socket = rig.socket.to_owned();
    let remover = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        rpc(&socket, "bdev_malloc_delete", &json!({"name": "Busy"}));
        began.elapsed()
    });
    let reads = rig.on_pool_thread(|host| async move {
        let device = host.open("BusyDelay").await.expect("opened");
        let readers = (0..8).map(|_| read_until_gone(&host, &device));
        futures::future::join_all(readers).await.iter().sum::<u64>()
    });
    assert!(reads > 8, "{reads}");
    let took = remover.join().expect("removed");
    assert!(took < Duration::from_secs(5), "removal took {took:?}");
    assert_eq!(rig.rpc("bdev_get_bdevs", &serde_json::Value::Null), json!([]));
}
