// SPDX-License-Identifier: BSD-3-Clause

//! Bringing a volume to rest: nothing in flight in or between its shards.
//!
//! One look at each shard is not enough, since a shard that was idle when it was asked may have got mail since. When
//! two looks in succession find all idle, as many mails received as sent, and no mail in between, then nothing is
//! under way.

use std::sync::Arc;

use mpool::units::Nanos;

use super::for_each_shard::for_each_shard;
use super::Volume;
use crate::datapath::poll::Quiet;
use crate::datapath::shard_host::ShardHost;
use crate::spdk::timer;

/// Time between two looks while something is under way.
pub const LOOK_AGAIN: Nanos = Nanos(500_000);

/// Waits until all that a volume has taken in is done. Nothing new must come meanwhile.
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

/// Waits until `is_done` of every shard.
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
