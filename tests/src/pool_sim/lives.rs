// SPDX-License-Identifier: BSD-3-Clause

//! Many lives of one pool: random use by several tasks, a power cut at a random moment, and again on what is left.
//!
//! In some seeds devices fail now and then. Between uses the pool is renamed, gets parameters and its STAGING drive.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::lock::ordered;
use mpool::testing::{drawn_disk, Birth, Image, Moment, Off, Random, SimHost};

use super::campaign::Totals;
use super::pool_model::PoolModel;
use super::revive::{revive, Found, CAPACITY, STAGING, ZONE};
use super::session::{Session, SharedModel};
use super::session_manage::{create, rename};
use super::wander::wander;

/// Runs one seed.
///
/// # Errors
/// A defect.
pub fn run_lives_seed(seed: u64, trace: bool) -> Result<Totals, String> {
    let mut random = Random::stream(seed, 0x6c6976);
    let zones = random.pick(&[20, 40, 64]);
    let properties = [drawn_disk(CAPACITY, zones * ZONE, &mut random), drawn_disk(STAGING, 16 * ZONE, &mut random)];
    let mut images: Vec<_> = properties.iter().map(|_| Image::unwritten(random.draw())).collect();
    let model = Rc::new(RefCell::new(PoolModel::none()));
    let errors = if random.chance(250) { 2 } else { 0 };
    let mut totals = Totals::default();
    let lives = random.between(4, 12);
    for number in 0..=lives {
        let disks = properties.iter().cloned().zip(images).collect();
        let mut birth = Birth { trace, ..Birth::new(random.draw(), disks) };
        let last = number == lives;
        if !last && random.chance(850) {
            let latest = random.pick(&[60, 300, 900, 2000]);
            let at = random.below(latest);
            birth.cut = Some(random.pick(&[Moment::Begun(at), Moment::Torn(at), Moment::Torn(at), Moment::Ended(at)]));
        }
        if !last && number > 0 {
            birth.faults.errors = errors;
            birth.faults.slow = random.pick(&[0, 0, 0, 30]);
        }
        let (shared, drawn) = (Rc::clone(&model), random.draw());
        let life = birth.live(Off::Cut, move |host| ordered(live(host, shared, drawn)));
        let life = life.map_err(|what| format!("life {number}: {what}"))?;
        totals.count(&life);
        totals.cut_points += u64::from(life.result.is_none());
        model.borrow_mut().crash();
        if life.counts.failed > 0 {
            model.borrow_mut().device_failed();
        }
        totals.calls += life.result.unwrap_or(Ok(0)).map_err(|what| format!("life {number}: {what}"))?;
        images = life.images;
    }
    Ok(totals)
}

/// One life. Returns the number of calls.
async fn live(host: Rc<SimHost>, model: SharedModel, seed: u64) -> Result<u64, String> {
    let mut random = Random::stream(seed, 1);
    if model.borrow().exists.sure && random.chance(100) {
        let name = format!("pool{}", random.below(100));
        rename(&host, &model, &name).await?;
    }
    let session = match revive(&host, &model, seed, false).await? {
        Found::Pool(session) => Some(session),
        Found::Fault => None,
        Found::Nothing => create(&host, &model, seed, true).await?,
    };
    let Some(session) = session else { return Ok(0) };
    for _ in 0..random.between(1, 4) {
        change(&session, &mut random).await?;
        let (tasks, steps) = (random.between(1, 4), random.between(5, 40));
        wander(&session, tasks, steps).await?;
    }
    let calls = session.calls.get();
    if random.chance(500) {
        session.leave().await?;
    }
    Ok(calls)
}

async fn change(session: &Rc<Session>, random: &mut Random) -> Result<(), String> {
    match random.below(8) {
        0 => session.set_label(&format!("label{}", random.below(1000))).await.map(drop),
        1 => session.set_spare(random.pick(&[0, 5, 10, 20])).await.map(drop),
        2 if !session.model.borrow().staging.sure => session.add_staging().await.map(drop),
        _ => Ok(()),
    }
}
