// SPDX-License-Identifier: BSD-3-Clause

//! Work on all shards of a volume, one after the other, each on its own thread.
//!
//! Invariant: the volume travels with the work, so its shards stay alive. It returns to its owner's thread before it is
//! dropped, because the last reference must not end on another thread.

use core::ops::Range;
use std::sync::Arc;

use futures::channel::oneshot;

use super::Volume;
use crate::datapath::shard_host::ShardHost;

/// Runs `work` for each shard in turn, on that shard's thread. Returns the answers in the order of the shards. On the
/// application thread.
pub async fn for_each_shard<T: Send + 'static>(
    volume: &Arc<Volume>,
    work: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    let (back, receiver) = oneshot::channel();
    let route = 0..volume.shards().len();
    let answers = Vec::with_capacity(route.len());
    step(Arc::clone(volume), route, work, answers, back);
    // The sender travels with the work, which always returns.
    receiver.await.unwrap_or_default()
}

/// Goes to the next shard of the route, or back to the owner when there is none.
fn step<T: Send + 'static>(
    volume: Arc<Volume>,
    mut route: Range<usize>,
    mut work: impl FnMut(&ShardHost) -> T + Send + 'static,
    mut answers: Vec<T>,
    back: oneshot::Sender<Vec<T>>,
) {
    let next = route.next().and_then(|index| Some((index, volume.shards().get(index)?.thread)));
    let Some((index, thread)) = next else {
        let owner = volume.owner;
        owner.run(move || {
            drop(volume);
            // Nobody listens when the application has ended.
            let _ = back.send(answers);
        });
        return;
    };
    thread.run(move || {
        answers.push(work(&volume.shards()[index]));
        step(volume, route, work, answers, back);
    });
}
