// SPDX-License-Identifier: BSD-3-Clause

//! Loading a volume: recovery if it was not saved, then its shards.

use std::rc::Rc;

use engine::volume::store::VolumeStore;
use futures::channel::oneshot;
use futures::future::FutureExt;
use mpool::lock::ordered;
use mpool::Host;

use super::machine_base::{Erase, MachineBase};
use super::open::{step, Opened, Outcome};
use super::plan::VolumePlan;
use super::recover::make_ready;
use super::session::Session;
use super::shared::Shared;
use crate::sim::chapters::Chapters;
use crate::sim::cluster::Cluster;
use crate::sim::faults::Faults;
use crate::sim::load::Load;
use crate::sim::plan::Plan;
use crate::sim::world::World;
use mpool::testing::SimHost;

/// Loads the volume on so many shards.
///
/// # Errors
/// A defect.
pub async fn load(
    host: &Rc<SimHost>,
    known: &Shared,
    opened: Opened,
    plan: &VolumePlan,
    (shards, seed, trace): (usize, u64, bool),
) -> Outcome<Session> {
    let store = Rc::clone(&opened.store);
    let Some(ready) = make_ready(host, known, &store, shards).await? else { return Ok(None) };
    let sizes = plan.load.sizes;
    let geometry = step!(host, "laying the volume out", store.geometry(shards));
    let placement = step!(host, "placing the volume", store.placement(geometry));
    let mut segments = ready.segments;
    for segment in segments.iter_mut().flatten() {
        segment.capacity_bytes = segment.capacity_bytes.min(sizes.segment_bytes);
    }
    let load = Load {
        nonce: store.config().nonce,
        generation: ready.generation,
        volatile_cache: plan.volatile_cache(),
        segments,
        summaries: ready.summaries,
        logical_blocks_used: ready.logical_blocks_used,
        map_pages: ready.map_pages,
    };
    let disks = (0..plan.disks.len()).collect();
    let base = MachineBase::new(host, (placement, sizes.segment_bytes), disks, erasing(host, &store));
    let mut world = World::new(geometry, base, Faults::none());
    (world.room, world.trace) = (plan.load.room, trace);
    // As the model: until the session is dropped.
    let chapters = known.borrow_mut().chapters.take();
    world.chapters = chapters.or_else(|| sizes.history.map(Chapters::new));
    let cluster = Cluster::over(world, &sizes, load, store.config().secret);
    let load_plan = Plan { geometry, ..plan.load.clone() };
    Ok(Some(Session::new(host, known, opened, cluster, (load_plan, plan.pauses, seed))))
}

/// Erases segments through the store, each in a task of its own.
fn erasing(host: &Rc<SimHost>, store: &Rc<VolumeStore>) -> Erase {
    let (host, store) = (Rc::clone(host), Rc::clone(store));
    Rc::new(move |segment| {
        let (store, (done, waiting)) = (Rc::clone(&store), oneshot::channel());
        let erasure = ordered(async move {
            // Nobody waits any more when the life is over.
            let _ = done.send(store.erase_segment(segment, || true).await.map_err(drop));
        });
        host.spawn(erasure.boxed_local());
        async move { waiting.await.unwrap_or(Err(())) }.boxed_local()
    })
}
