// SPDX-License-Identifier: BSD-3-Clause

//! `kill -9` at any moment: what the target has acknowledged is there when it comes back.
//!
//! The load of [`tests::durability`] runs over NVMe/TCP. `DURABLE_SEED` repeats a run's choices, `DURABLE_ROUNDS`
//! sets how many lives the target has, `DURABLE_LOAD_MS` how long the load of each of them lasts at most.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use mpool::testing::Random;
use serde_json::json;
use tests::durability::{Load, LoadError, LoadOptions, Mix, Spread};
use tests::nvme_tcp::{Controller, Shape};
use tests::target::{Export, Rig, Server, ServerOptions};

use crate::fixture::{create, rig, rig_with, target_with, tree, MIB, PATIENCE};

/// Enough for requests to meet, and for a target to have some on each core.
const SHAPE: Shape = Shape { queues: 2, depth: 32 };
const INTERVAL: Duration = Duration::from_millis(2);

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'")))
}

fn seed() -> u64 {
    let seed = setting("DURABLE_SEED").unwrap_or_else(|| {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
        clock.as_nanos() as u64 % 1_000_000_007
    });
    println!("DURABLE_SEED={seed}");
    seed
}

/// The file of a base bdev.
fn image(rig: &Rig, mib: u64) -> PathBuf {
    let path = rig.dir().join("Base.img");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path).expect("a file");
    file.set_len(mib * MIB).expect("a sparse file");
    path
}

fn connect(server: &Server, bdev: &str) -> Controller {
    let export = Export::tcp(server, bdev).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    let address = export.tcp_address().expect("over TCP");
    Controller::connect(&address, SHAPE).unwrap_or_else(|error| panic!("{error}: {}", server.log()))
}

/// What a load finds wrong is shown with the target's log.
fn expect<T>(result: Result<T, LoadError>, server: &mut Server, round: u64) -> T {
    result.unwrap_or_else(|error| {
        let status = server.process().status();
        panic!("round {round}: {error}\nthe target: {status:?}\n{}", server.process().tail());
    })
}

/// A target with nothing but a bdev on the rig's file, exported.
fn plain_target(rig: &Rig, block_size: u64) -> (Server, Controller) {
    let mut base = json!({"name": "Base", "filename": image(rig, 32), "block_size": block_size});
    if !rig.is_old() {
        // Without it the bdev knows no unmap.
        base["fallocate"] = json!(true);
    }
    let server = target_with(rig, &ServerOptions { with_module: false, ..ServerOptions::default() });
    server.call("bdev_aio_create", base).expect("a base on a file");
    let controller = connect(&server, "Base");
    assert_eq!(controller.capabilities().deallocate, !rig.is_old());
    (server, controller)
}

/// The load and the initiator themselves: a file without anything on it keeps what was acknowledged; and when it does
/// not, that is noticed.
#[test]
fn the_initiator_speaks_to_a_plain_target() {
    // No module is loaded, so none has to be built.
    let rig = rig_with(tree(), Path::new(""), 1);
    let seed = seed();
    for block_size in [512, 4096] {
        let file = rig.dir().join("Base.img");
        let old = rig.dir().join("Old.img");
        let mut random = Random::stream(seed, 2);
        // A file may be written up to the middle of a block that begins at 512.
        let options = LoadOptions { mix: Mix::default(), spread: Spread::EVERYWHERE, whole_blocks: false };
        let mut load = Load::new(seed, options);
        for round in 0..4 {
            let (mut server, mut controller) = plain_target(&rig, block_size);
            expect(load.verify(&mut controller), &mut server, round);
            if round == 1 {
                std::fs::copy(&file, &old).expect("a copy");
            }
            let until = Instant::now() + Duration::from_millis(random.between(50, 400));
            expect(load.run(&mut controller, until), &mut server, round);
            server.process().kill();
            expect(load.target_ended(controller), &mut server, round);
        }
        let progress = load.progress();
        println!("{progress:?}, {} doubtful blocks", load.doubtful_blocks());
        assert!(progress.answered > 1000 && progress.unanswered > 0, "{progress:?}");

        std::fs::rename(&old, &file).expect("both are there");
        let (_server, mut controller) = plain_target(&rig, block_size);
        let error = load.verify(&mut controller).expect_err("three rounds are lost");
        let LoadError::Diverged { divergence, .. } = &error else { panic!("{error}") };
        assert!(divergence.blocks > 10, "{error}");
        println!("as it should be: {error}");
        std::fs::remove_file(&file).expect("there");
    }
}

