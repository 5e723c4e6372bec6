// SPDX-License-Identifier: BSD-3-Clause

//! One size: a filled volume, and its restarts.

use std::fs::File;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tests::nvme_tcp::{Controller, Shape};
use tests::target::{Export, Rig, Server, ServerOptions};

use super::block::{self, BLOCK_BYTES};
use super::give_back::give_back;
use super::options::Options;
use super::{writer, Outcome};

const VOLUME: &str = "D0";
const SHAPE: Shape = Shape { queues: 2, depth: 32 };
/// Blocks that are filled before their space is given back.
const STEP_BLOCKS: u64 = (1 << 30) / BLOCK_BYTES as u64;
/// How long a volume may take to come back.
const PATIENCE: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_millis(1);

/// One restart.
#[derive(Debug, Clone, Copy)]
pub struct Restart {
    /// Writes that were acknowledged between the last start and the kill.
    pub writes: u64,
    /// From the start of the process until it answers JSON-RPC: SPDK's own.
    pub started: Duration,
    /// Then, from the base's creation until the volume is there.
    pub loaded: Duration,
    /// From the start of the process to the first read's data.
    pub first_read: Duration,
}

impl std::fmt::Display for Restart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "after {} writes: SPDK {:?}, volume {:?}, first read after {:?}",
            self.writes, self.started, self.loaded, self.first_read
        )
    }
}

/// A filled volume on a file, and the target that serves it.
pub struct Case {
    place: TempDir,
    server: Server,
    controller: Controller,
    /// Blocks that are filled.
    blocks: u64,
    restarts: u64,
}

impl Case {
    /// Makes and fills a volume of `gib` GiB.
    pub fn prepare(rig: &Rig, options: &Options, gib: u64) -> Outcome<Case> {
        let place = tempfile::Builder::new().prefix("restart-bench-").tempdir_in(&options.place)?;
        File::create(place.path().join("base"))?.set_len(gib << 30)?;
        let server = Server::start(rig, &server_options())?;
        make_base(&server, &place)?;
        server.call("bdev_dedupe_create", json!({"base_bdev_name": "Base", "name": VOLUME}))?;
        let controller = connect(&server)?;
        let info = server.bdev(VOLUME)?;
        let data_blocks = info["driver_specific"]["dedupe"]["data_blocks"].as_u64().ok_or("no data_blocks")?;
        let namespace = controller.namespace();
        let logical = namespace.blocks * namespace.block_bytes as u64 / BLOCK_BYTES as u64;
        let blocks = (data_blocks / 2).min(logical);
        let mut case = Case { place, server, controller, blocks, restarts: 0 };
        case.fill(gib)?;
        Ok(case)
    }

    fn fill(&mut self, gib: u64) -> Outcome<()> {
        let began = Instant::now();
        let mut at = 0;
        while at < self.blocks {
            let end = self.blocks.min(at + STEP_BLOCKS);
            writer::fill(&mut self.controller, at..end)?;
            give_back(&self.place.path().join("base"))?;
            at = end;
        }
        log::info!("{gib} GiB: {} blocks filled in {:?}", self.blocks, began.elapsed());
        Ok(())
    }

    /// Loads the volume, kills its target and starts a new one.
    pub fn restart(&mut self, rig: &Rig, options: &Options) -> Outcome<Restart> {
        self.restarts += 1;
        let window = self.blocks.min((options.window_mib << 20) / BLOCK_BYTES as u64);
        let writes =
            writer::overwrite(&mut self.controller, window, self.restarts, Duration::from_millis(options.load_ms))?;
        self.server.process().kill();

        let began = Instant::now();
        self.server = Server::start(rig, &server_options())?;
        let started = began.elapsed();
        make_base(&self.server, &self.place)?;
        wait_for_volume(&self.server)?;
        let loaded = began.elapsed() - started;
        self.controller = connect(&self.server)?;
        let expected = block::kept(self.restarts, self.blocks);
        let data = writer::read(&mut self.controller, expected)?;
        let first_read = began.elapsed();
        if block::recognise(&data) != Some(expected) {
            return Err(format!("block {expected} is not what was written").into());
        }
        Ok(Restart { writes, started, loaded, first_read })
    }
}

fn server_options() -> ServerOptions {
    ServerOptions { cores: 2, ..ServerOptions::default() }
}

fn make_base(server: &Server, place: &TempDir) -> Outcome<()> {
    let file = place.path().join("base").display().to_string();
    server.call("bdev_aio_create", json!({"name": "Base", "filename": file, "block_size": 4096}))?;
    Ok(())
}

fn wait_for_volume(server: &Server) -> Outcome<()> {
    let began = Instant::now();
    while server.call("bdev_get_bdevs", json!({"name": VOLUME})).is_err() {
        if began.elapsed() > PATIENCE {
            return Err(format!("the volume did not come back:\n{}", server.log()).into());
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

fn connect(server: &Server) -> Outcome<Controller> {
    let export = Export::tcp(server, VOLUME)?;
    let address = export.tcp_address().ok_or("not over TCP")?;
    Ok(Controller::connect(&address, SHAPE)?)
}
