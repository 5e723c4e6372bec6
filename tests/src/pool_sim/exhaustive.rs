// SPDX-License-Identifier: BSD-3-Clause

//! One script, cut at every I/O, or failed at every I/O.
//!
//! The script is run once to the end, to count its operations. Then it is run again for each operation, from the disks
//! that the preparation left, and the power is cut there: when the operation begins, in its middle, when it has ended. The
//! next life activates the pool and compares it with the model, in half of the cases after another cut during recovery; it
//! uses the pool, and a last life compares once more.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::lock::ordered;
use mpool::testing::{Birth, Failure, Image, Life, Moment, Off, Random};
use mpool::{DeviceError, DeviceProperties};

use super::campaign::Totals;
use super::pool_model::PoolModel;
use super::revive::{revive, zones_of, Found, ZONE};
use super::scripts::Script;
use super::session::SharedModel;
use super::session_manage::create;
use super::wander::wander;
use crate::seeds::campaigns::Options;

/// What is done to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The power is cut.
    Cut,
    /// An operation of a disk fails, or an allocation of memory.
    Failure,
}

/// A script with what it begins with.
struct Stage {
    script: Script,
    seed: u64,
    disks: Vec<(DeviceProperties, Image)>,
    model: PoolModel,
    random: Random,
    lives: u64,
    options: Options,
    totals: Totals,
}

/// Runs one seed: one script on one pair of disks, with a blow at every operation.
///
/// # Errors
/// A defect.
pub fn run_script_seed(seed: u64, blow: Blow, options: Options) -> Result<Totals, String> {
    let scripts = Script::ALL.len() as u64;
    let script = Script::ALL[(seed % scripts) as usize];
    let mut stage = Stage::set(script, seed, options).map_err(|what| format!("{script:?}, preparing: {what}"))?;
    let (operations, allocations) = stage.rehearse().map_err(|what| format!("{script:?}, uncut: {what}"))?;
    let phase = seed / scripts % options.stride;
    for number in (phase..operations).step_by(options.stride as usize) {
        let outcome = match blow {
            Blow::Cut => stage.cut_at(number),
            Blow::Failure => stage.fail_at(number),
        };
        outcome.map_err(|what| format!("{script:?}, {blow:?} at operation {number} of {operations}, {what}"))?;
    }
    if blow == Blow::Failure {
        for number in (phase..allocations).step_by(options.stride as usize) {
            let outcome = stage.starve_at(number);
            outcome.map_err(|what| format!("{script:?}, no memory at allocation {number} of {allocations}, {what}"))?;
        }
    }
    Ok(stage.totals)
}

impl Stage {
    fn set(script: Script, seed: u64, options: Options) -> Result<Stage, String> {
        let mut random = Random::stream(seed, 0x7363);
        let properties = script.disks(&mut random);
        let disks = properties.map(|properties| (properties, Image::unwritten(random.draw())));
        let mut stage = Stage {
            script,
            seed,
            disks: disks.to_vec(),
            model: PoolModel::none(),
            random,
            lives: 0,
            options,
            totals: Totals::default(),
        };
        let model = Rc::new(RefCell::new(stage.model.clone()));
        let shared = Rc::clone(&model);
        let birth = stage.birth(stage.disks.clone());
        let life = birth.live(Off::Orderly, move |host| ordered(script.prepare(host, shared, seed)))?;
        life.result.ok_or("no end")??;
        stage.model = model.borrow().clone();
        for (at, image) in life.images.into_iter().enumerate() {
            stage.disks[at].1 = image;
        }
        if script == Script::Resize {
            stage.disks[0].0.bytes += 9 * ZONE;
            let bytes = stage.disks[0].0.bytes;
            stage.model.zones[1].begin(zones_of(bytes));
        }
        Ok(stage)
    }

    fn birth(&mut self, disks: Vec<(DeviceProperties, Image)>) -> Birth {
        let trace = self.options.trace_life == Some(self.lives);
        self.lives += 1;
        Birth { trace, ..Birth::new(self.random.draw(), disks) }
    }

    /// Runs the script to its end. Returns how many operations and allocations it takes.
    fn rehearse(&mut self) -> Result<(u64, u64), String> {
        let model = Rc::new(RefCell::new(self.model.clone()));
        let birth = Birth { seed: self.seed, ..self.birth(self.disks.clone()) };
        let life = self.perform(birth, &model)?;
        if life.result.is_none() {
            return Err("the script has no end".to_owned());
        }
        let counts = (life.counts.operations, life.counts.allocations);
        self.recover(life.images, &model)?;
        Ok(counts)
    }

