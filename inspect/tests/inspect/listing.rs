// SPDX-License-Identifier: BSD-3-Clause

//! What is listed of a good pool.

use serde_json::{json, Value};

use crate::made::Made;
use crate::run::{json_of, run, run_on, texts};

#[test]
fn a_good_pool_is_listed_as_it_is() {
    let (status, document) = json_of(&Made::good(), &[]);
    assert_eq!(document["findings"]["list"], json!([]));
    assert_eq!(status, Some(0));
    let drive = &document["drives"][0];
    assert_eq!(drive["drive"]["class"], "CAPACITY");
    assert_eq!((&drive["drive"]["zones"], &drive["drive"]["zone_bytes"]), (&json!(40), &json!(65536)));
    for (copy, counts) in [(0, true), (1, false)] {
        let copy = &drive["superblocks"][copy];
        assert_eq!((&copy["state"], &copy["counts"]), (&json!("good"), &json!(counts)));
        assert_eq!(copy["fields"]["name"], "mp1");
        let good: Vec<_> = copy["checksums"].as_array().expect("checksums").iter().map(|sum| &sum["good"]).collect();
        assert_eq!(good, [true, true, true]);
    }
    let pool = &document["pool"];
    assert_eq!((&pool["name"], &pool["parameters"]["label"]), (&json!("mp1"), &json!("raw")));
    assert_eq!(pool["recorded_drives"][0]["spare_percent"], 5);
}

