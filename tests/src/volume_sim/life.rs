// SPDX-License-Identifier: BSD-3-Clause

//! One life of a volume: it is opened, recovered, read back, used, and ends.

use std::rc::Rc;

use engine::format::slab_summary::SlabSummary;
use engine::volume::inventory::{StateKind, VolumeState};
use engine::volume::store::SlabWish;
use engine::Blocks;

use super::check::check;
use super::load::load;
use super::machine_base::Defect;
use super::open::{excuse, is_full, open, step, Outcome};
use super::plan::{Ending, LifePlan, VolumePlan, SLAB_BLOCKS};
use super::session::Session;
use super::shared::Shared;
use mpool::testing::SimHost;

/// What a life is lived by.
#[derive(Debug, Clone)]
pub struct Course {
    /// The seed's plan.
    pub plan: Rc<VolumePlan>,
    /// This life's.
    pub life: LifePlan,
    /// Seed of everything that is left to chance.
    pub seed: u64,
    /// Print every event of the shards.
    pub trace: bool,
    /// What is wrong on purpose.
    pub defect: Option<Defect>,
}

/// Lives, until the end of the course or a fault.
///
/// # Errors
/// A defect.
pub async fn live(host: Rc<SimHost>, known: Shared, course: Course) -> Result<(), String> {
    let outcome = live_on(&host, &known, &course).await;
    let failure = known.borrow_mut().failure.take();
    match (outcome, failure) {
        (Err(what), _) | (_, Some(what)) => Err(what),
        (Ok(_), None) => Ok(()),
    }
}

async fn live_on(host: &Rc<SimHost>, known: &Shared, course: &Course) -> Outcome<()> {
    let Some(mut session) = awake(host, known, course).await? else { return Ok(None) };
    let life = &course.life;
    let all = session.random().chance(150);
    session.read_back(all).await?;
    for (round, requests) in life.rounds.iter().enumerate() {
        session.work(*requests).await?;
        if note_read_only(&mut session).await?.is_none() {
            return Ok(None);
        }
        if session.read_only.is_some() {
            // Reads go on.
            session.read_back(false).await?;
            return Ok(None);
        }
        if round == 0 {
            if let Some(growth) = life.growth {
                if grow(&mut session, growth).await?.is_none() {
                    return Ok(None);
                }
            }
        }
        if round + 1 < life.rounds.len() && save_and_check(&mut session).await?.is_none() {
            return Ok(None);
        }
    }
    match life.ending {
        Ending::Stop | Ending::Leave => stop(session).await,
        Ending::Cut(_) | Ending::Kill(_) | Ending::CutAtRest => Ok(Some(())),
    }
}

/// Opens and loads the volume.
///
/// # Errors
/// A defect.
pub async fn awake(host: &Rc<SimHost>, known: &Shared, course: &Course) -> Outcome<Session> {
    let Some(opened) = open(host, known, &course.plan).await? else { return Ok(None) };
    let shards = course.life.shards.min(opened.store.slabs() as usize);
    let session = load(host, known, opened, &course.plan, (shards, course.seed, course.trace)).await?;
    Ok(session.map(|mut session| {
        session.cluster.world.disk.defect = course.defect;
        session
    }))
}

/// Saves the volume, compares what is on media with the model, and goes on.
async fn save_and_check(session: &mut Session) -> Outcome<()> {
    session.settle().await?;
    session.save().await?;
    if note_read_only(session).await?.is_none() || session.read_only.is_some() {
        return Ok(None);
    }
    if check(session).await?.is_none() {
        return Ok(None);
    }
    session.cluster.resume();
    Ok(Some(()))
}

/// Saves the volume for good, and leaves the pool.
///
/// # Errors
/// A defect.
pub async fn stop(mut session: Session) -> Outcome<()> {
    session.settle().await?;
    session.save().await?;
    if note_read_only(&mut session).await?.is_none() || session.read_only.is_some() {
        return Ok(None);
    }
    if check(&session).await?.is_none() {
        return Ok(None);
    }
    session.cluster.save_index();
    let host = Rc::clone(&session.host);
    let store = Rc::clone(&session.opened.store);
    let statistics = session.cluster.statistics();
    let state = VolumeState {
        kind: StateKind::Clean,
        logical_blocks_used: statistics.logical_blocks_used,
        map_pages: statistics.block_map_pages,
        ..store.state()
    };
    step!(&host, "recording the clean stop", store.set_state(state).await);
    step!(&host, "closing the volume", store.close().await);
    Ok(Some(()))
}

/// When the volume takes no writes any more, records that, as a host does. Nothing when that fails too.
///
/// # Errors
/// A defect.
pub async fn note_read_only(session: &mut Session) -> Outcome<()> {
    let (Some(reason), store) = (session.read_only, Rc::clone(&session.opened.store)) else { return Ok(Some(())) };
    if store.state().kind == StateKind::ReadOnly {
        return Ok(Some(()));
    }
    let reason = VolumeState::reason_of(&reason.to_string());
    let state = VolumeState { kind: StateKind::ReadOnly, reason, ..store.state() };
    step!(&session.host, "recording read-only mode", store.set_state(state).await);
    Ok(Some(()))
}

/// Grows the volume by slabs and logical blocks.
async fn grow(session: &mut Session, (slabs, blocks): (u64, u64)) -> Outcome<()> {
    session.settle().await?;
    let host = Rc::clone(&session.host);
    let store = Rc::clone(&session.opened.store);
    let known = Rc::clone(session.known());
    if slabs > 0 {
        known.borrow_mut().slabs.begin(store.slabs() + slabs);
        match store.grow(SlabWish { least: slabs, wanted: slabs }).await {
            Ok(_) => known.borrow_mut().slabs.done(),
            Err(error) if is_full(&error) => {}
            Err(error) => return excuse(&host, "growing by slabs", &error),
        }
    }
    if blocks > 0 {
        let mut config = store.config();
        config.logical_blocks = Blocks(config.logical_blocks.0 + blocks);
        known.borrow_mut().logical_blocks.begin(config.logical_blocks.0);
        step!(&host, "growing the logical size", store.set_config(config).await);
        known.borrow_mut().logical_blocks.done();
    }
    let shards = session.cluster.world.geometry.shards();
    let geometry = step!(&host, "laying the volume out", store.geometry(shards));
    let placement = step!(&host, "placing the volume", store.placement(geometry));
    let summaries = vec![SlabSummary::new(SLAB_BLOCKS as u32); geometry.slabs() as usize];
    session.cluster.world.disk.set_placement(placement);
    session.cluster.grow(geometry, &summaries);
    session.load.geometry = geometry;
    let end = geometry.logical_blocks().0;
    session.load.hot.push(end - blocks.clamp(1, 20)..end);
    Ok(Some(()))
}
