// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC: creating, showing, saving, deleting; and every refusal names what it refuses.

use serde_json::{json, Value};
use tests::target::{RpcClient, ServerOptions};

use crate::fixture::{
    create, malloc, number, rig, rpc_py, statistics, target, target_with, volume, wait_for_bdev, MIB,
};
use crate::pool::aio;

/// vdo-35, partly: a volume that nobody has used counts nothing, in total and in each shard.
/// vdo-117, partly: sizes and derived figures of an empty volume.
#[test]
fn a_volume_is_created_shown_and_deleted() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 128, 4096);
    let name = create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    assert_eq!(name, "D0");

    let bdev = server.bdev("D0").expect("shown");
    assert_eq!((&bdev["block_size"], &bdev["claimed"]), (&json!(4096), &json!(false)), "{bdev:#}");
    let types = &bdev["supported_io_types"];
    for kind in ["read", "write", "unmap", "write_zeroes", "flush", "reset"] {
        assert_eq!(types[kind], true, "{kind}: {types:#}");
    }
    let state = &bdev["driver_specific"]["dedupe"];
    assert_eq!((&state["state"], &state["base_bdev_name"]), (&json!("online"), &json!("Base")), "{state:#}");
    assert_eq!(state["shard_cores"], json!([rig.cores()[0]]));
    let base = server.bdev("Base").expect("shown");
    assert_eq!(base["claimed"], true);

    let statistics = statistics(&server, "D0");
    let data_blocks = number(&statistics["total"], "data_blocks");
    let logical_blocks = number(&statistics, "logical_blocks");
    assert!((data_blocks * 7 / 8..=data_blocks).contains(&logical_blocks), "the room for data less some spare");
    assert_eq!(number(&statistics, "physical_blocks"), 128 * MIB / 4096);
    assert_eq!(number(&statistics, "overhead_blocks_used"), 128 * MIB / 4096 - data_blocks);
    for used in ["data_blocks_used", "logical_blocks_used", "bios_in_write", "dedupe_hits"] {
        assert_eq!(number(&statistics["total"], used), 0, "{used}");
        assert_eq!(number(&statistics["shards"][0], used), 0, "{used}");
    }
    assert_eq!(number(&statistics, "saving_percent"), 0);

    assert_eq!(server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect("deleted"), true);
    assert_eq!(server.bdev_names().expect("list"), ["Base"]);
    assert_eq!(server.bdev("Base").expect("shown")["claimed"], false);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created again");
}

#[test]
fn wrong_parameters_are_named() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 64, 4096);
    let free_core = (0..64).find(|core| !rig.cores().contains(core)).expect("a core that the target does not run on");
    let cases = [
        (json!({"block_size": 1024}), "block_size"),
        (json!({"block_size": "512"}), "block_size"),
        (json!({"logical_size_mib": 0}), "logical_size_mib"),
        (json!({"logical_size_mib": -1}), "logical_size_mib"),
        (json!({"logical_size_mib": 1.5}), "logical_size_mib"),
        (json!({"slab_size_mib": 9}), "slab_size_mib"),
        (json!({"slab_size_mib": 65536}), "slab_size_mib"),
        (json!({"index_memory_mib": 0}), "index_memory_mib"),
        (json!({"block_map_cache_mib": 0}), "block_map_cache_mib"),
        (json!({"journal_size_mib": "32"}), "journal_size_mib"),
        (json!({"index_memory_mib": []}), "index_memory_mib"),
        (json!({"cpumask": "0x0"}), "cpumask"),
        (json!({"cpumask": "nonsense"}), "cpumask"),
        (json!({"cpumask": 3}), "cpumask"),
        (json!({"cpumask": format!("[{free_core}]")}), "cpumask"),
        (json!({"uuid": "nonsense"}), "uuid"),
        (json!({"uuid": "00000000-0000-0000-0000-000000000000"}), "uuid"),
        (json!({"name": ""}), "name"),
        (json!({"name": {"a": 1}}), "name"),
        (json!({"base_bdev_name": 7}), "base_bdev_name"),
        (json!({"blocksize": 512}), "blocksize"),
    ];
    for (wrong, name) in cases {
        let mut params = json!({"base_bdev_name": "Base", "name": "D0"});
        let members = wrong.as_object().expect("an object").clone();
        params.as_object_mut().expect("an object").extend(members);
        let error = create(&server, params).expect_err("refused");
        let message = error.refusal().unwrap_or_else(|| panic!("{wrong}: {error}"));
        assert!(message.contains(&format!("'{name}'")), "{wrong}: {message}");
    }
    for missing in ["base_bdev_name", "name"] {
        let mut params = json!({"base_bdev_name": "Base", "name": "D0"});
        params.as_object_mut().expect("an object").remove(missing);
        let error = create(&server, params).expect_err("refused").to_string();
        assert!(error.contains(&format!("'{missing}'")), "{error}");
    }
    for params in [Value::Null, json!([]), json!(["Base", "D0"])] {
        let error = create(&server, params.clone()).expect_err("refused");
        assert!(error.refusal().is_some(), "{params}: {error}");
    }
    for method in ["bdev_dedupe_delete", "bdev_dedupe_get_stats"] {
        let error = server.call(method, json!({"name": "Base"})).expect_err("no dedupe bdev").to_string();
        assert!(error.contains("'Base' is not a dedupe bdev"), "{error}");
        let error = server.call(method, json!({"name": "D9"})).expect_err("no bdev").to_string();
        assert!(error.contains("'D9'"), "{error}");
    }
    assert_eq!(server.bdev("Base").expect("shown")["claimed"], false, "a refusal leaves no claim");
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("nothing is left of the refused");
}

