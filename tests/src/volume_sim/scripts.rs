// SPDX-License-Identifier: BSD-3-Clause

//! Scripts of up to three requests, cut at every I/O, or failed at every I/O.
//!
//! The preparation makes a volume with some content, in some seeds a full one ([`super::swaps`]), and saves it or not. The
//! script's life opens and loads it, runs the requests, saves it and ends. It is run once to the end, to count its
//! operations. Then it is run again for each operation, from the disks that the preparation left, with a blow at that
//! operation: the power is cut when it begins, in its middle, or when it has ended; or the process is killed; or the
//! operation fails once, for good, or with those after it, and when the disks are healed the pool must go on by itself.
//! The next lives recover, in half of the cases after another cut during recovery, and compare everything.

use std::rc::Rc;

use engine::request::Operation;
use mpool::lock::ordered;
use mpool::testing::{Birth, Disk, Failure, Faults, Moment, Off, Order, Random, SimHost};
use mpool::units::Nanos;
use mpool::{DeviceError, Host};

use super::campaign::Totals;
use super::life::{awake, live, note_read_only, stop, Course};
use super::lives::History;
use super::load::load;
use super::open::{reopen, Outcome};
use super::plan::{Ending, LifePlan, VolumePlan};
use super::session::Session;
use super::shared::Shared;
use super::swaps::Full;
use crate::seeds::campaigns::Options;
use crate::sim::client::Request;

/// What is done to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The power is cut.
    Cut,
    /// An operation of a disk fails.
    Failure,
}

/// A request of a script. The prepared volume has unique blocks at 0 to 3, two equal ones at 4 and 5, zeros at 6; block
/// 600 is in a page that does not exist. A full one has compressed blocks elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// New data in place of old; in a full volume in place of fragments.
    Overwrite,
    /// New data in a new page.
    WriteNewPage,
    /// What is stored already.
    WriteDuplicate,
    /// Part of a block.
    WritePart,
    /// A block of zeros.
    WriteZeroBlock,
    /// Several blocks lose their mappings.
    UnmapRange,
    /// Several blocks become zeros.
    ZeroRange,
    /// A flush.
    Flush,
}

impl Deed {
    const ALL: [Deed; 8] = [
        Deed::Overwrite,
        Deed::WriteNewPage,
        Deed::WriteDuplicate,
        Deed::WritePart,
        Deed::WriteZeroBlock,
        Deed::UnmapRange,
        Deed::ZeroRange,
        Deed::Flush,
    ];

    /// The request, for the script's request of this number.
    fn request(self, number: u64, full: Option<Full>) -> Request {
        match (self, full) {
            (Deed::Overwrite, Some(full)) => full.overwrite(number),
            (Deed::WriteDuplicate, Some(full)) => Request::write(0, &[full.plain(14)]),
            _ => self.plain_request(number),
        }
    }

    fn plain_request(self, number: u64) -> Request {
        match self {
            Deed::Overwrite => Request::write(1, &[100 + number]),
            Deed::WriteNewPage => Request::write(600 + number, &[200 + number]),
            Deed::WriteDuplicate => Request::write(0, &[14]),
            Deed::WritePart => {
                Request { operation: Operation::Write, sector: 2 * 8 + 3, sectors: 2, tokens: vec![4000 + number; 2] }
            }
            Deed::WriteZeroBlock => Request::write(3, &[0]),
            Deed::UnmapRange => Request::on_blocks(Operation::Unmap, 1, 5),
            Deed::ZeroRange => Request::on_blocks(Operation::WriteZeroes, 2, 3),
            Deed::Flush => Request::flush(),
        }
    }
}

/// The scripts, in order of their length.
#[must_use]
pub fn script(seed: u64) -> Vec<Deed> {
    let kinds = Deed::ALL.len() as u64;
    let mut rest = seed % (kinds + kinds * kinds + kinds * kinds * kinds);
    let mut length = 1;
    while rest >= kinds.pow(length) {
        rest -= kinds.pow(length);
        length += 1;
    }
    (0..length).map(|at| Deed::ALL[(rest / kinds.pow(at) % kinds) as usize]).collect()
}

/// A script with what it begins with.
struct Stage {
    deeds: Vec<Deed>,
    /// What fills the volume, if it is full.
    full: Option<Full>,
    /// Requests of the script at one time.
    depth: usize,
    prepared: History,
    /// The life of the script.
    life: LifePlan,
    seeds: (u64, u64),
    random: Random,
    options: Options,
    lives: u64,
    totals: Totals,
}