/// How a life of the target ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Killed under load.
    Kill,
    /// Killed while it starts and recovers.
    KillEarly,
    /// Asked to end when everything is answered.
    Stop,
    /// Asked to end under load.
    StopUnderLoad,
}

/// A volume and what is done to it.
#[derive(Debug, Clone, Copy)]
struct Setting {
    base_mib: u64,
    logical_mib: u64,
    block_size: u64,
    /// Small, so that it goes round.
    journal_mib: u64,
    load: LoadOptions,
}

impl Setting {
    /// Little data in many pages of the block map.
    fn small(block_size: u64) -> Setting {
        let load = LoadOptions { mix: Mix::default(), spread: Spread { factor: 16 }, whole_blocks: true };
        Setting { base_mib: 384, logical_mib: 1024, block_size, journal_mib: 1, load }
    }
}

/// The lives of a target with one volume.
struct Story {
    rig: Rig,
    /// A configuration that has the base, so that examine finds the volume while the target starts.
    config: PathBuf,
    random: Random,
    load: Load,
    /// How long the last start took until the volume was there.
    start: Duration,
    ends: [u64; 4],
}

impl Story {
    fn begin(seed: u64, setting: &Setting) -> Story {
        let rig = rig(2);
        let base = json!({"name": "Base", "filename": image(&rig, setting.base_mib), "block_size": 4096});
        let calls = json!([{"method": "bdev_aio_create", "params": base}]);
        let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
        let config = rig.write_json("base.json", &config).expect("written");
        let (random, load) = (Random::stream(seed, 2), Load::new(seed, setting.load));
        let story = Story { rig, config, random, load, start: Duration::from_millis(500), ends: [0; 4] };
        let mut server = target_with(&story.rig, &story.server_options(2));
        let volume = json!({
            "base_bdev_name": "Base", "name": "D0", "block_size": setting.block_size,
            "logical_size_mib": setting.logical_mib, "slab_size_mib": 8, "block_map_cache_mib": 32,
            "journal_size_mib": setting.journal_mib,
        });
        create(&server, volume).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
        server.process().kill();
        story
    }

    fn server_options(&self, cores: usize) -> ServerOptions {
        ServerOptions { cores, config: Some(self.config.clone()), ..ServerOptions::default() }
    }

    /// Another number of cores, another number of shards.
    fn draw_options(&mut self) -> ServerOptions {
        let cores = self.random.between(1, 2) as usize;
        self.server_options(cores)
    }

    /// A target whose volume is there.
    fn start(&mut self) -> Server {
        let options = self.draw_options();
        let began = Instant::now();
        let mut server = target_with(&self.rig, &options);
        while server.bdev("D0").is_err() {
            assert!(began.elapsed() < PATIENCE, "the volume did not come back: {}", server.log());
            let status = server.process().status().expect("told");
            assert_eq!(status, None, "the target ended: {}", server.log());
            std::thread::sleep(INTERVAL);
        }
        self.start = began.elapsed();
        server
    }

    fn draw_end(&mut self) -> End {
        match self.random.below(20) {
            0..=3 => End::KillEarly,
            4..=5 => End::Stop,
            6..=7 => End::StopUnderLoad,
            _ => End::Kill,
        }
    }

    fn round(&mut self, round: u64) {
        let end = self.draw_end();
        self.ends[end as usize] += 1;
        if end == End::KillEarly {
            self.kill_early();
            return;
        }
        let mut server = self.start();
        let mut controller = connect(&server, "D0");
        if self.random.chance(300) {
            // Slabs are still being scrubbed, and what was in doubt stays so.
            self.run(&mut server, &mut controller, round, 150);
        }
        expect(self.load.verify(&mut controller), &mut server, round);
        if self.random.chance(200) {
            check(&server, round);
        }
        self.run(&mut server, &mut controller, round, setting("DURABLE_LOAD_MS").unwrap_or(400));
        if end == End::Stop {
            expect(self.load.finish(&mut controller), &mut server, round);
        }
        match end {
            End::Kill | End::KillEarly => server.process().kill(),
            End::Stop | End::StopUnderLoad => {
                let status = server.stop().unwrap_or_else(|error| panic!("round {round}: {error}"));
                assert!(status.success(), "round {round}: {status}: {}", server.log());
            }
        }
        expect(self.load.target_ended(controller), &mut server, round);
    }

