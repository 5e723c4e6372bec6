// SPDX-License-Identifier: BSD-3-Clause

//! Many lives of one volume: random use, an end at a random moment, and again on what is left.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::lock::ordered;
use mpool::testing::{Birth, Disk, Faults, Image, Life, Moment, Off, Order, Random};

use super::campaign::Totals;
use super::life::{live, Course};
use super::machine_base::Defect;
use super::plan::{Ending, LifePlan, VolumePlan};
use super::shared::{Known, Shared};

/// Runs one seed.
///
/// # Errors
/// A defect.
pub fn run_lives_seed(seed: u64, trace: bool) -> Result<Totals, String> {
    run_lives_seed_with(seed, trace, None)
}

/// Runs one seed with a defect of the bdevs under the shards.
///
/// # Errors
/// The defect, if it is noticed.
pub fn run_lives_seed_with(seed: u64, trace: bool, defect: Option<Defect>) -> Result<Totals, String> {
    let plan = Rc::new(VolumePlan::draw(seed));
    if trace {
        println!("{plan:#?}");
    }
    let mut history = History::new(plan, seed);
    (history.trace, history.defect) = (trace, defect);
    for life in history.plan.lives.clone() {
        history.live(life, None)?;
    }
    history.live(LifePlan::last(&history.plan), None)?;
    Ok(history.totals())
}

/// The lives of one volume so far.
pub struct History {
    /// What the seed stands for.
    pub plan: Rc<VolumePlan>,
    /// What is known.
    pub known: Shared,
    /// The disks as the last life left them.
    pub disks: Vec<Disk>,
    /// Chance.
    pub random: Random,
    /// Print every event.
    pub trace: bool,
    /// What is wrong on purpose.
    pub defect: Option<Defect>,
    number: u64,
    totals: Totals,
}

impl History {
    /// Disks that were never written.
    #[must_use]
    pub fn new(plan: Rc<VolumePlan>, seed: u64) -> History {
        let mut random = Random::stream(seed, 0x766c);
        let blank =
            |properties: &mpool::DeviceProperties| Disk::new(properties.clone(), Image::unwritten(random.draw()));
        let disks = plan.disks.iter().map(blank).collect();
        let known = Known::new(seed, plan.slabs, plan.logical_blocks);
        History::at(plan, known, disks, random)
    }

    /// A volume of which so much is known.
    #[must_use]
    pub fn at(plan: Rc<VolumePlan>, known: Known, disks: Vec<Disk>, random: Random) -> History {
        let known = Rc::new(RefCell::new(known));
        History { plan, known, disks, random, trace: false, defect: None, number: 0, totals: Totals::default() }
    }

    /// One more life, in a given order of operations or one that is drawn.
    ///
    /// # Errors
    /// A defect.
    pub fn live(&mut self, life: LifePlan, order: Option<Order>) -> Result<Life<Result<(), String>>, String> {
        let course = Course {
            plan: Rc::clone(&self.plan),
            seed: self.random.draw(),
            trace: self.trace,
            life,
            defect: self.defect,
        };
        let (cut, kill) = course.life.ending.moment();
        let mut birth = Birth::on(self.random.draw(), std::mem::take(&mut self.disks));
        (birth.trace, birth.cut, birth.kill, birth.order) = (self.trace, cut, kill, order);
        birth.faults = course.life.faults.clone();
        let off = if course.life.ending == Ending::Leave { Off::No } else { Off::Cut };
        self.begin(&course.life.faults);
        let known = Rc::clone(&self.known);
        let life = birth.live(off, move |host| ordered(live(host, known, course)));
        self.end(life)
    }

    /// A life with faults tells nothing for certain about writes that failed.
    pub fn begin(&mut self, faults: &Faults) {
        let fails = faults.errors > 0 || faults.failing.is_some();
        let mut known = self.known.borrow_mut();
        known.model.set_fickle(fails);
        known.faulty = fails;
    }

    /// Takes stock of a life.
    ///
    /// # Errors
    /// A defect.
    pub fn end(&mut self, life: Result<Life<Result<(), String>>, String>) -> Result<Life<Result<(), String>>, String> {
        let number = self.number;
        self.number += 1;
        let mut life = life.map_err(|what| format!("life {number}: {what}"))?;
        let failure = self.known.borrow_mut().failure.take();
        if let Some(what) = failure.or_else(|| life.result.clone().and_then(Result::err)) {
            return Err(format!("life {number}: {what}"));
        }
        self.known.borrow_mut().crash();
        self.totals.count(&life);
        self.disks = std::mem::take(&mut life.disks);
        if self.disks.is_empty() {
            let properties = self.plan.disks.iter().cloned();
            let images = std::mem::take(&mut life.images);
            self.disks = properties.zip(images).map(|(properties, image)| Disk::new(properties, image)).collect();
        }
        Ok(life)
    }

    /// The number of the next life.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.number
    }

    /// What happened.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let known = self.known.borrow();
        Totals {
            requests: known.requests,
            recoveries: known.recoveries,
            rebuilds: known.rebuilds,
            checks: known.checks,
            swaps: known.swaps,
            swaps_cut: known.swaps_cut,
            relocations: known.relocations,
            ..self.totals
        }
    }
}

impl Ending {
    /// When the life ends, and whether by a kill.
    #[must_use]
    pub const fn moment(self) -> (Option<Moment>, bool) {
        match self {
            Ending::Cut(moment) => (Some(moment), false),
            Ending::Kill(moment) => (Some(moment), true),
            Ending::Stop | Ending::Leave | Ending::CutAtRest => (None, false),
        }
    }
}

impl LifePlan {
    /// A life without faults that ends in good order, so that everything is compared at its end.
    #[must_use]
    pub fn last(plan: &VolumePlan) -> LifePlan {
        let shards = plan.lives.last().map_or(1, |life| life.shards);
        LifePlan { shards, rounds: vec![10], growth: None, ending: Ending::Stop, faults: Faults::default() }
    }
}