/// Runs one seed: one script, with a blow at every operation.
///
/// # Errors
/// A defect.
pub fn run_script_seed(seed: u64, blow: Blow, options: Options) -> Result<Totals, String> {
    let mut stage = Stage::set(seed, options)?;
    let on = stage.full.map_or(String::new(), |full| format!(" on {full:?}"));
    let name = format!("{:?}{on}, {} at a time", stage.deeds, stage.depth);
    let operations = stage.rehearse().map_err(|what| format!("{name}, to its end: {what}"))?;
    for number in (seed % options.stride..operations).step_by(options.stride as usize) {
        let outcome = match blow {
            Blow::Cut => stage.cut_at(number),
            Blow::Failure => stage.fail_at(number),
        };
        outcome.map_err(|what| format!("{name}, {blow:?} at operation {number} of {operations}, {what}"))?;
    }
    Ok(stage.totals)
}

impl Stage {
    fn set(seed: u64, options: Options) -> Result<Stage, String> {
        let mut random = Random::stream(seed, 0x7673);
        let mut plan = VolumePlan::draw(seed);
        plan.logical_blocks = plan.logical_blocks.max(1008);
        plan.load.hot = vec![0..8, 600..604];
        // A stream of its own, so that other seeds stand for what they were once noted for.
        let random_of_full = &mut Random::stream(seed, 0x7674);
        let full = random_of_full.chance(250).then(|| plan.fill(random_of_full));
        let mut deeds = script(seed);
        if full.is_some() {
            deeds.insert(0, Deed::Overwrite);
        }
        let shards = plan.lives[0].shards;
        let calm = |shards: usize, ending: Ending| LifePlan {
            shards,
            rounds: Vec::new(),
            growth: None,
            ending,
            faults: Faults::default(),
        };
        let mut prepared = History::new(Rc::new(plan), seed);
        let ending = if random.chance(500) { Ending::Stop } else { Ending::CutAtRest };
        let mut stage = Stage {
            deeds,
            full,
            depth: random.pick(&[1, 3]),
            life: calm(shards, ending),
            seeds: (random.draw(), random.draw()),
            random,
            options,
            lives: 0,
            totals: Totals::default(),
            prepared: prepared.fork(),
        };
        let content = [(0, 10), (1, 11), (2, 12), (3, 13), (4, 14), (5, 14), (6, 0)];
        let stored = |value| full.map_or(value, |full| full.plain(value));
        let mut content = content.map(|(lbn, value)| Request::write(lbn, &[stored(value)])).to_vec();
        content.extend(full.iter().flat_map(|full| full.content()));
        stage.perform(&mut prepared, content, Ending::CutAtRest, Faults::default())?;
        stage.prepared = prepared;
        stage.life.ending = Ending::Stop;
        Ok(stage)
    }

    /// Lives the script's life on what `history` has.
    fn perform(
        &mut self,
        history: &mut History,
        requests: Vec<Request>,
        ending: Ending,
        faults: Faults,
    ) -> Result<(bool, u64), String> {
        let trace = self.options.trace_life == Some(self.lives);
        self.lives += 1;
        history.begin(&faults);
        let course =
            Course { plan: Rc::clone(&history.plan), life: self.life.clone(), seed: self.seeds.0, trace, defect: None };
        let mut birth = Birth::on(self.seeds.1, std::mem::take(&mut history.disks));
        (birth.cut, birth.kill) = ending.moment();
        (birth.trace, birth.faults, birth.order) = (trace, faults, Some(Order::Any));
        let (known, depth) = (Rc::clone(&history.known), self.depth);
        let life = birth.live(Off::Cut, move |host| ordered(play(host, known, course, requests, depth)));
        let life = history.end(life)?;
        Ok((life.result.is_some(), life.counts.operations))
    }

    fn requests(&self) -> Vec<Request> {
        (0..).zip(&self.deeds).map(|(number, deed)| deed.request(number, self.full)).collect()
    }

    /// Runs the script to its end. Returns how many operations it takes.
    fn rehearse(&mut self) -> Result<u64, String> {
        let mut history = self.prepared.fork();
        let (ended, operations) = self.perform(&mut history, self.requests(), Ending::CutAtRest, Faults::default())?;
        if !ended {
            return Err("the script has no end".to_owned());
        }
        self.recover(history, false)?;
        Ok(operations)
    }

    fn cut_at(&mut self, number: u64) -> Result<(), String> {
        let cuts = [Moment::Begun(number), Moment::Torn(number), Moment::Ended(number)].map(Ending::Cut);
        for ending in cuts.into_iter().chain([Ending::Kill(Moment::Ended(number))]) {
            let mut history = self.prepared.fork();
            self.totals.points += 1;
            self.perform(&mut history, self.requests(), ending, Faults::default())
                .and_then(|_| self.recover(history, matches!(ending, Ending::Kill(_))))
                .map_err(|what| format!("{ending:?}, {what}"))?;
        }
        Ok(())
    }

