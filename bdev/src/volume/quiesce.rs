// SPDX-License-Identifier: BSD-3-Clause

//! Quiescing a volume: nothing in flight in or between its shards.
//!
//! Asking each shard once is not enough, because a shard that was idle when asked may have got a message since. When
//! two rounds in succession find all shards idle, as many messages received as sent, and no message in between, nothing
//! is in flight.

use std::sync::Arc;

use mpool::units::Nanos;

use super::for_each_shard::for_each_shard;
use super::Volume;
use crate::datapath::poll::Quiet;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::timer;

/// Time between two rounds while something is in flight.
pub const LOOK_AGAIN: Nanos = Nanos(500_000);

/// Waits until all accepted work of a volume is done. No new work may arrive meanwhile.
pub async fn come_to_rest(volume: &Arc<Volume>) {
    let mut before = None;
    loop {
        let now = for_each_shard(volume, ShardHost::quiet).await;
        let at_rest = is_at_rest(&now);
        if at_rest && before.as_ref() == Some(&now) {
            return;
        }
        before = Some(now).filter(|_| at_rest);
        if !at_rest {
            timer::sleep(LOOK_AGAIN).await;
        }
    }
}

fn is_at_rest(shards: &[Quiet]) -> bool {
    let sent: u64 = shards.iter().map(|shard| shard.sent).sum();
    let received: u64 = shards.iter().map(|shard| shard.received).sum();
    shards.iter().all(|shard| shard.idle) && sent == received
}

/// Waits until `is_done` holds for every shard.
pub async fn wait_for_all(volume: &Arc<Volume>, is_done: fn(&ShardHost) -> bool) {
    while !for_each_shard(volume, is_done).await.into_iter().all(|done| done) {
        timer::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_under_way_is_no_rest() {
        let quiet = |idle, sent, received| Quiet { idle, sent, received };
        assert!(is_at_rest(&[quiet(true, 3, 2), quiet(true, 2, 3)]));
        assert!(!is_at_rest(&[quiet(true, 3, 2), quiet(true, 2, 2)]));
        assert!(!is_at_rest(&[quiet(false, 1, 1), quiet(true, 1, 1)]));
    }
}
