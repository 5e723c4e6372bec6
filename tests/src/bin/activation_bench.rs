// SPDX-License-Identifier: BSD-3-Clause

//! What the activation of a pool with many objects costs: `activation_bench [objects, 1000000 if not given] [--together]`.
//!
//! The objects are committed one by one, as clients do it, or together, on simulated disks with sectors of 512 and of 4096
//! bytes; a tenth of them is deleted. Then the pool is deactivated or not, and activated three times from the same content:
//! the median counts. The simulated disks cost time of the CPU, too. What that is, is measured apart: the same ranges of the
//! same content are read once more without a pool.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use mpool::lock::ordered;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::registry::Registry;
use mpool::testing::{plain_disk, Birth, Image, Off, SimHost, What};
use mpool::tunables::Tunables;
use mpool::units::Nanos;
use mpool::{DeviceProperties, Host, MediaClass, ObjectId, Pool};
use tests::measure::{column, processor_time, Column, Record, Results};

const MIB: u64 = 1 << 20;

/// Objects that are committed before the pool's clock goes on.
const BETWEEN_TICKS: u64 = 20_000;

/// Objects that are committed together, if wanted.
const TOGETHER: usize = 10_000;

fn registry(host: &Rc<SimHost>) -> Registry {
    let host: Rc<dyn Host> = Rc::<SimHost>::clone(host);
    Registry::new(host, Tunables::default())
}

/// How the objects come to be.
#[derive(Clone, Copy)]
struct Life {
    objects: u64,
    /// Objects that are committed together.
    batch: usize,
    /// The pool is deactivated in the end; else the power goes off.
    deactivates: bool,
}

/// Makes the objects. Returns the disk's content.
fn fill(disk: &DeviceProperties, life: Life) -> Image {
    let birth = Birth::new(1, vec![(disk.clone(), Image::unwritten(7))]);
    let body = move |host: Rc<SimHost>| {
        ordered(async move {
            let registry = registry(&host);
            let request = CreateRequest { name: "p".into(), capacity: "disk".into(), ..CreateRequest::default() };
            let active = registry.create(&request).await.expect("the disk has room for a pool");
            let pool = Rc::clone(active.pool());
            drop(active);
            let (mut ids, mut new) = (Vec::new(), Vec::new());
            for number in 0..life.objects + life.objects / 10 {
                new.push(pool.slab_alloc(MediaClass::Capacity, 1, false).await.expect("there is room").id);
                if new.len() == life.batch {
                    commit(&pool, &new).await;
                    ids.append(&mut new);
                }
                if number % 11 == 10 && !ids.is_empty() {
                    let id = ids.swap_remove(number as usize * 7 % ids.len());
                    pool.slab_delete(id).await.expect("nobody uses it");
                }
                if number % BETWEEN_TICKS == 0 {
                    host.sleep(Nanos(5_000_000_000)).await;
                }
            }
            commit(&pool, &new).await;
            drop(pool);
            if life.deactivates {
                registry.deactivate("p").await.expect("nobody uses it");
            }
        })
    };
    let mut life = birth.live(Off::Orderly, body).expect("the pool uses its device as it may");
    life.images.remove(0)
}

async fn commit(pool: &Pool, ids: &[ObjectId]) {
    match ids {
        [id] => pool.slab_commit(*id).await.expect("a good disk"),
        ids => pool.commit_together(ids).await.expect("a good disk"),
    }
}

/// One activation: the time of the processor, what of that the simulated disk takes, objects, and bytes read.
type Cost = (Duration, Duration, u64, u64);

/// Activates the pool.
fn activate(disk: &DeviceProperties, image: &Image) -> Cost {
    let birth = Birth::new(2, vec![(disk.clone(), image.clone())]);
    let body = |host: Rc<SimHost>| {
        ordered(async move {
            let registry = registry(&host);
            let request = ActivateRequest { paths: vec!["disk".into()], ..ActivateRequest::default() };
            let start = processor_time();
            let active = registry.activate(&request).await.expect("the pool can be activated");
            (processor_time() - start, active.pool().usage().objects.slabs, host.script(0).begun.take())
        })
    };
    let life = birth.live(Off::Orderly, body).expect("the pool uses its device as it may");
    let (spent, objects, begun) = life.result.expect("the power stayed on");
    let start = processor_time();
    let reads = begun.iter().filter(|op| op.what == What::Read);
    let mut memory = vec![0; reads.clone().map(|op| op.bytes as usize).max().unwrap_or(0)];
    for read in reads {
        image.read(read.at, &mut memory[..read.bytes as usize]);
        std::hint::black_box(&memory);
    }
    (spent, processor_time() - start, objects, life.counts.read_bytes)
}

/// Measures the activation of a pool with many objects, on simulated disks.
#[derive(Debug, clap::Parser)]
struct Options {
    /// Objects of the pool
    #[arg(default_value_t = 1_000_000)]
    objects: u64,

    /// Commit many objects together, not one by one
    #[arg(long)]
    together: bool,

    /// Where to write the results as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

const TABLE: &[Column] = &[
    column("ended", "ended", 0),
    column("sector_bytes", "sector", 0),
    column("objects", "objects", 0),
    column("together", "committed together", 0),
    column("cpu_ms", "CPU ms", 1),
    column("disk_ms", "of it the disk", 1),
    column("read_bytes", "read MiB", 1).in_units_of(1048576.0),
];

fn measure(options: &Options) -> Result<ExitCode, String> {
    let batch = if options.together { TOGETHER } else { 1 };
    let mut results = Results::default();
    for sector_bytes in [512, 4096] {
        // Zones of 64 MiB at most; none of an object is ever written.
        let mut disk = plain_disk("disk", (options.objects * 2 + 10_000) * 64 * MIB, sector_bytes);
        disk.discard = false;
        for deactivates in [true, false] {
            let image = fill(&disk, Life { objects: options.objects, batch, deactivates });
            let mut costs = [(); 3].map(|()| activate(&disk, &image));
            costs.sort_unstable();
            let (cpu, disk, objects, read_bytes) = costs[1];
            let record = Record::new("ended", if deactivates { "deactivated" } else { "switched off" })
                .with("sector_bytes", sector_bytes)
                .with("objects", objects)
                .with("together", batch)
                .with("cpu_ms", cpu.as_secs_f64() * 1e3)
                .with("disk_ms", disk.as_secs_f64() * 1e3)
                .with("read_bytes", read_bytes);
            results.records.push(record);
        }
    }
    results.publish(&[TABLE], options.json.as_deref())
}

fn main() -> ExitCode {
    tests::program::run(measure)
}