    /// One life with the script.
    fn perform(&mut self, birth: Birth, model: &SharedModel) -> Result<Life<()>, String> {
        let (script, seed, shared) = (self.script, self.seed, Rc::clone(model));
        let number = self.lives - 1;
        let life = birth.live(Off::Cut, move |host| ordered(script.run(host, shared, seed)));
        let life = life.map_err(|what| format!("life {number}: {what}"))?;
        self.totals.count(&life);
        model.borrow_mut().crash();
        let result = life.result.transpose().map_err(|what| format!("life {number}: {what}"))?;
        let Life { images, disks, counts, steps, time, log, .. } = life;
        Ok(Life { result, images, disks, counts, steps, time, log })
    }

    fn cut_at(&mut self, number: u64) -> Result<(), String> {
        for moment in [Moment::Begun(number), Moment::Torn(number), Moment::Ended(number)] {
            let model = Rc::new(RefCell::new(self.model.clone()));
            let birth = Birth { seed: self.seed, cut: Some(moment), ..self.birth(self.disks.clone()) };
            let life = self.perform(birth, &model)?;
            self.totals.cut_points += 1;
            self.recover(life.images, &model).map_err(|what| format!("{moment:?}, {what}"))?;
        }
        Ok(())
    }

    fn fail_at(&mut self, number: u64) -> Result<(), String> {
        let error = self.random.pick(&[DeviceError::Io, DeviceError::Io, DeviceError::NoMemory]);
        let effect = self.random.chance(500);
        let model = Rc::new(RefCell::new(self.model.clone()));
        let mut birth = Birth { seed: self.seed, ..self.birth(self.disks.clone()) };
        birth.faults.failing = Some((number, Failure { error, effect }));
        birth.faults.lasting = self.random.chance(300);
        if self.random.chance(500) {
            birth.faults.outage = Some((number, 1 + self.random.below(60)));
        }
        let faults = format!("{:?}", birth.faults);
        self.fail(birth, &model).map_err(|what| format!("{faults}, {what}"))
    }

    fn starve_at(&mut self, number: u64) -> Result<(), String> {
        let model = Rc::new(RefCell::new(self.model.clone()));
        let mut birth = Birth { seed: self.seed, ..self.birth(self.disks.clone()) };
        birth.faults.no_memory = Some(number);
        self.fail(birth, &model)
    }

    fn fail(&mut self, birth: Birth, model: &SharedModel) -> Result<(), String> {
        let life = self.perform(birth, model)?;
        self.totals.cut_points += 1;
        if life.counts.failed > 0 {
            model.borrow_mut().device_failed();
        }
        self.recover(life.images, model)
    }

    /// The lives after the blow.
    fn recover(&mut self, images: Vec<Image>, model: &SharedModel) -> Result<(), String> {
        let mut images = images;
        let converts = self.script.converts();
        if self.random.chance(500) {
            let number = self.random.below(60);
            let moment = self.random.pick(&[Moment::Begun(number), Moment::Torn(number), Moment::Ended(number)]);
            images = self.next_life(images, model, Some(moment), false, converts)?;
        }
        images = self.next_life(images, model, None, true, converts)?;
        self.next_life(images, model, None, false, converts).map(drop)
    }

    fn next_life(
        &mut self,
        images: Vec<Image>,
        model: &SharedModel,
        cut: Option<Moment>,
        used: bool,
        converts: bool,
    ) -> Result<Vec<Image>, String> {
        let properties = self.disks.iter().map(|(properties, _)| properties.clone());
        let disks = properties.zip(images).collect();
        let seed = self.random.draw();
        let shared = Rc::clone(model);
        let (birth, number) = (Birth { cut, ..self.birth(disks) }, self.lives - 1);
        let body = move |host| {
            ordered(async move {
                let session = match revive(&host, &shared, seed, converts).await? {
                    Found::Pool(session) => session,
                    Found::Fault => return Err("a fault without a plan".to_owned()),
                    Found::Nothing => match create(&host, &shared, seed, true).await? {
                        Some(session) => session,
                        None => return Err("a fault without a plan".to_owned()),
                    },
                };
                if used {
                    wander(&session, 2, 6).await?;
                }
                session.leave().await.map(drop)
            })
        };
        let life = birth.live(Off::Cut, body).map_err(|what| format!("next life {number}: {what}"))?;
        self.totals.count(&life);
        model.borrow_mut().crash();
        life.result.unwrap_or(Ok(())).map_err(|what| format!("next life {number}: {what}"))?;
        Ok(life.images)
    }
}
