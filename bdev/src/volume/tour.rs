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

/// Has `visit` run for each shard in turn, on its thread. Returns the answers, in the order of the shards. On the
/// application thread.
pub async fn tour<T: Send + 'static>(
    volume: &Arc<Volume>,
    visit: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    travel(volume, 0..volume.shards().len(), visit).await
}

/// Has `visit` run for one shard, on its thread. Returns the answer; none when there is no such shard. On the
/// application thread.
pub async fn visit<T: Send + 'static>(
    volume: &Arc<Volume>,
    shard: usize,
    visit: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Option<T> {
    travel(volume, shard..shard + 1, visit).await.pop()
}

async fn travel<T: Send + 'static>(
    volume: &Arc<Volume>,
    route: Range<usize>,
    visit: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    let (back, receiver) = oneshot::channel();
    let answers = Vec::with_capacity(route.len());
    step(Arc::clone(volume), route, visit, answers, back);
    // The sender travels, too, and every journey comes to its end.
    receiver.await.unwrap_or_default()
}

/// Goes to the next shard of the route, or home when there is none.
fn step<T: Send + 'static>(
    volume: Arc<Volume>,
    mut route: Range<usize>,
    mut visit: impl FnMut(&ShardHost) -> T + Send + 'static,
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
        answers.push(visit(&volume.shards()[index]));
        step(volume, route, visit, answers, back);
    });
}
