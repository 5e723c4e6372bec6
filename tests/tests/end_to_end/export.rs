// SPDX-License-Identifier: BSD-3-Clause

//! Real files through the exported volume: what spdk_dd writes from one process, it reads back in another.

use serde_json::json;
use tests::target::{Export, Rig, ServerOptions, Tool};

use crate::fixture::{counter, create, initiator, malloc, rig, target_with, MIB};

fn copy(tool: &Tool, rig: &Rig, arguments: &[String]) {
    let mut all = arguments.to_vec();
    all.extend(["--bs=1048576".to_owned(), "--qd=4".to_owned()]);
    tool.spdk_dd(rig, &all).expect("spdk_dd copies");
}

/// Bytes that repeat only after a while: a quarter of the blocks are zeros, half are duplicates.
fn content() -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in 0..(24 * MIB / 4096) {
        let word = match block % 4 {
            0 => 0,
            1 => block % 64 * 977 + 1,
            2 => 77,
            _ => block * 0x9e37_79b9 + 5,
        };
        for index in 0..512_u64 {
            bytes.extend((word * (index + 1)).to_le_bytes());
        }
    }
    bytes
}

#[test]
fn a_file_comes_back_as_it_was_over_two_shards() {
    let rig = rig(2);
    let options = ServerOptions { cores: 2, ..ServerOptions::default() };
    let server = target_with(&rig, &options);
    malloc(&server, "Base", 128, 512);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    let export = Export::tcp(&server, "D0").expect("exported");
    let (input, output) = (rig.path("in"), rig.path("out"));
    let written = content();
    std::fs::write(&input, &written).expect("a file");
    let tool = initiator(&rig, &export);
    copy(&tool, &rig, &[format!("--if={}", input.display()), "--ob=Nvmen1".to_owned(), "--seek=3".to_owned()]);
    let from = ["--ib=Nvmen1".to_owned(), format!("--of={}", output.display())];
    copy(&tool, &rig, &[&from[..], &["--skip=3".to_owned(), "--count=24".to_owned()]].concat());
    assert!(std::fs::read(&output).expect("read back") == written, "what was read is what was written");
    assert_eq!(counter(&server, "D0", "zero_blocks"), 24 * MIB / 4096 / 4);
    assert_eq!(counter(&server, "D0", "check_error_count"), 0);
    let shards = crate::fixture::statistics(&server, "D0")["shards"].as_array().expect("a list").clone();
    assert_eq!(shards.len(), rig.cores().len());
    for shard in shards {
        assert!(crate::fixture::number(&shard, "unique_blocks") > 0, "each shard has its share: {shard:#}");
    }
}
