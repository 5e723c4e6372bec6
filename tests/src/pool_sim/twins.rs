// SPDX-License-Identifier: BSD-3-Clause

//! A pool and a copy of its disks on one machine: the copy is imported beside the original, with power cuts at random
//! moments. Afterwards both are what they were, and share nothing but their content.

use std::cell::RefCell;
use std::rc::Rc;

use mpool::lock::ordered;
use mpool::management::import::ImportRequest;
use mpool::management::scan::pools_among;
use mpool::testing::{drawn_disk, plain_disk, Birth, Image, Life, Moment, Off, Random, SimHost};
use mpool::DeviceProperties;
use uuid::Uuid;

use super::campaign::Totals;
use super::pool_model::{PoolModel, Possible};
use super::revive::{registry, revive, Found, CAPACITY, STAGING, ZONE};
use super::session::{is_fault, Session, SharedModel};
use super::session_manage::create;
use super::wander::wander;

/// Names of the disks with the copy.
const COPIES: [&str; 2] = ["copied capacity", "copied staging"];

/// Name of the imported pool.
const IMPORTED: &str = "imported";

/// Lives in which the import may be cut off.
const CUT_LIVES: u64 = 6;

/// Disks that are switched off.
type Disks = Vec<(DeviceProperties, Image)>;

/// Runs one seed.
///
/// # Errors
/// A defect.
pub fn run_twins_seed(seed: u64, trace: bool) -> Result<Totals, String> {
    let mut random = Random::stream(seed, 0x7477);
    let properties = [drawn_disk(CAPACITY, 40 * ZONE, &mut random), drawn_disk(STAGING, 16 * ZONE, &mut random)];
    let disks: Disks = properties.iter().cloned().zip([(); 2].map(|()| Image::unwritten(random.draw()))).collect();
    let model = Rc::new(RefCell::new(PoolModel::none()));
    let mut totals = Totals::default();
    let (shared, drawn) = (Rc::clone(&model), random.draw());
    let birth = Birth { trace, ..Birth::new(random.draw(), disks) };
    let made = birth.live(Off::Orderly, move |host| ordered(make(host, shared, drawn)))?;
    let identities = ended(&mut totals, &made)?;
    model.borrow_mut().crash();

    let original: Disks = properties.iter().cloned().zip(made.images).collect();
    let copied_model = Rc::new(RefCell::new(model.borrow().clone()));
    let mut copies: Disks =
        original.iter().zip(COPIES).map(|((disk, image), name)| (renamed(disk, name), image.clone())).collect();
    copies.truncate(if model.borrow().staging.sure { 2 } else { 1 });
    let mut all = original;
    all.extend(copies);
    for attempt in 0..=CUT_LIVES {
        let (disks, cut) = (all.clone(), attempt < CUT_LIVES);
        let mut birth = Birth { trace, ..Birth::new(random.draw(), disks) };
        if cut {
            let at = random.below(40);
            birth.cut = Some(random.pick(&[Moment::Begun(at), Moment::Torn(at), Moment::Torn(at), Moment::Ended(at)]));
        }
        let off = if cut { Off::Cut } else { Off::Orderly };
        let life = birth.live(off, move |host| ordered(import(host, attempt == 0)))?;
        totals.count(&life);
        let done = matches!(&life.result, Some(Ok(())));
        if let Some(Err(what)) = life.result {
            return Err(format!("attempt {attempt}: {what}"));
        }
        all.iter_mut().zip(life.images).for_each(|((_, image), now)| *image = now);
        if done && random.chance(500) {
            break;
        }
    }
    let copies = all.split_off(2);
    copied_model.borrow_mut().name = Possible::known(IMPORTED.to_owned());
    let mut pools = vec![identities];
    for (disks, model) in [(all, model), (at_home(copies), copied_model)] {
        let (drawn, birth) = (random.draw(), Birth { trace, ..Birth::new(random.draw(), disks) });
        let life = birth.live(Off::Orderly, move |host| ordered(compare(host, model, drawn)))?;
        pools.push(ended(&mut totals, &life)?);
    }
    if pools[0] != pools[1] {
        return Err(format!("the original was {:?} and is {:?}", pools[0], pools[1]));
    }
    match pools[2].iter().find(|uuid| pools[1].contains(uuid)) {
        Some(uuid) => Err(format!("both pools have {uuid}")),
        None => Ok(totals),
    }
}