#[test]
fn unusable_bases_and_taken_names_are_refused() {
    let rig = rig(1);
    let server = target(&rig);
    let refusal = |params: Value| {
        let error = create(&server, params).expect_err("refused");
        error.refusal().unwrap_or_else(|| panic!("{error}")).to_owned()
    };
    malloc(&server, "Small", 4, 4096);
    let message = refusal(json!({"base_bdev_name": "Small", "name": "D0"}));
    assert!(message.contains("'Small'") && message.contains("MDC0 need"), "{message}");
    malloc(&server, "Medium", 16, 4096);
    let message = refusal(json!({"base_bdev_name": "Medium", "name": "D0"}));
    assert!(message.contains("'D0'") && message.contains("too small"), "{message}");
    server.call("bdev_malloc_delete", json!({"name": "Medium"})).expect("nothing is left on it");
    let message = refusal(json!({"base_bdev_name": "None", "name": "D0"}));
    assert!(message.contains("'None'"), "{message}");

    volume(&server, 64);
    let message = refusal(json!({"base_bdev_name": "Small", "name": "D0"}));
    assert!(message.contains("'D0'") && message.contains("exists"), "{message}");
    let message = refusal(json!({"base_bdev_name": "Base", "name": "D1"}));
    assert!(message.contains("'Base'") && message.contains("pool 'D0'"), "{message}");
    assert_eq!(server.bdev_names().expect("list").len(), 3);
}

#[test]
fn two_volumes_stand_side_by_side() {
    let rig = rig(1);
    let server = target(&rig);
    for number in 0..2 {
        let base = format!("Base{number}");
        malloc(&server, &base, 64, 4096);
        create(&server, json!({"base_bdev_name": base, "name": format!("D{number}")})).expect("created");
    }
    let all = server.call("bdev_dedupe_get_stats", Value::Null).expect("statistics of all");
    let names: Vec<_> = all.as_array().expect("a list").iter().map(|volume| volume["name"].clone()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&json!("D0")) && names.contains(&json!("D1")), "{names:?}");
    server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect("deleted");
    assert_eq!(statistics(&server, "D1")["name"], "D1");
    server.call("bdev_dedupe_get_stats", json!({"name": "D0"})).expect_err("gone");
}

#[test]
fn the_index_changes_its_size_online() {
    let rig = rig(1);
    let server = target(&rig);
    volume(&server, 128);
    let resize =
        |mib: Value| server.call("bdev_dedupe_set_index_memory", json!({"name": "D0", "index_memory_mib": mib}));
    let capacity = || number(&statistics(&server, "D0")["total"], "index_capacity");
    let before = capacity();
    assert_eq!(resize(json!(16)).expect("resized"), true);
    assert!(capacity() > before, "{} records, {before} before", capacity());
    let message = resize(json!(0)).expect_err("refused").to_string();
    assert!(message.contains("'index_memory_mib'"), "{message}");
    let grown = capacity();
    server.call("bdev_dedupe_unload", json!({"name": "D0"})).expect("unloaded");
    server.call("bdev_dedupe_load", json!({"name": "D0"})).expect("loaded");
    assert_eq!(capacity(), grown, "it is kept");
}

#[test]
fn a_volume_can_stand_on_a_volume() {
    let rig = rig(1);
    let server = target(&rig);
    volume(&server, 128);
    create(&server, json!({"base_bdev_name": "D0", "name": "Upper", "block_size": 512})).expect("created");
    assert_eq!(server.bdev("D0").expect("shown")["claimed"], true);
    let refused =
        server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect_err("the other stands on it").to_string();
    assert!(refused.contains("claimed by module 'dedupe'") && refused.contains("force"), "{refused}");
    let forced = json!({"name": "D0", "force": true});
    server.call("bdev_dedupe_delete", forced).expect("deleted, and with it the one above");
    assert_eq!(server.bdev_names().expect("list"), ["Base"]);
}

