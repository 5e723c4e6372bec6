// SPDX-License-Identifier: BSD-3-Clause

//! Compression, turned on and off, and figures that agree with a recount.

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Rig, Server, ServerOptions};

use crate::fixture::{counter, create, initiator, number, rig, statistics, target_with, wait_for_bdev, MIB};
use crate::pool::{aio, call};

const BLOCK: u64 = 4096;
const PART_MIB: u64 = 32;
const PART: u64 = PART_MIB * MIB / BLOCK;

/// Different blocks that compress well, written or read back and verified.
fn part(rig: &Rig, server: &Server, number: u64, rw: &str) {
    let export = Export::tcp(server, "D0").expect("exported");
    let at_mib = number * PART_MIB;
    let options = format!(
        "rw={rw} bs=4k iodepth=128 refill_buffers=1 buffer_compress_percentage=80 buffer_compress_chunk=4096 \
         randseed={number} offset={at_mib}m size={PART_MIB}m verify=crc32c do_verify=1"
    );
    let done = initiator(rig, &export).fio(rig, "Nvmen1", &[FioJob::new("job", &options)]);
    done.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    call(server, "nvmf_delete_subsystem", json!({"nqn": export.nqn}));
}

/// What the statistics say is what a recount finds.
fn assert_figures_agree(server: &Server) -> Value {
    let statistics = statistics(server, "D0");
    let report = call(server, "bdev_dedupe_check", json!({"name": "D0"}));
    assert_eq!(report["clean"], true, "{report:#}\n{}", server.log());
    let total = &statistics["total"];
    let (data, logical) = (number(total, "data_blocks_used"), number(total, "logical_blocks_used"));
    assert_eq!(number(&report, "logical_blocks_used"), logical, "{report:#}");
    let pages = number(&report, "block_map_pages");
    assert_eq!(number(total, "block_map_pages"), pages, "{report:#}");
    assert_eq!(number(&report, "blocks_used"), data + pages, "{report:#}");
    assert_eq!(number(&statistics, "used_percent"), (data + pages) * 100 / number(total, "data_blocks"));
    assert_eq!(number(&statistics, "saving_percent"), logical.saturating_sub(data) * 100 / logical.max(1));
    let shards = statistics["shards"].as_array().expect("shards");
    for field in ["bios_in_write", "unique_blocks", "compressed_fragments_written", "compressed_blocks_written"] {
        let sum: u64 = shards.iter().map(|shard| number(shard, field)).sum();
        assert!(sum <= number(total, field), "{field}");
    }
    statistics
}

/// vdo-117, partly: the figures add up with compression, and agree with a recount.
#[test]
fn compression_is_turned_on_and_off() {
    let rig = rig(2);
    let mut server = target_with(&rig, &ServerOptions::default());
    aio(&rig, &server, "Base", 512, BLOCK);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0", "logical_size_mib": 512})).expect("a volume");
    let used = |server: &Server| counter(server, "D0", "data_blocks_used");
    let set = |server: &Server, enabled: bool| {
        call(server, "bdev_dedupe_set_compression", json!({"name": "D0", "enabled": enabled}));
        assert_eq!(statistics(server, "D0")["compression"], enabled);
    };
    assert_eq!(statistics(&server, "D0")["compression"], false, "as in dm-vdo");
    part(&rig, &server, 0, "write");
    assert_eq!(used(&server), PART);
    set(&server, true);
    part(&rig, &server, 1, "write");
    let compressed = used(&server) - PART;
    assert!(compressed < PART * 6 / 10, "{compressed} blocks for {PART}");
    let total = assert_figures_agree(&server)["total"].clone();
    assert!(number(&total, "compressed_fragments_written") > PART / 2, "{total:#}");
    assert_eq!(number(&total, "compressed_fragments_in_packer"), 0, "{total:#}");
    set(&server, false);
    part(&rig, &server, 2, "write");
    assert_eq!(used(&server), 2 * PART + compressed);
    set(&server, true);
    assert!(server.stop().expect("ends").success(), "{}", server.log());

    let base = json!({"name": "Base", "filename": rig.dir().join("Base.img"), "block_size": BLOCK});
    let calls = json!([{"method": "bdev_aio_create", "params": base}]);
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    let config = Some(rig.write_json("base.json", &config).expect("written"));
    let server = target_with(&rig, &ServerOptions { config, ..ServerOptions::default() });
    wait_for_bdev(&server, "D0");
    assert_eq!(statistics(&server, "D0")["compression"], true, "it is kept");
    for number in 0..3 {
        part(&rig, &server, number, "read");
    }
    part(&rig, &server, 0, "write");
    assert!(used(&server) < PART * 6 / 10 + compressed + PART, "overwritten with compression");
    assert_figures_agree(&server);
}
