// SPDX-License-Identifier: BSD-3-Clause

//! A volume in use: its shards are driven event by event, in turn with the machine under them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use engine::request::Operation;
use engine::ReadOnlyReason;
use mpool::testing::{Random, SimHost};

use super::machine_base::MachineBase;
use super::open::Opened;
use super::shared::Shared;
use crate::sim::client::Request;
use crate::sim::cluster::Cluster;
use crate::sim::plan::Plan;
use crate::sim::schedule::Schedule;
use crate::sim::scribble::Scribbler;
use crate::sim::workload::Workload;

/// Events without any request being answered after which a volume counts as stuck.
const PATIENCE: u64 = 300_000;

/// Most blocks in a read that compares.
const STRIDE: u64 = 64;

/// A loaded volume.
pub struct Session {
    /// The host.
    pub host: Rc<SimHost>,
    /// Pool and volume.
    pub opened: Opened,
    /// The shards.
    pub cluster: Cluster<MachineBase>,
    /// The load; its geometry is the volume's.
    pub load: Plan,
    known: Shared,
    schedule: Schedule,
    workload: Workload,
    scribbler: Scribbler,
    pauses: u32,
    /// Events since the last piece was answered, and how many were answered by then.
    patience: (u64, u64),
    /// Why the volume takes no writes any more, once all shards know.
    pub read_only: Option<ReadOnlyReason>,
}

impl Drop for Session {
    /// However the life ends, the model outlives it.
    fn drop(&mut self) {
        let mut known = self.known.borrow_mut();
        let statistics = self.cluster.statistics();
        known.swaps += statistics.blocks_swapped;
        known.relocations += statistics.fragments_relocated;
        known.swaps_cut += u64::from(self.cluster.ids().any(|id| self.cluster.shard(id).is_swapping()));
        let world = &mut self.cluster.world;
        std::mem::swap(&mut known.model, &mut world.model);
        std::mem::swap(&mut known.workload, &mut self.workload);
        known.chapters = world.chapters.take();
        known.now = world.now + 1;
        known.requests += world.counts.requests;
        if let Some(what) = world.failure.take() {
            known.failure.get_or_insert(format!("event {}: {what}", world.now));
        }
    }
}

impl Session {
    /// A volume whose shards are there. The session takes the model until it is dropped.
    #[must_use]
    pub fn new(
        host: &Rc<SimHost>,
        known: &Shared,
        opened: Opened,
        mut cluster: Cluster<MachineBase>,
        (load, pauses, seed): (Plan, u32, u64),
    ) -> Session {
        let mut workload = Workload::new(seed);
        {
            let mut known = known.borrow_mut();
            std::mem::swap(&mut known.model, &mut cluster.world.model);
            std::mem::swap(&mut known.workload, &mut workload);
            cluster.world.now = known.now;
        }
        let has_reserve = cluster.ids().all(|id| cluster.statistics_of(id).reserved_blocks > 0);
        cluster.world.overwrites_go_on = has_reserve && load.overwrites_go_on();
        let schedule = Schedule::new(load.weights, Random::stream(seed, 3));
        let scribbler = Scribbler::new(&load, seed);
        Session {
            host: Rc::clone(host),
            opened,
            cluster,
            load,
            known: Rc::clone(known),
            schedule,
            workload,
            scribbler,
            pauses,
            patience: (0, 0),
            read_only: None,
        }
    }

    /// What is known over all lives; the model is here meanwhile.
    #[must_use]
    pub const fn known(&self) -> &Shared {
        &self.known
    }

    /// A source of chance.
    pub fn random(&mut self) -> &mut Random {
        self.schedule.random()
    }

    /// Lets one event happen, waiting for the machine if need be. Returns false if nothing can happen any more.
    ///
    /// # Errors
    /// A defect.
    pub async fn step(&mut self) -> Result<bool, String> {
        let disk = &mut self.cluster.world.disk;
        poll_fn(|context| {
            let _ = disk.poll(context);
            Poll::Ready(())
        })
        .await;
        self.scribbler.now_and_then(&mut self.cluster.world);
        let more = self.schedule.step(&mut self.cluster);
        self.examine(more)?;
        self.spread_read_only();
        if more {
            if self.schedule.random().chance(self.pauses) {
                yield_now().await;
            }
            return Ok(true);
        }
        if self.cluster.world.disk.is_resting() {
            return Ok(false);
        }
        let disk = &mut self.cluster.world.disk;
        poll_fn(|context| disk.poll(context)).await;
        Ok(true)
    }