#[test]
fn containers_say_which_log_is_in_use_and_what_it_has() {
    let (_, document) = json_of(&Made::good(), &[]);
    let containers = document["pool"]["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 3);
    for container in containers {
        assert_eq!(container["mdc"]["active"], 0);
        assert_eq!(container["content_version"], "2.1.0.0");
    }
    assert_eq!(containers[0]["mdc"]["why"], "its generation is the smaller: 1 < 2");
    let expected = json!({"MCCONFIG": 1, "MCSPARE": 1, "MPCONFIG": 1, "OCREATE": 4, "VERSION": 1});
    assert_eq!(containers[0]["records"], expected);
    assert_eq!(containers[1]["records"], json!({"OCREATE": 13, "ODELETE": 1, "OIDCKPT": 1, "VERSION": 1}));
    assert_eq!((&containers[1]["objects"], &containers[2]["checkpoint"]), (&json!(12), &json!(256)));
    let logs = &containers[1]["mdc"]["logs"];
    assert_eq!(
        (&logs[0]["id"], &logs[0]["state"], &logs[0]["used_blocks"]),
        (&json!("0x2200"), &json!("complete"), &json!(18))
    );
    assert_eq!((&logs[1]["state"], &logs[1]["generation"]), (&json!("empty"), &json!(1)));
}

#[test]
fn objects_and_their_zones_are_listed() {
    let (_, document) = json_of(&Made::good(), &[]);
    let objects = document["pool"]["objects"].as_array().expect("objects");
    let shown: Vec<_> = objects.iter().map(|object| (object["id"].as_str(), object["kind"].as_str())).collect();
    assert_eq!(shown.len(), 16);
    assert!(shown.contains(&(Some("0x7301"), Some("slab"))) && !shown.contains(&(Some("0x4101"), Some("mblock"))));
    let mblock = objects.iter().find(|object| object["id"] == "0x5101").expect("the mblock");
    assert_eq!((&mblock["written_bytes"], &mblock["capacity_bytes"]), (&json!(8192), &json!(65536)));

    let space = &document["pool"]["space"][0];
    let run =
        |run: &Value| (run["first_zone"].as_u64(), run["zones"].as_u64(), run["used_by"].as_str().map(str::to_owned));
    let runs: Vec<_> = space["runs"].as_array().expect("runs").iter().map(run).collect();
    let expected = [
        (0, 1, "superblocks"),
        (1, 2, "mdc0-log"),
        (3, 4, "mdc-log"),
        (7, 2, "root-log"),
        (9, 2, "mlog"),
        (11, 1, "mblock"),
        (12, 1, "mlog"),
        (13, 4, "slab"),
        (17, 4, "free"),
        (21, 10, "slab"),
        (31, 1, "mlog"),
        (32, 8, "free"),
    ];
    assert_eq!(runs, expected.map(|(first, zones, used)| (Some(first), Some(zones), Some(used.to_owned()))));
    assert_eq!(space["regions"].as_array().map(Vec::len), Some(4));
    assert_eq!(space["used_zones"]["free"], 12);
}

#[test]
fn volumes_are_listed() {
    let (_, document) = json_of(&Made::good(), &[]);
    let root = &document["pool"]["root"];
    assert_eq!((&root["catalog_records"], &root["other_records"]), (&json!(1), &json!(1)));
    let volume = &root["volumes"][0];
    assert_eq!((&volume["name"], &volume["whole"]), (&json!("D0"), &json!(true)));
    assert_eq!((&volume["slabs"], &volume["areas"]), (&json!(["0x7301", "0x8301"]), &json!(["0x9301", "0xa301"])));
    assert_eq!((&volume["roots"], &volume["segments"]), (&json!("0xb301"), &json!(["0xc201"])));
    let config = json!({
        "nonce": "0x0000000000001234",
        "slab_blocks": 32,
        "slab_zones": 2,
        "logical_blocks": 100,
        "areas_per_object": 1,
        "block_size": 4096,
        "index_mib": 1,
        "map_cache_mib": 2,
        "journal_mib": 3,
        "history_mib": 4,
        "compression": false,
        "deduplication": true,
        "reserve_percent": 0,
        "metadata_class": "CAPACITY",
        "core_mask": "0x1",
    });
    assert_eq!(volume["config"], config, "without the secret");
    let state = json!({
        "state": "READ_ONLY",
        "generation": 4,
        "shards": 1,
        "logical_blocks_used": 9,
        "map_pages": 3,
        "complete_recoveries": 2,
        "read_only_recoveries": 1,
        "reason": "a write failed",
        "counters": [[1, 17]],
    });
    assert_eq!((&volume["state"], &volume["uncounted"]), (&state, &json!([])));
}

#[test]
fn a_journal_segment_is_dumped_entry_by_entry() {
    let (status, document) = json_of(&Made::good(), &["--log", "0xc201"]);
    let contents: Vec<_> = document["items"].as_array().expect("items")[..3]
        .iter()
        .map(|item| item["chunks"][0]["content"].as_str().expect("a record"))
        .collect();
    let head = "JOURNAL shard 0 of 1, generation 4, entries from";
    let tail = "map head 0, 9 logical blocks in use, 3 map pages";
    let first = format!(
        "{head} 0 on: 2, committed 0, {tail}\n0 PAGE level 0 number 7: 299 life 000012\n1 REMAP lbn 5: 0 -> 300 check abcdef"
    );
    let second = format!("{head} 2 on: 1, committed 2, {tail}\n2 RANGE lbn 5+3: 300+1 310+2 -> unmapped");
    assert_eq!(contents[..2], [first, second]);
    assert!(contents[2].starts_with("MALFORMED"), "{}", contents[2]);
    assert_eq!(status, Some(0));
    let outcome = run_on(&Made::good(), &["--log", "0xc201"]);
    assert!(outcome.out.lines().any(|line| line.trim() == "1 REMAP lbn 5: 0 -> 300 check abcdef"), "{}", outcome.out);
}

#[test]
fn the_text_has_it_too() {
    let outcome = run_on(&Made::good(), &[]);
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(0), ""));
    for part in [
        "No errors, no warnings.",
        "at byte 0, counts yes, state good",
        "fields: as in the first",
        "zone bytes 64 KiB, zones 40",
        "uid 7, gid 8, mode 640",
        "active 0, why its generation is the smaller: 0 < 1",
        "name D0",
        "slab blocks 32, slab zones 2, logical blocks 100",
        "roots 0xb301, segments 0xc201",
        "state READ_ONLY, generation 4, shards 1",
        "0x5101  mblock     1  CAPACITY          11      1          64 KiB          8 KiB           0",
    ] {
        assert!(outcome.out.contains(part), "no '{part}' in\n{}", outcome.out);
    }
    assert!(outcome.out.lines().all(|line| line.len() < 220 && !line.ends_with(' ')));
}

