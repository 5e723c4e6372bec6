// SPDX-License-Identifier: BSD-3-Clause

//! The steps of the demo.

mod compare;
mod show;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use serde_json::{json, Value};
use spdk_sys_build::Cache;
use tests::program::Progress;
use tests::setup::{default_tree, make_image, module_for, two_versions, Image, Reservation};
use tests::target::{Export, Process, Rig, Server, ServerOptions, TargetError, Tool};

use compare::same_bytes;
use show::mib;

type Outcome<T> = Result<T, Box<dyn Error>>;

const VOLUME: &str = "Dedupe0";
const MIB: u64 = 1 << 20;
/// Target and initiator, each with what SPDK takes by default.
const HUGEPAGES_MIB: u64 = 1536;
const COPY_PATIENCE: Duration = Duration::from_secs(900);
/// Copied at once by spdk_dd.
const CHUNK_BYTES: u64 = MIB;

/// Writes two versions of real data to a volume over NVMe/TCP, reads them back, and shows what was saved.
#[derive(Debug, clap::Parser)]
pub struct Options;

/// Runs the demo.
pub fn run(_: &Options) -> Outcome<ExitCode> {
    let tree = default_tree()?;
    log::info!("SPDK {} in {}", tree.version, tree.root.display());
    let module = module_for(&tree)?;
    log::info!("module {}", module.display());

    let scratch = tempfile::Builder::new().prefix("dedupe-demo-").tempdir()?;
    let images = images(&tree.root, scratch.path())?;

    let reservation = Reservation::make(HUGEPAGES_MIB)?;
    log::info!("memory: {:?}", reservation.memory);
    let result = Rig::new(tree, &module, reservation.memory, 2)
        .map_err(Box::from)
        .and_then(|rig| main_job(&rig, &images, scratch.path()));
    reservation.restore();
    result?;
    log::info!("cleaned up");
    Ok(ExitCode::SUCCESS)
}

/// An image and what it shows.
struct Source {
    name: String,
    image: Image,
}

/// Images of two versions of a source tree.
fn images(spdk: &Path, scratch: &Path) -> Outcome<Vec<Source>> {
    let cache = Cache::of_user()?.dir().join("demo");
    std::fs::create_dir_all(&cache)?;
    let versions = two_versions(&cache, scratch, spdk)?;
    let mut images = Vec::new();
    for (index, (name, dir)) in versions.names.iter().zip(&versions.dirs).enumerate() {
        let image = make_image(dir, &scratch.join(format!("image-{}", index + 1)))?;
        std::fs::remove_dir_all(dir)?;
        log::info!("image {}: {}, {name}: ext4, {} files, {}", index + 1, versions.what, image.files, mib(image.bytes));
        images.push(Source { name: name.clone(), image });
    }
    Ok(images)
}

/// Everything for which the target runs.
fn main_job(rig: &Rig, sources: &[Source], scratch: &Path) -> Outcome<()> {
    let total: u64 = sources.iter().map(|source| source.image.bytes).sum();
    let mut server = Server::start(rig, &ServerOptions::default())?;
    log::info!("started spdk_tgt with the module: pid {}, core {}", server.process().pid(), rig.cores()[0]);
    // Beside the data: spare blocks for overwriting, and the pool's metadata.
    let base = make_base(&server, total + total / 16 + 192 * MIB, scratch)?;
    log::info!("bdev_aio_create Base0: {base}");
    server.call("bdev_dedupe_create", json!({"base_bdev_name": "Base0", "name": VOLUME}))?;
    log::info!("bdev_dedupe_create -b Base0 -n {VOLUME}");
    let export = Export::tcp(&server, VOLUME)?;
    log::info!("exported over NVMe/TCP: {export}");

    let initiator = Tool {
        config: export.initiator_config("Nvme0"),
        with_module: false,
        cores: rig.cores().last().copied().into_iter().collect(),
        memory_mib: 0,
        one_file: false,
        patience: COPY_PATIENCE,
    };
    let job = Job { rig, server: &server, initiator: &initiator };
    let mut offset = 0;
    for (index, source) in sources.iter().enumerate() {
        job.write(index + 1, source, offset)?;
        offset += source.image.bytes;
    }
    let mut offset = 0;
    for (index, source) in sources.iter().enumerate() {
        job.read_and_compare(index + 1, source, offset, scratch)?;
        offset += source.image.bytes;
    }
    show::savings(&server.call("bdev_dedupe_get_stats", json!({"name": VOLUME}))?[0]);
    server.call("bdev_dedupe_delete", json!({"name": VOLUME, "force": true}))?;
    let status = server.stop()?;
    if !status.success() {
        return Err(Box::new(server.process().ended(status)));
    }
    Ok(())
}

