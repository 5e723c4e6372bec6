// SPDX-License-Identifier: BSD-3-Clause

//! The media pool on real SPDK bdevs, and a volume whose clients change their memory. SPDK runs in this very process,
//! which it supports once in the life of a process, so one test runs all cases of devices, and the other has processes
//! of its own.

#![forbid(unsafe_code)]

mod changing;
mod device;
mod kill;
mod removal;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bdev_dedupe::load::{self, App, AppOptions};
use mpool::Host;
use serde_json::{json, Value};
use tests::setup::{Memory, Reservation};
use tests::target::{CoreLease, RpcClient};

const HUGEPAGES_MIB: u64 = 2048;

/// The application, and how to send it RPCs.
struct Rig<'a> {
    app: &'a App,
    socket: &'a Path,
    dir: &'a Path,
}

impl Rig<'_> {
    fn rpc(&self, method: &str, params: &Value) -> Value {
        rpc(self.socket, method, params)
    }

    /// Makes a bdev in memory and returns its name.
    fn malloc(&self, name: &str, mib: u64, block_size: u64) -> String {
        self.rpc(
            "bdev_malloc_create",
            &json!({"name": name, "num_blocks": (mib << 20) / block_size, "block_size": block_size}),
        );
        name.to_owned()
    }

    /// Makes a bdev over another one that delays its reads and writes by so many microseconds.
    fn delay(&self, name: &str, base: &str, read_us: u64, write_us: u64) {
        let params = json!({
            "name": name, "base_bdev_name": base, "avg_read_latency": read_us, "p99_read_latency": read_us,
            "avg_write_latency": write_us, "p99_write_latency": write_us,
        });
        self.rpc("bdev_delay_create", &params);
    }

    /// Runs `work` where pools live.
    fn on_pool_thread<T, F>(&self, work: impl FnOnce(Rc<dyn Host>) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: core::future::Future<Output = T> + 'static,
    {
        self.app.run_pool(work).expect("the module runs")
    }
}

fn rpc(socket: &Path, method: &str, params: &Value) -> Value {
    let mut client = RpcClient::connect(socket).expect("the application listens");
    client.call(method, params).unwrap_or_else(|error| panic!("{error}"))
}

fn wait_for_listener(socket: &Path) {
    while UnixStream::connect(socket).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs SPDK in this process, and `work` beside it.
fn run_spdk(work: impl FnOnce(&Rig<'_>) + Send + 'static) {
    let cores = CoreLease::take(1).expect("a core");
    let reservation = Reservation::make(HUGEPAGES_MIB).expect("the kernel tells of its memory");
    let dir = tempfile::tempdir_in("/tmp").expect("a directory");
    let socket: PathBuf = dir.path().join("rpc.sock");
    let options = AppOptions {
        name: "pool_on_spdk".to_owned(),
        cores: cores.cores().iter().map(|core| *core as u32).collect(),
        huge_pages: reservation.memory == Memory::Hugepages,
        memory_mib: HUGEPAGES_MIB as u32,
        rpc_socket: socket.clone(),
    };
    let place = dir.path().to_owned();
    load::run(&options, move |app| {
        wait_for_listener(&socket);
        let rig = Rig { app, socket: &socket, dir: &place };
        work(&rig);
    })
    .expect("SPDK runs");
}

#[test]
fn pool_devices_on_spdk() {
    run_spdk(|rig| {
        device::all(rig);
        removal::all(rig);
        changing::all(rig);
    });
}