    fn examine(&mut self, more: bool) -> Result<(), String> {
        let world = &self.cluster.world;
        if let Some(failure) = &world.failure {
            return Err(format!("event {}: {failure}", world.now));
        }
        let ended = world.pieces.ended();
        if ended != self.patience.1 {
            self.patience = (0, ended);
        }
        self.patience.0 += 1;
        let open = world.pieces.open_requests();
        let stuck = !more && open > 0 && world.disk.is_resting();
        if self.patience.0 > PATIENCE || stuck {
            let why = if stuck { "is stuck" } else { "is busy without progress" };
            return Err(format!("the engine {why} with {open} requests open:\n{}", world.dump()));
        }
        Ok(())
    }

    /// When a shard has reported that it takes no writes any more, tells the others.
    fn spread_read_only(&mut self) {
        if self.read_only.is_some() {
            return;
        }
        if let Some(reason) = self.cluster.world.read_only {
            self.read_only = Some(reason);
            self.cluster.enter_read_only(ReadOnlyReason::Told);
        }
    }

    /// True when no request is open and no shard has anything to do for one.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let world = &self.cluster.world;
        world.pieces.open_requests() == 0
            && world.busy_channels.is_empty()
            && self.cluster.ids().all(|id| self.cluster.shard(id).is_idle())
    }

    /// Runs requests with at most `depth` open at one time, until all are answered.
    ///
    /// # Errors
    /// A defect.
    pub async fn drive(
        &mut self,
        depth: usize,
        mut next: impl FnMut(&mut Workload, &Plan) -> Option<Request>,
    ) -> Result<(), String> {
        let mut left = true;
        while left || !self.is_idle() {
            let room = self.cluster.world.pieces.open_requests() < depth;
            if left && room && self.schedule.random().chance(300) {
                match next(&mut self.workload, &self.load) {
                    Some(request) => {
                        self.cluster.submit(&request);
                        self.toggle_compression_now_and_then();
                    }
                    None => left = false,
                }
            }
            if !self.step().await? && !left && !self.is_idle() {
                return Err(format!("the engine does not come to rest:\n{}", self.cluster.world.dump()));
            }
        }
        Ok(())
    }

    fn toggle_compression_now_and_then(&mut self) {
        let random = self.schedule.random();
        if self.load.toggle > 0 && random.chance(self.load.toggle) {
            let enabled = random.chance(500);
            self.cluster.set_compression(enabled);
        }
    }

    /// Runs the load.
    ///
    /// # Errors
    /// A defect.
    pub async fn work(&mut self, requests: u32) -> Result<(), String> {
        let mut left = requests;
        self.drive(self.load.depth, |workload, load| {
            left = left.checked_sub(1)?;
            Some(workload.next(load))
        })
        .await
    }

    /// Reads where the load was, and compares; with `all`, everything.
    ///
    /// # Errors
    /// A defect.
    pub async fn read_back(&mut self, all: bool) -> Result<(), String> {
        let mut requests = Vec::new();
        let everything = 0..self.load.geometry.logical_blocks().0;
        let ranges = if all { vec![everything] } else { self.load.hot.clone() };
        for range in ranges {
            for lbn in range.clone().step_by(STRIDE as usize) {
                requests.push(Request::on_blocks(Operation::Read, lbn, STRIDE.min(range.end - lbn)));
            }
        }
        self.drive(8, |_, _| requests.pop()).await
    }

    /// Waits until nothing is under way any more, not even in the background.
    ///
    /// # Errors
    /// A defect.
    pub async fn settle(&mut self) -> Result<(), String> {
        self.patience.0 = 0;
        while !self.cluster.is_quiet() {
            if !self.step().await? && !self.cluster.is_quiet() {
                return Err(format!("the engine does not become quiet:\n{}", self.cluster.world.dump()));
            }
        }
        Ok(())
    }

    /// Saves all metadata of the shards, which are idle.
    ///
    /// # Errors
    /// A defect.
    pub async fn save(&mut self) -> Result<(), String> {
        self.patience.0 = 0;
        self.cluster.save();
        while !self.cluster.is_saved() {
            if !self.step().await? && !self.cluster.is_saved() {
                return Err(format!("the volume cannot be saved:\n{}", self.cluster.world.dump()));
            }
        }
        self.cluster.quiesce();
        Ok(())
    }
}

/// Lets others run.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