/// A volume is loaded with its pool, so a saved configuration needs its bases only.
#[test]
fn a_saved_configuration_brings_the_same_bdevs_back() {
    let rig = rig(2);
    let saved = {
        let mut server = target_with(&rig, &ServerOptions { cores: 2, ..ServerOptions::default() });
        aio(&rig, &server, "Base0", 64, 512);
        aio(&rig, &server, "Base1", 128, 4096);
        create(&server, json!({"base_bdev_name": "Base0", "name": "Plain"})).expect("created");
        let params = json!({
            "base_bdev_name": "Base1", "name": "Full", "uuid": "f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
            "cpumask": format!("[{}]", rig.cores()[0]), "block_size": 512, "logical_size_mib": 1024, "slab_size_mib": 8,
            "index_memory_mib": 4, "block_map_cache_mib": 16, "journal_size_mib": 4,
        });
        create(&server, params).expect("created");
        let saved = bdev_config_of(&server.call("framework_get_config", json!({"name": "bdev"})).expect("saved"));
        assert!(saved.iter().all(|call| call["method"] != "bdev_dedupe_create"), "{saved:#?}");
        let shown = shown(&server);
        assert!(server.stop().expect("ends").success());
        (saved, shown)
    };
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": saved.0}]});
    let config = Some(rig.write_json("saved.json", &config).expect("written"));
    let server = target_with(&rig, &ServerOptions { cores: 2, config, ..ServerOptions::default() });
    assert_eq!(shown(&server), saved.1);
    let again = bdev_config_of(&server.call("framework_get_config", json!({"name": "bdev"})).expect("saved"));
    assert_eq!(again, saved.0);
}

fn bdev_config_of(calls: &Value) -> Vec<Value> {
    calls.as_array().expect("a list of calls").clone()
}

fn shown(server: &tests::target::Server) -> Vec<Value> {
    ["Plain", "Full"].map(|name| wait_for_bdev(server, name)).to_vec()
}

#[test]
fn malformed_requests_do_no_harm() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 64, 4096);
    let long = "x".repeat(64 * 1024);
    let requests = [
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": 7}".to_owned(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {\"name\": }}".to_owned(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {\"name\": \"\\ud800\"}}".to_owned(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {\"name\": \"a\\u0000b\", \"base_bdev_name\": \"Base\"}}".to_owned(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {\"name\": \"D0\", \"name\": \"D1\", \"base_bdev_name\": \"Base\"}}".to_owned(),
        format!("{{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {{\"name\": \"{long}\", \"base_bdev_name\": \"Base\"}}}}"),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_create\", \"params\": {\"name\": \"D0\", \"base_bdev_name\": \"Base\", \"logical_size_mib\": 1e400}}".to_owned(),
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"bdev_dedupe_delete\", \"params\": [[[[]]]]}".to_owned(),
    ];
    for request in requests {
        let mut client = RpcClient::connect(server.socket()).expect("connects");
        // SPDK closes the connection on what is no JSON, and answers the rest with an error.
        if let Ok(answer) = client.exchange("malformed", request.as_bytes()) {
            assert!(answer["error"].is_object(), "{request:.200}: {answer}");
        }
    }
    assert_eq!(server.bdev_names().expect("alive"), ["Base"]);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
}

#[test]
fn the_plugin_for_rpc_py_calls_every_method() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 64, 4096);
    let call = |arguments: &[&str]| rpc_py(&rig, &server, arguments);
    let created =
        call(&["bdev_dedupe_create", "-b", "Base", "-n", "D0", "-s", "512", "-l", "128", "-S", "8", "-i", "2"]);
    assert_eq!(created, "D0");
    assert_eq!(server.bdev("D0").expect("shown")["block_size"], 512);
    let statistics: Value = serde_json::from_str(&call(&["bdev_dedupe_get_stats", "-n", "D0"])).expect("JSON");
    assert_eq!(number(&statistics[0], "logical_blocks"), 128 * MIB / 4096);
    call(&["bdev_dedupe_set_index_memory", "D0", "3"]);
    call(&["bdev_dedupe_set_index", "D0", "disable"]);
    call(&["bdev_dedupe_set_index", "D0", "enable"]);
    call(&["bdev_dedupe_set_compression", "D0", "on"]);
    call(&["bdev_dedupe_set_reserve", "D0", "0"]);
    call(&["bdev_dedupe_set_block_map_cache", "D0", "32"]);
    call(&["bdev_dedupe_grow_logical", "D0", "256"]);
    call(&["bdev_dedupe_suspend", "D0"]);
    call(&["bdev_dedupe_resume", "D0"]);
    let report: Value = serde_json::from_str(&call(&["bdev_dedupe_check", "D0"])).expect("JSON");
    assert_eq!(report["clean"], true, "{report:#}");
    call(&["bdev_dedupe_set_read_only", "D0"]);
    let report: Value = serde_json::from_str(&call(&["bdev_dedupe_rebuild", "D0"])).expect("JSON");
    assert_eq!(report["lost"]["mappings"], 0, "{report:#}");
    call(&["bdev_dedupe_unload", "D0"]);
    call(&["bdev_dedupe_rename", "D0", "D1"]);
    assert_eq!(call(&["bdev_dedupe_load", "D1", "-p", "D0"]), "D1");
    for method in ["bdev_dedupe_grow_physical", "bdev_dedupe_load", "bdev_dedupe_create"] {
        assert!(call(&[method, "--help"]).contains("usage"), "{method} has a help text");
    }
    call(&["bdev_dedupe_delete", "D1"]);
    assert_eq!(server.bdev_names().expect("list"), ["Base"]);
}
