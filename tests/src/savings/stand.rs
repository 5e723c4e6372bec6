// SPDX-License-Identifier: BSD-3-Clause

//! A target with one volume on a sparse file, through several lives.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::tests::nvme_tcp::Controller;
use ::tests::target::{Export, Rig, Server, ServerOptions, TargetError};
use rustix::fs::statvfs;
use serde_json::{json, Value};
use tempfile::TempDir;

use super::oracle::BLOCK_BYTES;
use super::traffic::{shape, Traffic};
use super::Outcome;

const VOLUME: &str = "Savings";
const MIB: u64 = 1 << 20;
/// Of the base, beside a block for each logical one: metadata of pool and volume, and room for blocks that are being replaced.
const SPARE_MIB: u64 = 768;
/// How long a volume may take to come back.
const LOAD_PATIENCE: Duration = Duration::from_secs(120);
/// How long what goes on in the background may take.
const SETTLE_PATIENCE: Duration = Duration::from_secs(300);
/// Nothing changed for so long: nothing goes on any more.
const QUIET: Duration = Duration::from_secs(3);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What a volume is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Logical blocks that will be written, at most.
    pub logical_blocks: u64,
    /// Compression.
    pub compression: bool,
    /// Level-1 index; the default when not given.
    pub index_mib: Option<u64>,
    /// Window of the index's level 2, 0 for none; the default when not given.
    pub history_mib: Option<u64>,
}

/// What a volume uses.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Blocks that hold data.
    pub data_blocks: u64,
    /// Blocks that hold the block map.
    pub map_pages: u64,
    /// How long it took until nothing changed any more.
    pub settled_after: Duration,
    /// All that the volume tells.
    pub statistics: Value,
}

/// A target with a volume.
pub struct Stand<'a> {
    rig: &'a Rig,
    server: Server,
    file: PathBuf,
    _place: TempDir,
}

