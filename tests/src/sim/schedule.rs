// SPDX-License-Identifier: BSD-3-Clause

//! What happens next, drawn from the seed.
//!
//! First a kind of event is drawn by weight among those that are possible, then one of the kind. Weights differ from
//! seed to seed, so that in some the disk is slow, in others messages lag, in others shards run rarely.

use engine::ShardId;
use mpool::testing::Random;

use super::base::Base;
use super::chapters::Chapters;
use super::cluster::{Cluster, Step};

/// How likely each kind of event is, and how fast time goes.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// A shard accepts a piece.
    pub piece: u32,
    /// A message arrives.
    pub message: u32,
    /// A transfer takes effect or ends.
    pub transfer: u32,
    /// A shard that may have something to do runs.
    pub run: u32,
    /// A timer that is due fires.
    pub timer: u32,
    /// Any shard runs.
    pub idle_run: u32,
    /// Most nanoseconds between two events.
    pub pace: u64,
}

impl Weights {
    /// Draws weights.
    pub fn draw(random: &mut Random) -> Weights {
        let mut weight = || random.pick(&[1, 1, 2, 4, 16]);
        let (piece, message, transfer, run) = (weight(), weight(), weight(), weight());
        Weights { piece, message, transfer, run, timer: 4, idle_run: 1, pace: random.pick(&[100, 1000, 100_000]) }
    }
}

/// The source of decisions.
#[derive(Debug)]
pub struct Schedule {
    random: Random,
    weights: Weights,
}

#[derive(Clone, Copy)]
enum Kind {
    Piece,
    Message,
    Transfer,
    Run,
    Timer,
    Index,
    IdleRun,
}

impl Schedule {
    /// Decisions that depend on `random`.
    #[must_use]
    pub const fn new(weights: Weights, random: Random) -> Schedule {
        Schedule { random, weights }
    }

    /// The source of randomness, for decisions about clients.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Lets one event happen. Returns false if none is possible any more, not even later.
    pub fn step<D: Base>(&mut self, cluster: &mut Cluster<D>) -> bool {
        cluster.world.clock += 1 + self.random.below(self.weights.pace);
        match self.choose(cluster) {
            Some(step) => {
                cluster.perform(step);
                true
            }
            None => Schedule::wait(cluster),
        }
    }

    fn choose<D: Base>(&mut self, cluster: &Cluster<D>) -> Option<Step> {
        let clock = cluster.world.clock;
        let can_deliver = |shard: &ShardId| cluster.can_deliver(*shard);
        let is_due = |shard: &ShardId| cluster.world.timers[shard.index()].is_some_and(|at| at <= clock);
        let is_stale = |shard: &ShardId| cluster.is_stale(*shard);
        let weights = &self.weights;
        let if_any = |any: bool, weight: u32| if any { weight } else { 0 };
        let transfers = cluster.world.disk.endable() > 0;
        let sections = cluster.world.chapters.as_ref().map_or(0, |chapters| chapters.possible(clock));
        let possible = [
            (Kind::Piece, if_any(cluster.ids().any(|shard| can_deliver(&shard)), weights.piece)),
            (Kind::Message, if_any(!cluster.world.busy_channels.is_empty(), weights.message)),
            (Kind::Transfer, if_any(transfers, weights.transfer)),
            (Kind::Run, if_any(cluster.ids().any(|shard| is_stale(&shard)), weights.run)),
            (Kind::Timer, if_any(cluster.ids().any(|shard| is_due(&shard)), weights.timer)),
            (Kind::Index, if_any(sections > 0, weights.transfer)),
        ];
        let total: u32 = possible.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let mut drawn = self.random.below(u64::from(total + weights.idle_run)) as u32;
        let mut kind = Kind::IdleRun;
        for (candidate, weight) in possible {
            if drawn < weight {
                kind = candidate;
                break;
            }
            drawn -= weight;
        }
        Some(match kind {
            Kind::Piece => Step::Piece(self.one_of(cluster.ids().filter(can_deliver))),
            Kind::Message => {
                let (from, to) = self.random.pick(&cluster.world.busy_channels);
                Step::Message(from, to)
            }
            Kind::Transfer => self.transfer(cluster),
            Kind::Run => Step::Run(self.one_of(cluster.ids().filter(is_stale))),
            Kind::Timer => Step::Timer(self.one_of(cluster.ids().filter(is_due))),
            Kind::Index => Step::Index(self.random.index(sections)),
            Kind::IdleRun => Step::Run(self.one_of(cluster.ids())),
        })
    }

    fn one_of(&mut self, shards: impl Iterator<Item = ShardId> + Clone) -> ShardId {
        let chosen = self.random.index(shards.clone().count());
        shards.into_iter().nth(chosen).expect("the index is below the count")
    }

    fn transfer<D: Base>(&mut self, cluster: &Cluster<D>) -> Step {
        let disk = &cluster.world.disk;
        let mut chosen = self.random.index(disk.endable());
        if disk.is_slow(chosen) && self.random.chance(950) {
            // A slow one has to be drawn many times, unless only slow ones are left.
            chosen = (0..disk.endable()).find(|number| !disk.is_slow(*number)).unwrap_or(chosen);
        }
        if self.random.chance(250) {
            Step::Apply(chosen)
        } else {
            Step::Finish(chosen)
        }
    }

    /// Nothing is possible now: runs every shard, since a host polls them for ever, and else lets time pass until a
    /// timer is due or a section is there. Returns false if there is none.
    fn wait<D: Base>(cluster: &mut Cluster<D>) -> bool {
        let mut did = false;
        for shard in cluster.ids() {
            did |= cluster.perform(Step::Run(shard));
        }
        if did || cluster.world.failure.is_some() {
            return true;
        }
        let has_work = !cluster.is_idle() || cluster.ids().any(|shard| cluster.shard(shard).tries_again());
        let world = &mut cluster.world;
        // Without work only reports of errors wait for a timer.
        let timer = world.timers.iter().flatten().min().copied().filter(|_| has_work);
        let section = world.chapters.as_ref().and_then(Chapters::ready);
        match timer.into_iter().chain(section).min() {
            Some(at) => {
                world.clock = world.clock.max(at);
                true
            }
            None => false,
        }
    }
}
