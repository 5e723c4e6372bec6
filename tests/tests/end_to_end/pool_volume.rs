// SPDX-License-Identifier: BSD-3-Clause

//! Volumes in media pools: in one that is there, and in one that is made for them.

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Server, ServerOptions};

use crate::fixture::{create, initiator, malloc, number, rig, rpc_py, target, target_with, wait_for_bdev, MIB};
use crate::pool::{aio, call, wait_for_pools};

const UUID: &str = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";

fn refused(server: &Server, params: Value) -> String {
    let error = create(server, params).expect_err("refused");
    error.refusal().unwrap_or_else(|| panic!("{error}")).to_owned()
}

fn slabs_of(server: &Server, pool: &str) -> u64 {
    number(&call(server, "mpool_get_usage", json!({"name": pool}))["total"], "slab_count")
}

#[test]
fn volumes_share_a_pool() {
    let rig = rig(2);
    let mut server = target(&rig);
    malloc(&server, "Large", 512, 512);
    call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large", "zone_size_mib": 4}));
    for name in ["D0", "D1"] {
        let params = json!({"pool_name": "p0", "name": name, "physical_size_mib": 64});
        assert_eq!(create(&server, params).expect("created"), name);
        let info = server.bdev(name).expect("shown")["driver_specific"]["dedupe"].clone();
        assert_eq!((&info["pool_name"], &info["base_bdev_name"]), (&json!("p0"), &json!("Large")), "{info:#}");
        assert_eq!(number(&info, "data_blocks"), 64 * MIB / 4096);
    }
    // Eight slabs of each volume, and objects for its slabs' metadata and the roots of its block map.
    assert_eq!(slabs_of(&server, "p0"), 2 * (8 + 2));
    let message = refused(&server, json!({"pool_name": "p0", "name": "D2", "slab_size_mib": 2048}));
    assert!(message.contains("'p0'") && message.contains("too small"), "{message}");
    let message = refused(&server, json!({"pool_name": "p0", "name": "D2", "physical_size_mib": 512}));
    assert!(message.contains("'physical_size_mib' is 512"), "{message}");
    let message = refused(&server, json!({"pool_name": "none", "name": "D2"}));
    assert!(message.contains("'none'"), "{message}");
    let message = refused(&server, json!({"base_bdev_name": "Large", "name": "D2"}));
    assert!(message.contains("pool_name") && message.contains("'p0'"), "{message}");
    let message = server.call("mpool_deactivate", json!({"name": "p0"})).expect_err("in use").to_string();
    assert!(message.contains("'p0'"), "{message}");

    let jobs = |seed: u32| {
        let job = format!("rw=randwrite bs=4k size=24m iodepth=16 verify=crc32c randseed={seed} refill_buffers=1");
        [FioJob::new("verify", &job)]
    };
    for (seed, name) in [(1, "D0"), (2, "D1")] {
        let export = Export::tcp(&server, name).expect("exported");
        initiator(&rig, &export).fio(&rig, "Nvmen1", &jobs(seed)).expect("serves");
    }
    server.call("bdev_dedupe_delete", json!({"name": "D0", "force": true})).expect("deleted, though exported");
    assert_eq!(slabs_of(&server, "p0"), 8 + 2);
    server.call("bdev_dedupe_delete", json!({"name": "D1", "force": true})).expect("deleted, though exported");
    assert_eq!(slabs_of(&server, "p0"), 0);
    call(&server, "mpool_destroy", json!({"name": "p0"}));
    assert_eq!(server.bdev("Large").expect("shown")["claimed"], false);
    assert!(server.stop().expect("ends").success());
}

#[test]
fn a_pool_that_was_made_for_a_volume_goes_with_it() {
    let rig = rig(1);
    let mut server = target(&rig);
    malloc(&server, "Base", 128, 4096);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    wait_for_pools(&server, &["D0"]);
    assert_eq!(call(&server, "mpool_get_params", json!({"name": "D0"}))["label"], "dedupe-volume");
    server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect("deleted");
    assert_eq!(call(&server, "mpool_scan", Value::Null), json!([]));
    assert_eq!(server.bdev("Base").expect("shown")["claimed"], false);
    // Nor does a volume that cannot be made leave one.
    let message = refused(&server, json!({"base_bdev_name": "Base", "name": "D0", "slab_size_mib": 256}));
    assert!(message.contains("'D0'") && message.contains("too small"), "{message}");
    assert_eq!(call(&server, "mpool_scan", Value::Null), json!([]));
    assert!(server.stop().expect("ends").success());
}

