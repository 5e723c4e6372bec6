// SPDX-License-Identifier: BSD-3-Clause

//! What every shard of a volume must do or answer: shard after shard, each on its own thread, then back.

use std::sync::Arc;

use futures::channel::oneshot;

use super::Volume;
use crate::shard_host::ShardHost;

/// Has `visit` run for each shard in turn, on its thread. Returns the answers, in the order of the shards. On the
/// application thread.
pub async fn tour<T: Send + 'static>(
    volume: &Arc<Volume>,
    visit: impl FnMut(&ShardHost) -> T + Send + 'static,
) -> Vec<T> {
    let (sender, receiver) = oneshot::channel();
    let answers = Vec::with_capacity(volume.shards.len());
    step(Arc::clone(volume), visit, answers, sender);
    // The sender travels with the tour, which always comes to its end.
    receiver.await.unwrap_or_default()
}

fn step<T: Send + 'static>(
    volume: Arc<Volume>,
    mut visit: impl FnMut(&ShardHost) -> T + Send + 'static,
    mut answers: Vec<T>,
    back: oneshot::Sender<Vec<T>>,
) {
    let Some(shard) = volume.shards.get(answers.len()) else {
        let owner = volume.owner;
        // The volume goes home, too: its last reference must not end elsewhere.
        owner.run(move || {
            drop(volume);
            // Nobody listens when the application has ended.
            let _ = back.send(answers);
        });
        return;
    };
    shard.thread.run(move || {
        answers.push(visit(&volume.shards[answers.len()]));
        step(volume, visit, answers, back);
    });
}
