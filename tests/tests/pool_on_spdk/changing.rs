// SPDX-License-Identifier: BSD-3-Clause

//! Clients that change their memory while a volume writes it, all from the same few blocks, so that equal writes meet.

use std::time::Duration;

use bdev_dedupe::load::{Content, Limit, LoadSpec, Operation, Order};
use serde_json::json;

use crate::Rig;

const REGION_BLOCKS: u64 = 8192;

/// With and without compression, small requests and large ones: every block can be read, and has what was hashed.
pub fn all(rig: &Rig<'_>) {
    for compression in [false, true] {
        let base = rig.malloc("ChangingBase", 128, 512);
        let volume = json!({"name": "Changing", "base_bdev_name": base, "compression": compression});
        rig.rpc("bdev_dedupe_create", &volume);
        for blocks in [1, 16] {
            let time = Limit::Time { warm_up: Duration::ZERO, measure: Duration::from_secs(2) };
            load(rig, Operation::Write(Content::Changing), blocks, time);
            load(rig, Operation::Read { verify: false }, 16, Limit::OnePass);
        }
        let counters = rig.rpc("bdev_dedupe_get_stats", &json!({"name": "Changing"}));
        let count = |name: &str| counters[0]["total"][name].as_u64().unwrap_or_else(|| panic!("{name} in {counters}"));
        assert!(count("dedupe_advice_valid") > 100 && count("concurrent_data_matches") > 100, "{counters}");
        assert_eq!((count("check_error_count"), count("lock_error_count")), (0, 0));
        rig.rpc("bdev_dedupe_delete", &json!({"name": "Changing"}));
        rig.rpc("bdev_malloc_delete", &json!({"name": base}));
    }
}

fn load(rig: &Rig<'_>, operation: Operation, blocks_per_request: u32, limit: Limit) {
    let spec = LoadSpec {
        bdev: "Changing".to_owned(),
        operation,
        order: Order::Random,
        blocks_per_request,
        region_blocks: REGION_BLOCKS,
        queue_depth: 64,
        limit,
        seed: 1,
    };
    rig.app.run_load(&spec).unwrap_or_else(|error| panic!("{error}"));
}