/// Makes a base on a file in memory if there is room, else on the disk, and tells where it is. The file's name is
/// removed once it is open, so that it goes with the target, however that ends.
fn make_base(server: &Server, bytes: u64, scratch: &Path) -> Outcome<String> {
    let memory = Path::new("/dev/shm");
    let (dir, kind): (PathBuf, _) = match free_bytes(memory) {
        // Its pages are this machine's memory: half of it may be taken.
        Some(free) if free / 2 > bytes => (memory.to_owned(), "memory"),
        _ => (scratch.to_owned(), "disk"),
    };
    let file = tempfile::Builder::new().prefix("dedupe-base-").tempfile_in(dir)?;
    file.as_file().set_len(bytes)?;
    let params = json!({"name": "Base0", "filename": file.path().display().to_string(), "block_size": 4096});
    server.call("bdev_aio_create", params)?;
    Ok(format!("{} on a file in {kind}", mib(bytes)))
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let space = statvfs(dir).ok()?;
    Some(space.f_bavail * space.f_frsize)
}

/// What copying needs.
struct Job<'a> {
    rig: &'a Rig,
    server: &'a Server,
    initiator: &'a Tool,
}

impl Job<'_> {
    fn write(&self, number: usize, source: &Source, offset: u64) -> Outcome<()> {
        let arguments = [
            format!("--if={}", source.image.path.display()),
            "--ob=Nvme0n1".to_owned(),
            format!("--seek={}", offset / CHUNK_BYTES),
        ];
        self.copy(
            &format!("writing image {number} ({})", source.name),
            "bytes_written",
            source.image.bytes,
            &arguments,
        )?;
        let statistics = self.server.call("bdev_dedupe_get_stats", json!({"name": VOLUME}))?;
        log::info!("after image {number}: {}", show::brief(&statistics[0]));
        Ok(())
    }

    fn read_and_compare(&self, number: usize, source: &Source, offset: u64, scratch: &Path) -> Outcome<()> {
        let back = scratch.join("read-back");
        let arguments = [
            "--ib=Nvme0n1".to_owned(),
            format!("--of={}", back.display()),
            format!("--skip={}", offset / CHUNK_BYTES),
            format!("--count={}", source.image.bytes / CHUNK_BYTES),
        ];
        self.copy(&format!("reading image {number}"), "bytes_read", source.image.bytes, &arguments)?;
        if let Some(byte) = same_bytes(&source.image.path, &back)? {
            return Err(format!("image {number} differs from what was written, first at byte {byte}").into());
        }
        std::fs::remove_file(&back)?;
        log::info!("image {number}: {} read back, every byte as written", mib(source.image.bytes));
        Ok(())
    }

    /// Runs spdk_dd in a second process and tells how far the volume has come.
    fn copy(&self, what: &str, counter: &str, bytes: u64, arguments: &[String]) -> Outcome<()> {
        let before = self.moved(counter)?;
        let began = Instant::now();
        let mut arguments = arguments.to_vec();
        arguments.extend([format!("--bs={CHUNK_BYTES}"), "--qd=8".to_owned()]);
        let progress = Progress::begin();
        let mut process = self.initiator.start_spdk_dd(self.rig, &arguments)?;
        let watch = |process: &mut Process| {
            if progress.is_due() {
                let moved = self.moved(counter)?.saturating_sub(before);
                progress.show(format_args!("{what}: {} of {}", mib(moved), mib(bytes)));
            }
            process.status()
        };
        let status = process.wait_for(COPY_PATIENCE, "end", watch)?;
        drop(progress);
        if !status.success() {
            return Err(Box::new(process.ended(status)));
        }
        let seconds = began.elapsed().as_secs_f64();
        log::info!("{what}: {} in {seconds:.1} s, starting the initiator included", mib(bytes));
        Ok(())
    }

    /// Bytes that the volume has read or written.
    fn moved(&self, counter: &str) -> Result<u64, TargetError> {
        let statistics: Value = self.server.call("bdev_get_iostat", json!({"name": VOLUME}))?;
        Ok(statistics["bdevs"][0][counter].as_u64().unwrap_or(0))
    }
}