impl<'a> Stand<'a> {
    /// Starts a target and makes a volume.
    ///
    /// # Errors
    /// The target refuses: see [`unknown_parameter`].
    pub fn new(rig: &'a Rig, place: Option<&Path>, volume: Shape) -> Outcome<Stand<'a>> {
        let bytes = volume.logical_blocks * BLOCK_BYTES as u64;
        let place = tempfile::Builder::new().prefix("savings-").tempdir_in(choose_place(place, bytes))?;
        let file = place.path().join("base");
        File::create(&file)?.set_len(bytes + bytes / 16 + SPARE_MIB * MIB)?;
        let server = Server::start(rig, &server_options(rig))?;
        let stand = Stand { rig, server, file, _place: place };
        stand.make_base()?;
        let mut params = json!({
            "base_bdev_name": "Base",
            "name": VOLUME,
            "logical_size_mib": bytes.div_ceil(MIB),
        });
        // Parameters with their default value are left out: a module without the feature takes the rest.
        if volume.compression {
            params["compression"] = json!(true);
        }
        if let Some(mib) = volume.index_mib {
            params["index_memory_mib"] = json!(mib);
        }
        if let Some(mib) = volume.history_mib {
            params["index_history_mib"] = json!(mib);
        }
        stand.server.call("bdev_dedupe_create", params)?;
        Ok(stand)
    }

    fn make_base(&self) -> Outcome<()> {
        let file = self.file.display().to_string();
        self.server.call("bdev_aio_create", json!({"name": "Base", "filename": file, "block_size": BLOCK_BYTES}))?;
        Ok(())
    }

    /// Stops the target as one should, and starts it again.
    pub fn restart(&mut self) -> Outcome<()> {
        let status = self.server.stop()?;
        if !status.success() {
            return Err(Box::new(self.server.process().ended(status)));
        }
        self.start()
    }

    /// Kills the target, and starts it again.
    pub fn kill(&mut self) -> Outcome<()> {
        self.server.process().kill();
        self.start()
    }

    fn start(&mut self) -> Outcome<()> {
        self.server = Server::start(self.rig, &server_options(self.rig))?;
        self.make_base()?;
        let began = Instant::now();
        while self.server.bdev(VOLUME).is_err() {
            if began.elapsed() > LOAD_PATIENCE {
                return Err(format!("the volume did not come back:\n{}", self.server.log()).into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// A connection that keeps `depth` requests under way.
    pub fn connect(&self, depth: usize) -> Outcome<Traffic> {
        let nqn_is_free = self.server.call("nvmf_get_subsystems", Value::Null)?;
        // One export after another: the subsystem of an earlier connection would be in the way.
        for subsystem in nqn_is_free.as_array().into_iter().flatten() {
            if subsystem["subtype"] == "NVMe" {
                self.server.call("nvmf_delete_subsystem", json!({"nqn": subsystem["nqn"]}))?;
            }
        }
        let export = Export::tcp(&self.server, VOLUME)?;
        let address = export.tcp_address().ok_or("not over TCP")?;
        Ok(Traffic::new(Controller::connect(&address, shape(depth))?, depth))
    }

    /// What the volume tells of itself now.
    pub fn statistics(&self) -> Outcome<Value> {
        Ok(self.server.call("bdev_dedupe_get_stats", json!({"name": VOLUME}))?[0].take())
    }

    /// What the volume uses once nothing goes on in the background any more: recovery, the index's refill, moving of fragments.
    pub fn usage(&self) -> Outcome<Usage> {
        let began = Instant::now();
        let mut last = (0, Instant::now());
        loop {
            let statistics = self.statistics()?;
            let data_blocks = counter(&statistics, "data_blocks_used")?;
            if data_blocks != last.0 || is_busy(&statistics) {
                last = (data_blocks, Instant::now());
            }
            if last.1.elapsed() >= QUIET {
                return Ok(Usage {
                    data_blocks,
                    map_pages: counter(&statistics, "block_map_pages")?,
                    settled_after: began.elapsed().saturating_sub(QUIET),
                    statistics,
                });
            }
            if began.elapsed() > SETTLE_PATIENCE {
                return Err(format!("the volume did not settle within {SETTLE_PATIENCE:?}: {statistics}").into());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// A total of the statistics.
pub fn counter(statistics: &Value, name: &str) -> Outcome<u64> {
    let value = statistics["total"][name].as_u64();
    value.ok_or_else(|| format!("the statistics have no {name}: {statistics}").into())
}

fn is_busy(statistics: &Value) -> bool {
    let refilled = statistics["index"]["refill_percent"].as_u64().unwrap_or(100);
    statistics["mode"] == "recovering" || refilled < 100
}

/// Whether the target refused because it does not know a parameter that asks for a feature.
pub fn unknown_parameter(error: &(dyn std::error::Error + 'static), name: &str) -> bool {
    let refusal = error.downcast_ref::<TargetError>().and_then(TargetError::refusal);
    refusal.is_some_and(|message| message.contains(name))
}

fn server_options(rig: &Rig) -> ServerOptions {
    ServerOptions { cores: rig.cores().len(), ..ServerOptions::default() }
}

/// Memory, if the data may take that much of it; else the disk.
fn choose_place(wanted: Option<&Path>, bytes: u64) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let has_room = statvfs(memory).is_ok_and(|space| space.f_bavail * space.f_frsize / 2 > bytes);
    match wanted {
        Some(place) => place.to_owned(),
        None if has_room => memory.to_owned(),
        None => PathBuf::from("/var/tmp"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_parameter_is_recognised() {
        let error = TargetError::Refused {
            method: "bdev_dedupe_create".to_owned(),
            code: -32602,
            message: "unknown parameter 'compression'".to_owned(),
        };
        assert!(unknown_parameter(&error, "compression") && !unknown_parameter(&error, "index_history_mib"));
    }

    #[test]
    fn a_volume_is_busy_while_it_recovers_or_refills() {
        assert!(!is_busy(&json!({"mode": "normal"})));
        assert!(is_busy(&json!({"mode": "recovering"})));
        assert!(is_busy(&json!({"mode": "normal", "index": {"refill_percent": 99}})));
        assert!(!is_busy(&json!({"mode": "normal", "index": {"refill_percent": 100}})));
    }
}