    fn fail_at(&mut self, number: u64) -> Result<(), String> {
        let outage = 2 + self.random.below(60);
        for (lasting, outage) in [(false, None), (true, None), (false, Some((number, outage)))] {
            let failure = Failure { error: DeviceError::Io, effect: self.random.chance(500) };
            let faults = Faults { failing: Some((number, failure)), lasting, outage, ..Faults::default() };
            let mut history = self.prepared.fork();
            self.totals.points += 1;
            self.perform(&mut history, self.requests(), Ending::CutAtRest, faults)
                .and_then(|_| self.recover(history, false))
                .map_err(|what| format!("lasting {lasting}, outage {outage:?}, effect {}, {what}", failure.effect))?;
        }
        Ok(())
    }

    /// The lives after the blow. After a kill, what the first of them reads may be in the disks' caches only, so the
    /// power is always cut in it.
    fn recover(&mut self, mut history: History, killed: bool) -> Result<(), String> {
        let seed = self.random.draw();
        history.random = Random::stream(seed, 1);
        let slabs = history.plan.slabs.min(4);
        if killed || self.random.chance(500) {
            let number = self.random.below(250);
            let moment = self.random.pick(&[Moment::Begun(number), Moment::Torn(number), Moment::Ended(number)]);
            let kills = !killed && self.random.chance(300);
            let life = LifePlan {
                shards: self.random.between(1, slabs) as usize,
                ending: if kills { Ending::Kill(moment) } else { Ending::Cut(moment) },
                ..self.life.clone()
            };
            self.next(&mut history, life)?;
        }
        let shards = self.random.between(1, slabs) as usize;
        let life = LifePlan { shards, ..LifePlan::last(&history.plan) };
        self.next(&mut history, life)?;
        crate::seeds::runner::Totals::add(&mut self.totals, &history.totals());
        Ok(())
    }

    fn next(&mut self, history: &mut History, life: LifePlan) -> Result<(), String> {
        let number = self.lives;
        history.trace = self.options.trace_life == Some(number);
        self.lives += 1;
        history.live(life, None).map(drop).map_err(|what| format!("trace-life {number}: {what}"))
    }
}

/// The script's life.
async fn play(
    host: Rc<SimHost>,
    known: Shared,
    course: Course,
    requests: Vec<Request>,
    depth: usize,
) -> Result<(), String> {
    if requests.is_empty() {
        return live(host, known, course).await;
    }
    let Some(mut session) = awake(&host, &known, &course).await? else { return Ok(()) };
    let mut requests = requests.into_iter();
    session.drive(depth, |_, _| requests.next()).await?;
    let Some(session) = go_on(session, &course).await? else { return Ok(()) };
    if course.life.ending == Ending::Stop {
        stop(session).await?;
    }
    Ok(())
}

/// After failures the disks are healed. A while later the pool has mended itself; a volume that takes no writes any more
/// is rebuilt on it, and nothing that was acknowledged is lost.
async fn go_on(mut session: Session, course: &Course) -> Outcome<Session> {
    let (host, known) = (Rc::clone(&session.host), Rc::clone(session.known()));
    if !host.machine().borrow().counts.excuses() {
        return Ok(Some(session));
    }
    session.settle().await?;
    host.machine().borrow_mut().heal();
    host.sleep(Nanos(90_000_000_000)).await;
    session.settle().await?;
    let faults = session.opened.active.pool().faults();
    if !faults.is_empty() {
        return Err(format!("a while after the end of all failures there is still: {faults:?}"));
    }
    note_read_only(&mut session).await?;
    if session.read_only.is_none() {
        return Ok(Some(session));
    }
    known.borrow_mut().faulty = false;
    let opened = &session.opened;
    let opened = (Rc::clone(&opened.registry), Rc::clone(&opened.active), Rc::clone(&opened.store));
    drop(session);
    let Some(opened) = reopen(&host, opened).await? else { return Ok(None) };
    let shards = course.life.shards.min(opened.store.slabs() as usize);
    let session = load(&host, &known, opened, &course.plan, (shards, course.seed, course.trace)).await?;
    let mut session = session.ok_or("what was healed still fails")?;
    session.read_back(true).await?;
    Ok(Some(session))
}

impl History {
    /// A copy that goes its own way.
    #[must_use]
    pub fn fork(&self) -> History {
        let known = self.known.borrow().clone();
        let disks: Vec<Disk> = self.disks.clone();
        History::at(Rc::clone(&self.plan), known, disks, self.random.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scripts_occur_once() {
        let mut scripts: Vec<_> = (0..8 + 64 + 512).map(script).collect();
        assert!(scripts.iter().all(|script| (1..=3).contains(&script.len())));
        scripts.sort_unstable_by_key(|script| format!("{script:?}"));
        scripts.dedup();
        assert_eq!(scripts.len(), 584);
    }
}