#[test]
fn after_a_kill_a_volume_comes_back_with_its_bdev() {
    let rig = rig(1);
    let mut server = target(&rig);
    aio(&rig, &server, "Base", 128, 4096);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0", "uuid": UUID})).expect("created");
    let before = server.bdev("D0").expect("shown");
    assert_eq!(before["driver_specific"]["dedupe"]["complete_recoveries"], 0);
    server.process().kill();

    let file = rig.dir().join("Base.img").display().to_string();
    let base = json!({"name": "Base", "filename": file, "block_size": 4096});
    let calls = json!([{"method": "bdev_aio_create", "params": base}]);
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    let config = Some(rig.write_json("base.json", &config).expect("written"));
    let mut server = target_with(&rig, &ServerOptions { config, ..ServerOptions::default() });
    let mut after = wait_for_bdev(&server, "D0");
    assert_eq!(after["driver_specific"]["dedupe"]["complete_recoveries"], 1);
    after["driver_specific"]["dedupe"]["complete_recoveries"] = json!(0);
    assert_eq!(after, before, "the same volume in the same pool");
    let message = refused(&server, json!({"base_bdev_name": "Base", "name": "D0"}));
    assert!(message.contains("'D0'") && message.contains("exists"), "{message}");
    assert!(server.stop().expect("ends").success(), "{}", server.log());
}

/// vdo-110, partly: what was saved needs no recovery.
#[test]
fn pools_give_their_volumes_back_when_they_are_activated() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Large", 256, 4096);
    malloc(&server, "Fast", 64, 4096);
    let pool = json!({"name": "p0", "capacity_bdev": "Large", "staging_bdev": "Fast", "zone_size_mib": 1});
    call(&server, "mpool_create", pool);
    for name in ["D0", "D1"] {
        create(&server, json!({"pool_name": "p0", "name": name, "physical_size_mib": 32})).expect("created");
        let info = server.bdev(name).expect("shown")["driver_specific"]["dedupe"].clone();
        assert_eq!(info["metadata_bdev_name"], "Fast", "{info:#}");
    }
    let message = server.call("mpool_deactivate", json!({"name": "p0"})).expect_err("in use").to_string();
    assert!(message.contains("'p0'"), "{message}");
    for name in ["D0", "D1"] {
        call(&server, "bdev_dedupe_unload", json!({"name": name}));
    }
    call(&server, "mpool_deactivate", json!({"name": "p0"}));
    call(&server, "mpool_activate", json!({"name": "p0"}));
    for name in ["D0", "D1"] {
        let info = server.bdev(name).expect("loaded with its pool")["driver_specific"]["dedupe"].clone();
        assert_eq!((&info["mode"], &info["complete_recoveries"]), (&json!("normal"), &json!(0)), "{info:#}");
    }
}

#[test]
fn the_plugin_for_rpc_py_manages_pools() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Large", 128, 4096);
    malloc(&server, "Fast", 64, 4096);
    let run = |arguments: &[&str]| rpc_py(&rig, &server, arguments);
    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&run(arguments)).expect("JSON");
    let create = ["mpool_create", "p0", "-c", "Large", "-z", "1", "--label", "cold", "--unless-exists"];
    let created = json(&create);
    assert_eq!(created["label"], "cold");
    assert_eq!(json(&create)["uuid"], created["uuid"], "it is there");
    run(&["mpool_drive_add", "p0", "-s", "Fast", "-z", "2"]);
    assert_eq!(json(&["mpool_set_params", "p0", "--mode", "0600"])["mode"], "0600");
    assert_eq!(number(&json(&["mpool_get_params", "p0"]), "mblock_size_mib_staging"), 2);
    assert_eq!(json(&["mpool_get_props", "p0"])["status"], "optimal");
    // The last zone of each drive is left to the last copy of its superblock.
    assert_eq!(number(&json(&["mpool_get_usage", "p0"])["total"], "total_bytes"), (128 - 1 + 64 - 2) * MIB);
    assert_eq!(json(&["mpool_list"])[0]["name"], "p0");
    assert_eq!(run(&["bdev_dedupe_create", "-p", "p0", "-n", "D0", "-P", "32"]), "D0");
    run(&["bdev_dedupe_delete", "D0"]);
    run(&["mpool_deactivate", "p0"]);
    assert_eq!(json(&["mpool_scan"])[0]["state"], "inactive");
    run(&["mpool_rename", "p0", "p1", "-c", "Large", "-s", "Fast"]);
    run(&["mpool_activate", "p1"]);
    run(&["mpool_destroy", "p1"]);
    assert_eq!(json(&["mpool_scan"]), json!([]));
    for method in ["mpool_create", "mpool_activate", "mpool_scan"] {
        assert!(run(&[method, "--help"]).contains("usage"), "{method} has a help text");
    }
}