#[test]
fn pools_of_the_original_are_read() {
    let (status, document) = json_of(&Made::original(), &["--verify"]);
    assert_eq!(document["findings"]["list"], json!([]));
    assert_eq!((status, &document["drives"][0]["drive"]["accepts_v1_logs"]), (Some(0), &json!(true)));
    assert_eq!(document["pool"]["containers"][1]["content_version"], "1.0.0.0");
}

#[test]
fn a_log_is_dumped_block_by_block() {
    let (status, document) = json_of(&Made::good(), &["--log", "0x2200"]);
    assert_eq!(status, Some(0));
    let items = document["items"].as_array().expect("items");
    let first = json!({
        "item": "block",
        "block": 0,
        "header": {
            "version": 2,
            "uuid": "00000000-0000-0000-0000-0000abcd2200",
            "generation": 0,
            "previous_set": 0,
            "set": 1,
            "check_code_good": true,
        },
        "chunks": [{"at_byte": 40, "chunk": "CSTART", "chunk_bytes": 0, "record_bytes": 0, "content": null}],
    });
    assert_eq!(items[0], first);
    assert_eq!(items[2]["chunks"][0]["content"], "VERSION 2.1.0.0");
    assert_eq!(items[13]["chunks"][0]["content"], "ODELETE mblock 0x4101");
    assert_eq!(items[18], json!({"item": "end", "block": 18, "why": "zeros"}));
    assert_eq!(items[19], json!({"item": "foreign", "block": 18, "blocks": 110, "what": "zeros"}));
}

#[test]
fn a_clients_log_is_dumped_with_its_chunks_and_bytes() {
    let outcome = run_on(&Made::good(), &["--log", "0x6201", "--raw"]);
    assert_eq!(outcome.status, Some(0));
    for part in
        ["FIRST  464 of 1000 B", "MID    464 of 1000 B", "LAST   72 of 1000 B", "FULL   0 of 0 B", "END OF LOG: zeros"]
    {
        assert!(outcome.out.contains(part), "no '{part}' in\n{}", outcome.out);
    }
    assert!(outcome.out.contains("07070707070707070707070707070707..."), "the record's beginning");
    assert!(outcome.out.contains(&format!("0040  {}", "07".repeat(32))), "the block's bytes");
}

#[test]
fn the_root_logs_records_are_understood() {
    let outcome = run_on(&Made::good(), &["--log", "0x201"]);
    assert!(
        outcome.out.contains("VOLUME 'D0' 00000000-0000-0000-0000-000000000070 logs 0x2201 and 0x3201"),
        "{}",
        outcome.out
    );
    let outcome = run_on(&Made::good(), &["--log", "0x2201"]);
    assert!(outcome.out.contains("SLAB 1 is 0x8301"), "{}", outcome.out);
    let outcome = run_on(&Made::good(), &["--log", "0x200"]);
    assert!(outcome.out.contains("MCSPARE CAPACITY 5 %"), "{}", outcome.out);
}

#[test]
fn verifying_reads_clients_logs() {
    let (status, document) = json_of(&Made::good(), &["--verify"]);
    assert_eq!((status, document["verified_logs"].as_array().map(Vec::len)), (Some(0), Some(2)));
    assert_eq!(document["verified_logs"][0]["used_blocks"], 5);
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let outcome = run(&[], &[std::path::Path::new("/nowhere/at/all")]);
    assert_eq!(outcome.status, Some(2));
    assert!(outcome.err.starts_with("mpool-inspect: /nowhere/at/all cannot be opened:"), "{}", outcome.err);
    assert_eq!(run(&["--raw"], &[]).status, Some(2));
    let outcome = run_on(&Made::good(), &["--log", "0x5101"]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.err.contains("log 0x5101 cannot be dumped: mblock 0x5101 is no log"), "{}", outcome.err);
}

#[test]
fn a_drive_that_was_not_given_is_noted() {
    let mut made = Made::good();
    let mut staging = made.superblock.drive;
    staging.class = mpool::MediaClass::Staging;
    staging.uuid = uuid::Uuid::from_u128(0x57a6);
    made.mdc0.push(mpool::format::Record::McConfig(staging));
    let (status, document) = json_of(&made, &[]);
    let expected =
        "STAGING drive: the drive 00000000-0000-0000-0000-0000000057a6 was not given; what is on it is not checked";
    assert_eq!((status, texts(&document, "warning")), (Some(0), vec![expected.to_owned()]));
}