    /// Kills a target at some moment of its start.
    fn kill_early(&mut self) {
        let options = self.draw_options();
        let mut server = Server::spawn(&self.rig, &options).expect("the target starts");
        let longest = self.start.as_millis() as u64 * 6 / 5;
        // The beginning is SPDK's own; the volume comes last.
        let moment = self.random.between(longest / 3, longest);
        std::thread::sleep(Duration::from_millis(moment));
        server.process().kill();
    }

    fn run(&mut self, server: &mut Server, controller: &mut Controller, round: u64, most_ms: u64) {
        let duration = Duration::from_millis(self.random.between(most_ms / 8, most_ms));
        expect(self.load.run(controller, Instant::now() + duration), server, round);
    }

    /// Nothing is missing, nor wrong, nor counted wrongly.
    fn conclude(mut self, rounds: u64) {
        let mut server = self.start();
        let mut controller = connect(&server, "D0");
        expect(self.load.verify_all(&mut controller), &mut server, rounds);
        check(&server, rounds);
        drop(controller);
        let status = server.stop().expect("ends");
        assert!(status.success(), "{status}: {}", server.log());
        println!("{:?}; [kills, early kills, stops, stops under load]: {:?}", self.load.progress(), self.ends);
    }
}

/// The volume's counts are right.
fn check(server: &Server, round: u64) {
    let report = server.call("bdev_dedupe_check", json!({"name": "D0"}));
    let report = report.unwrap_or_else(|error| panic!("round {round}: {error}: {}", server.log()));
    assert_eq!(report["clean"], true, "round {round}: {report:#}\n{}", server.log());
}

fn lives_of_a_volume(block_size: u64, rounds: u64) {
    let seed = seed();
    let began = Instant::now();
    let mut story = Story::begin(seed, &Setting::small(block_size));
    let rounds = setting("DURABLE_ROUNDS").unwrap_or(rounds);
    for round in 0..rounds {
        story.round(round);
    }
    story.conclude(rounds);
    println!("{rounds} rounds in {:?}", began.elapsed());
}

/// Whatever was acknowledged is there after each of 50 ends, most of them `kill -9`, and the counts are right.
#[test]
fn a_volume_survives_whatever_becomes_of_its_target() {
    lives_of_a_volume(4096, 50);
}

/// So it is with requests that cover parts of blocks, and no block is ever half of one.
#[test]
fn a_volume_of_512_byte_blocks_survives_too() {
    lives_of_a_volume(512, 12);
}

/// Journals go round many times between two kills.
#[test]
#[ignore = "takes minutes; DURABLE_WRITES sets how many writes there are"]
fn ten_million_writes_and_twenty_kills() {
    const KILLS: u64 = 20;
    let writes = setting("DURABLE_WRITES").unwrap_or(10_000_000);
    let seed = seed();
    let load = LoadOptions { mix: Mix::small_writes(), spread: Spread::EVERYWHERE, whole_blocks: true };
    let setting = Setting { base_mib: 1024, logical_mib: 512, block_size: 4096, journal_mib: 4, load };
    let mut story = Story::begin(seed, &setting);
    for kill in 1..=KILLS {
        let mut server = story.start();
        let mut controller = connect(&server, "D0");
        expect(story.load.verify(&mut controller), &mut server, kill);
        while story.load.progress().writes < writes * kill / KILLS {
            story.run(&mut server, &mut controller, kill, 400);
        }
        server.process().kill();
        expect(story.load.target_ended(controller), &mut server, kill);
        println!("{kill} kills: {:?}", story.load.progress());
    }
    story.conclude(KILLS);
}
