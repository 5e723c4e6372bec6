// SPDX-License-Identifier: BSD-3-Clause

//! What shards of a volume must do or answer, each on its own thread: all of them, one after the other, or one alone.
//!
//! Invariant: the volume travels with the work, so that the shards stay; and it comes home to its owner's thread before
//! it is let go, since its last reference must not end elsewhere.

use core::ops::Range;
use std::sync::Arc;

use futures::channel::oneshot;

use super::Volume;
use crate::datapath::shard_host::ShardHost;

/// Has `work` run for each shard in turn, on its thread. Returns the answers, in the order of the shards. On the
/// application thread.
pub async fn for_each_shard<T: Send + 'static>(
    volume: &Arc<Volume>,
    work: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    travel(volume, 0..volume.shards().len(), work).await
}

/// Has `work` run for one shard, on its thread. Returns the answer; none when there is no such shard. On the
/// application thread.
pub async fn on_shard<T: Send + 'static>(
    volume: &Arc<Volume>,
    shard: usize,
    work: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Option<T> {
    travel(volume, shard..shard + 1, work).await.pop()
}

async fn travel<T: Send + 'static>(
    volume: &Arc<Volume>,
    route: Range<usize>,
    work: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    let (back, receiver) = oneshot::channel();
    let answers = Vec::with_capacity(route.len());
    step(Arc::clone(volume), route, work, answers, back);
    // The sender travels, too, and every journey comes to its end.
    receiver.await.unwrap_or_default()
}

/// Goes to the next shard of the route, or home when there is none.
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