fn ended<T: Clone>(totals: &mut Totals, life: &Life<Result<T, String>>) -> Result<T, String> {
    totals.count(life);
    life.result.clone().ok_or("the life was cut off")?
}

fn renamed(disk: &DeviceProperties, name: &str) -> DeviceProperties {
    // Another disk of the same kind.
    let uuid = plain_disk(name, ZONE, 512).uuid;
    DeviceProperties { name: name.to_owned(), uuid, ..disk.clone() }
}

/// The disks with the copy under the names that a pool is looked for by here.
fn at_home(copies: Disks) -> Disks {
    let names = [CAPACITY, STAGING].into_iter();
    let mut disks: Disks = copies
        .into_iter()
        .zip(names)
        .map(|((disk, image), name)| (DeviceProperties { name: name.to_owned(), ..disk }, image))
        .collect();
    if disks.len() == 1 {
        disks.push((plain_disk(STAGING, 16 * ZONE, 512), Image::unwritten(1)));
    }
    disks
}

/// UUIDs of an active pool and its drives.
fn identities(session: &Session) -> Vec<Uuid> {
    let pool = session.pool();
    [pool.uuid()].into_iter().chain(pool.drives().iter().map(|drive| drive.descriptor().uuid)).collect()
}

/// Makes a pool, and uses it.
async fn make(host: Rc<SimHost>, model: SharedModel, seed: u64) -> Result<Vec<Uuid>, String> {
    let mut random = Random::stream(seed, 1);
    let session = create(&host, &model, seed, true).await?.ok_or("nothing fails here")?;
    if random.chance(500) {
        session.add_staging().await?;
    }
    wander(&session, 2, 20).await?;
    let uuids = identities(&session);
    session.leave().await?;
    Ok(uuids)
}

/// Imports the copy beside the original. Before the first time they are twins.
async fn import(host: Rc<SimHost>, is_first: bool) -> Result<(), String> {
    let registry = registry(&host);
    let has = |name: &str| host.machine().borrow().disks.iter().any(|disk| disk.properties.name == name);
    let staging = has(COPIES[1]);
    let own: Vec<_> = [Some(CAPACITY), staging.then_some(STAGING)].into_iter().flatten().map(str::to_owned).collect();
    let paths: Vec<_> = COPIES.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect();
    let found = pools_among(&registry.scan(&[own, paths.clone()].concat()).await);
    if is_first && found.iter().all(|pool| pool.twins().is_none()) {
        return Err(format!("no twins are seen: {found:?}"));
    }
    if let Some(doubtful) = found.iter().find(|pool| pool.doubtful().is_some()) {
        return Err(format!("a superblock is not sure: {doubtful:?}"));
    }
    let request = ImportRequest { paths, name: Some(IMPORTED.to_owned()), force: false };
    match registry.import(&request).await {
        Ok(_) => Ok(()),
        Err(error) if is_fault(&host, &error) => Ok(()),
        Err(error) => Err(format!("the copy cannot be imported: {error}")),
    }
}

/// Activates a pool and compares it with its model; twice, because the first activation completes an import.
async fn compare(host: Rc<SimHost>, model: SharedModel, seed: u64) -> Result<Vec<Uuid>, String> {
    let mut uuids = Vec::new();
    for round in 0..2 {
        let session = match revive(&host, &model, seed, false).await? {
            Found::Pool(session) => session,
            Found::Nothing | Found::Fault => return Err(format!("there is no pool in round {round}")),
        };
        let now = identities(&session);
        if round > 0 && now != uuids {
            return Err(format!("{uuids:?} have become {now:?}"));
        }
        uuids = now;
        session.leave().await?;
    }
    Ok(uuids)
}
