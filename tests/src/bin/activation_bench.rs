// SPDX-License-Identifier: BSD-3-Clause

//! What the activation of a pool with many objects costs: `activation_bench [objects, 1000000 if not given]`.
//!
//! The objects are committed one by one, as clients do it, on simulated disks with sectors of 512 and of 4096 bytes; a
//! tenth of them is deleted. Then the pool is deactivated or not, and activated. The disks cost time of the CPU, too.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::rc::Rc;

use engine::pool::lock::ordered;
use engine::pool::management::activate::ActivateRequest;
use engine::pool::management::create::CreateRequest;
use engine::pool::registry::Registry;
use engine::pool::tunables::Tunables;
use engine::pool::{DeviceProperties, Host, MediaClass};
use engine::units::Nanos;
use tests::pool_sim::host::SimHost;
use tests::pool_sim::image::Image;
use tests::pool_sim::life::{plain_disk, Birth, Off};

const MIB: u64 = 1 << 20;

/// Objects that are committed before the pool's clock goes on.
const BETWEEN_TICKS: u64 = 20_000;

fn registry(host: &Rc<SimHost>) -> Registry {
    let host: Rc<dyn Host> = Rc::<SimHost>::clone(host);
    Registry::new(host, Tunables::default())
}

/// Makes the objects. Returns the disk's content.
fn fill(disk: &DeviceProperties, objects: u64, deactivates: bool) -> Image {
    let birth = Birth::new(1, vec![(disk.clone(), Image::unwritten(7))]);
    let body = move |host: Rc<SimHost>| {
        ordered(async move {
            let registry = registry(&host);
            let request = CreateRequest { name: "p".into(), capacity: "disk".into(), ..CreateRequest::default() };
            let active = registry.create(&request).await.expect("the disk has room for a pool");
            let pool = Rc::clone(active.pool());
            drop(active);
            let mut ids = Vec::new();
            for number in 0..objects + objects / 10 {
                let id = pool.slab_alloc(MediaClass::Capacity, 1, false).await.expect("there is room").id;
                pool.slab_commit(id).await.expect("a good disk");
                ids.push(id);
                if number % 11 == 10 {
                    let id = ids.swap_remove(number as usize * 7 % ids.len());
                    pool.slab_delete(id).await.expect("nobody uses it");
                }
                if number % BETWEEN_TICKS == 0 {
                    host.sleep(Nanos(5_000_000_000)).await;
                }
            }
            assert_eq!(pool.usage().objects.slabs, ids.len() as u64);
            drop(pool);
            if deactivates {
                registry.deactivate("p").await.expect("nobody uses it");
            }
        })
    };
    let mut life = birth.live(Off::Orderly, body).expect("the pool uses its device as it may");
    life.images.remove(0)
}

/// Nanoseconds of the CPU that this thread has had.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}

/// Activates the pool. Returns time of the CPU in ms, and MiB read.
fn activate(disk: &DeviceProperties, image: Image) -> (u64, u64) {
    let birth = Birth::new(2, vec![(disk.clone(), image)]);
    let body = move |host: Rc<SimHost>| {
        ordered(async move {
            let registry = registry(&host);
            let request = ActivateRequest { paths: vec!["disk".into()], ..ActivateRequest::default() };
            let start = cpu();
            registry.activate(&request).await.expect("the pool can be activated");
            (cpu() - start) / 1_000_000
        })
    };
    let life = birth.live(Off::Orderly, body).expect("the pool uses its device as it may");
    (life.result.unwrap_or(0), life.counts.read_bytes.div_ceil(MIB))
}

fn main() -> ExitCode {
    let Ok(objects) = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse::<u64>()) else {
        eprintln!("usage: activation_bench [objects]");
        return ExitCode::FAILURE;
    };
    println!("{objects} objects");
    for sector_bytes in [512, 4096] {
        // Zones of 64 MiB at most; none of an object is ever written.
        let mut disk = plain_disk("disk", (objects * 2 + 10_000) * 64 * MIB, sector_bytes);
        disk.discard = false;
        for deactivates in [true, false] {
            let (cpu_ms, read_mib) = activate(&disk, fill(&disk, objects, deactivates));
            let how = if deactivates { "deactivated" } else { "switched off" };
            println!("sectors of {sector_bytes}, {how}: {cpu_ms} ms of CPU, {read_mib} MiB read");
        }
    }
    ExitCode::SUCCESS
}
