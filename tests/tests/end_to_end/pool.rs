// SPDX-License-Identifier: BSD-3-Clause

//! Media pools over JSON-RPC: their life, what is refused, and how they are found again.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::target::{Rig, Server, TargetError};

use crate::blocks::{content, Blocks};
use crate::fixture::{create, malloc, number, rig, target, MIB};

/// Long enough for examine, which SPDK does not wait for when it answers.
const SOON: Duration = Duration::from_secs(20);

/// Calls an `mpool_*` method that is to succeed.
pub fn call(server: &Server, method: &str, params: Value) -> Value {
    server.call(method, params).unwrap_or_else(|error| panic!("{error}: {}", server.log()))
}

/// The words with which a method refuses.
fn refusal(server: &Server, method: &str, params: &Value) -> String {
    let error: TargetError = server.call(method, params.clone()).expect_err(&params.to_string());
    error.refusal().unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// Names of the active pools.
fn active(server: &Server) -> Vec<String> {
    let list = call(server, "mpool_list", Value::Null);
    let pools = list.as_array().expect("a list");
    pools.iter().map(|pool| pool["name"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until exactly these pools are active.
pub fn wait_for_pools(server: &Server, expected: &[&str]) {
    let began = Instant::now();
    while active(server) != expected {
        assert!(began.elapsed() < SOON, "{:?} are active, not {expected:?}: {}", active(server), server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A bdev on a file of the rig, made unless it is there.
pub fn aio(rig: &Rig, server: &Server, name: &str, mib: u64, block_size: u64) {
    let file = rig.dir().join(format!("{name}.img"));
    let image = std::fs::File::options().create(true).truncate(false).write(true).open(&file).expect("a file");
    image.set_len(mib * MIB).expect("a sparse file");
    let params = json!({"name": name, "filename": file.display().to_string(), "block_size": block_size});
    server.call("bdev_aio_create", params).expect("a bdev on a file");
}

fn claimed(server: &Server, bdev: &str) -> bool {
    server.bdev(bdev).expect("shown")["claimed"] == json!(true)
}

/// mpool-132, partly: active pools are listed, those on bdevs are found.
#[test]
fn a_pool_is_created_shown_and_destroyed() {
    let rig = rig(1);
    let mut server = target(&rig);
    for (blocks, other) in [(512, 4096), (4096, 512)] {
        malloc(&server, "Fast", 64, other);
        malloc(&server, "Large", 256, blocks);
        let params = json!({"name": "p 0", "capacity_bdev": "Large", "staging_bdev": "Fast", "zone_size_mib": 2});
        let created = call(&server, "mpool_create", params);
        assert_eq!((&created["name"], &created["mode"]), (&json!("p_0"), &json!("0660")), "{created:#}");
        assert!(claimed(&server, "Large") && claimed(&server, "Fast"));

        let props = call(&server, "mpool_get_props", json!({"name": "p 0"}));
        assert_eq!(props["status"], "optimal", "{props:#}");
        let drive = |class: usize| props["classes"][class]["drives"][0].clone();
        assert_eq!((&drive(0)["class"], &drive(0)["bdev"]), (&json!("STAGING"), &json!("Fast")));
        assert_eq!((&drive(1)["class"], &drive(1)["bdev"]), (&json!("CAPACITY"), &json!("Large")));
        assert_eq!((number(&drive(0), "block_size"), number(&drive(1), "block_size")), (other, blocks));
        assert_eq!((number(&drive(0), "zones"), number(&drive(1), "zones")), (31, 127));

        let usage = call(&server, "mpool_get_usage", json!({"name": "p_0"}));
        let total = &usage["total"];
        assert_eq!(number(total, "total_bytes"), 316 * MIB, "a zone of each for the last copy of the superblock");
        let space = ["free_usable_bytes", "used_bytes", "spare_bytes"].map(|name| number(total, name));
        assert_eq!(space.iter().sum::<u64>(), 316 * MIB, "space adds up: {usage:#}");
        assert_eq!((number(total, "mblock_count"), number(total, "mlog_count")), (0, 2), "the root MDC: {usage:#}");
        let of_classes: u64 = (0..2).map(|class| number(&usage["classes"][class], "free_usable_bytes")).sum();
        assert_eq!(of_classes, space[0]);

        assert_eq!(active(&server), ["p_0"]);
        let scanned = call(&server, "mpool_scan", Value::Null);
        assert_eq!((&scanned[0]["name"], &scanned[0]["state"]), (&json!("p_0"), &json!("active")), "{scanned:#}");
        call(&server, "mpool_deactivate", json!({"name": created["uuid"]}));
        assert!(!claimed(&server, "Large") && !claimed(&server, "Fast"));
        let scanned = call(&server, "mpool_scan", Value::Null);
        assert_eq!((&scanned[0]["uuid"], &scanned[0]["state"]), (&created["uuid"], &json!("inactive")), "{scanned:#}");
        assert_eq!(scanned[0]["drives"].as_array().map(Vec::len), Some(2), "{scanned:#}");

        call(&server, "mpool_activate", json!({"name": "p_0", "capacity_bdev": "Large", "staging_bdev": "Fast"}));
        call(&server, "mpool_activate", json!({"name": "p_0"}));
        assert_eq!(call(&server, "mpool_destroy", json!({"name": "p_0"})), true);
        assert_eq!(call(&server, "mpool_scan", Value::Null), json!([]));
        assert!(!claimed(&server, "Large") && !claimed(&server, "Fast"));
        for name in ["Fast", "Large"] {
            server.call("bdev_malloc_delete", json!({"name": name})).expect("nobody uses it");
        }
    }
    assert!(server.stop().expect("ends").success());
}

#[test]
fn wrong_pool_parameters_are_named() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Large", 64, 4096);
    let cases = [
        (json!({"zone_size_mib": 3}), "zone_size_mib"),
        (json!({"zone_size_mib": 128}), "zone_size_mib"),
        (json!({"mdc_count": 0}), "mdc_count"),
        (json!({"mdc0_capacity_mib": -1}), "mdc0_capacity_mib"),
        (json!({"force": 1}), "force"),
        (json!({"mode": 432}), "mode"),
        (json!({"mode": "9"}), "mode"),
        (json!({"type": "nonsense"}), "type"),
        (json!({"uid": "root"}), "uid"),
        (json!({"readahead_pages": 33}), "readahead_pages"),
        (json!({"spare_percent_capacity": 101}), "spare_percent_capacity"),
        (json!({"staging_bdev": 7}), "staging_bdev"),
        (json!({"resize": true}), "resize"),
    ];
    for (wrong, name) in cases {
        let mut params = json!({"name": "p0", "capacity_bdev": "Large"});
        params.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        let message = refusal(&server, "mpool_create", &params);
        assert!(message.contains(&format!("'{name}'")), "{wrong}: {message}");
    }
    for (method, missing) in [
        ("mpool_create", "name"),
        ("mpool_activate", "name"),
        ("mpool_deactivate", "name"),
        ("mpool_destroy", "name"),
        ("mpool_rename", "name"),
        ("mpool_drive_add", "name"),
        ("mpool_set_params", "name"),
        ("mpool_get_params", "name"),
        ("mpool_get_usage", "name"),
        ("mpool_get_props", "name"),
    ] {
        let message = refusal(&server, method, &json!({}));
        assert!(message.contains(&format!("'{missing}'")), "{method}: {message}");
    }
    for method in ["mpool_list", "mpool_scan"] {
        let message = refusal(&server, method, &json!({"name": "p0"}));
        assert!(message.contains("'name'"), "{method}: {message}");
    }
    let name = json!({"name": "none"});
    for method in ["mpool_deactivate", "mpool_get_params", "mpool_get_usage", "mpool_get_props", "mpool_activate"] {
        let message = refusal(&server, method, &name);
        assert!(message.contains("'none'"), "{method}: {message}");
    }
    let message = refusal(&server, "mpool_create", &json!({"name": "\u{e9}".repeat(130), "capacity_bdev": "Large"}));
    assert!(message.contains("1 to 255"), "{message}");
    assert!(!claimed(&server, "Large"), "a refusal leaves no claim");
    assert_eq!(call(&server, "mpool_scan", Value::Null), json!([]), "nor a pool");
}

/// mpool-2, partly: a bdev with a pool on it is refused, unless forced.
/// mpool-25, partly: one drive in each class.
#[test]
fn bdevs_that_cannot_be_used_are_named() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "One", 64, 4096);
    malloc(&server, "Two", 64, 4096);
    malloc(&server, "Tiny", 4, 4096);
    let create = |name: &str, bdev: &str| json!({"name": name, "capacity_bdev": bdev});
    let message = refusal(&server, "mpool_create", &create("p0", "None"));
    assert!(message.contains("'None'") && message.contains("no bdev"), "{message}");
    let message = refusal(&server, "mpool_create", &create("p0", "Tiny"));
    assert!(message.contains("'Tiny'"), "{message}");
    let twice = json!({"name": "p0", "capacity_bdev": "One", "staging_bdev": "One"});
    assert!(refusal(&server, "mpool_create", &twice).contains("'One'"));
    let missing = json!({"name": "p0", "capacity_bdev": "One", "staging_bdev": "None"});
    assert!(refusal(&server, "mpool_create", &missing).contains("'None'"));
    assert!(!claimed(&server, "One"), "the first is given back when the second fails");

    call(&server, "mpool_create", create("p0", "One"));
    let message = refusal(&server, "mpool_create", &create("p1", "One"));
    assert!(message.contains("'One'") && message.contains("claimed by module 'dedupe'"), "{message}");
    let message = refusal(&server, "mpool_create", &create("p0", "Two"));
    assert!(message.contains("'p0'"), "{message}");
    server.call("bdev_lvol_create_lvstore", json!({"bdev_name": "Two", "lvs_name": "lvs"})).expect("a store");
    let message = refusal(&server, "mpool_create", &create("p1", "Two"));
    assert!(message.contains("'Two'") && message.contains("claimed by"), "{message}");
    let message = refusal(&server, "mpool_drive_add", &json!({"name": "p0", "staging_bdev": "Two"}));
    assert!(message.contains("'Two'") && message.contains("claimed by"), "{message}");
    let message = refusal(&server, "mpool_rename", &json!({"name": "p0", "new_name": "p1"}));
    assert!(message.contains("'p0'") && message.contains("active"), "{message}");

    call(&server, "mpool_deactivate", json!({"name": "p0"}));
    let message = refusal(&server, "mpool_create", &create("p1", "One"));
    assert!(message.contains("'One'") && message.contains("superblock"), "{message}");
    let mut forced = create("p1", "One");
    forced["force"] = json!(true);
    call(&server, "mpool_create", forced);
    assert_eq!(active(&server), ["p1"]);
}

/// mpool-20: what was set is there after deactivation and activation.
/// mpool-134: so are tunables; what they cannot be is refused with their range.
/// mpool-21: what is given at activation replaces it, and stays.
/// mpool-15, partly: a pool is renamed while it is inactive, and only then.
#[test]
fn parameters_and_name_are_kept() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Large", 128, 4096);
    let user_type = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";
    call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large", "label": "cold", "uid": 7}));
    let params = json!({
        "name": "p0", "gid": 8, "mode": "0600", "type": user_type, "readahead_pages": 4, "spare_percent_capacity": 20,
        "grow_fill_percent": 60, "reap_ttl_us": 5_000_000,
    });
    let before = call(&server, "mpool_get_usage", json!({"name": "p0"}));
    call(&server, "mpool_set_params", params);
    let after = call(&server, "mpool_get_usage", json!({"name": "p0"}));
    assert!(number(&after["total"], "spare_bytes") > number(&before["total"], "spare_bytes"), "{after:#}");
    let expect = |params: &Value, label: &str| {
        let found = ["label", "mode", "type"].map(|name| params[name].as_str().expect("text").to_owned());
        assert_eq!(found, [label, "0600", user_type], "{params:#}");
        let names = ["uid", "gid", "readahead_pages", "spare_percent_capacity"];
        assert_eq!(names.map(|name| number(params, name)), [7, 8, 4, 20], "{params:#}");
        let listed = &call(&server, "mpool_list", json!({}))[0]["tunables"];
        for tunables in [&params["tunables"], listed] {
            let names = ["grow_fill_percent", "reap_ttl_us", "load_jobs"];
            assert_eq!(names.map(|name| number(tunables, name)), [60, 5_000_000, 8], "{tunables:#}");
        }
    };
    let message = refusal(&server, "mpool_set_params", &json!({"name": "p0", "uid": 9, "grow_fill_percent": 101}));
    assert!(message.contains("'grow_fill_percent' is 101: a whole number from 0 to 100"), "{message}");
    let message = refusal(&server, "mpool_set_params", &json!({"name": "p0", "load_jobs": -1}));
    assert!(message.contains("'load_jobs' is -1"), "{message}");
    expect(&call(&server, "mpool_get_params", json!({"name": "p0"})), "cold");
    call(&server, "mpool_deactivate", json!({"name": "p0"}));
    expect(&call(&server, "mpool_activate", json!({"name": "p0", "label": "hot"})), "hot");
    call(&server, "mpool_deactivate", json!({"name": "p0"}));
    assert_eq!(call(&server, "mpool_rename", json!({"name": "p0", "new_name": "p/1"}))["name"], "p_1");
    assert!(refusal(&server, "mpool_activate", &json!({"name": "p0"})).contains("'p0'"));
    let wrong = json!({"name": "p0", "capacity_bdev": "Large"});
    assert!(refusal(&server, "mpool_activate", &wrong).contains("'p_1'"), "the bdev has another pool");
    expect(&call(&server, "mpool_activate", json!({"name": "p_1"})), "hot");
}

/// The I/O of a pool is counted by class: all that reaches its bdev from its activation on, by the pool itself and by its volumes, and
/// stays counted when a volume goes.
#[test]
fn io_is_counted_by_pool_and_class() {
    let rig = rig(2);
    let server = target(&rig);
    malloc(&server, "Large", 256, 4096);
    malloc(&server, "Fast", 64, 4096);
    call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large", "staging_bdev": "Fast"}));
    let pool = || call(&server, "mpool_get_iostat", json!({"name": "p0"}))[0].clone();
    let class = |number: usize| {
        let class = pool()["classes"][number].clone();
        let bdev = class["bdev"].as_str().expect("a name").to_owned();
        (bdev, class)
    };
    let of_bdev = |name: &str| call(&server, "bdev_get_iostat", json!({"name": name}))["bdevs"][0].clone();
    let names = ["bytes_read", "num_read_ops", "bytes_written", "num_write_ops"];
    let figures = |of: &Value| names.map(|name| number(of, name));
    let before: Vec<_> = (0..2).map(class).map(|(bdev, class)| (figures(&class), figures(&of_bdev(&bdev)))).collect();
    let capacity = (0..2).position(|number| class(number).0 == "Large").expect("the class of 'Large'");

    create(&server, json!({"pool_name": "p0", "name": "D0"})).expect("a volume");
    let mut blocks = Blocks::connect(&server, "D0", 32);
    blocks.write((0..64).map(|lbn| (lbn, content(lbn))));
    assert!(blocks.read(0..64).into_iter().all(|block| block.is_some()));
    let written = class(capacity).1;
    assert!(number(&written["volumes"], "bytes_written") >= 64 * 4096, "{written:#}");
    assert!(number(&written["volumes"], "num_read_ops") > 0, "{written:#}");
    drop(blocks);
    call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
    let after = pool();
    for (number_of_class, (class_before, bdev_before)) in before.into_iter().enumerate() {
        let (bdev, now) = class(number_of_class);
        assert_eq!(number(&now["volumes"], "bytes_written"), 0, "no volume is in service");
        let of_pool: Vec<_> = figures(&now).iter().zip(class_before).map(|(now, then)| now - then).collect();
        let of_bdev: Vec<_> = figures(&of_bdev(&bdev)).iter().zip(bdev_before).map(|(now, then)| now - then).collect();
        assert_eq!((of_pool[0], of_pool[2]), (of_bdev[0], of_bdev[2]), "bytes of {bdev}: {now:#}");
        assert!(number_of_class != capacity || of_pool[2] > 64 * 4096, "{now:#}");
    }
    let sum = |name| (0..2).map(|class| number(&after["classes"][class], name)).sum::<u64>();
    assert_eq!(names.map(sum), figures(&after["total"]), "{after:#}");
    assert_eq!(call(&server, "mpool_get_iostat", json!({})).as_array().map(Vec::len), Some(1));
    assert!(refusal(&server, "mpool_get_iostat", &json!({"name": "none"})).contains("'none'"));
}

/// mpool-26, partly: a STAGING drive joins online, and is needed from then on.
/// mpool-10, partly: without it the pool is not activated, unless forced, and then is FAULTED.
#[test]
fn after_a_kill_examine_finds_a_pool_when_all_of_it_is_there() {
    let rig = rig(1);
    let uuid = {
        let mut server = target(&rig);
        aio(&rig, &server, "Large", 128, 4096);
        aio(&rig, &server, "Fast", 64, 512);
        let created = call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large"}));
        call(&server, "mpool_drive_add", json!({"name": "p0", "staging_bdev": "Fast", "zone_size_mib": 4}));
        let again = refusal(&server, "mpool_drive_add", &json!({"name": "p0", "staging_bdev": "Fast"}));
        assert!(again.contains("STAGING"), "{again}");
        server.process().kill();
        created["uuid"].clone()
    };
    {
        // In either order.
        let mut server = target(&rig);
        aio(&rig, &server, "Fast", 64, 512);
        aio(&rig, &server, "Large", 128, 4096);
        wait_for_pools(&server, &["p0"]);
        let params = call(&server, "mpool_get_params", json!({"name": "p0"}));
        assert_eq!((&params["uuid"], number(&params, "mblock_size_mib_staging")), (&uuid, 4), "{params:#}");
        server.process().kill();
    }
    let mut server = target(&rig);
    aio(&rig, &server, "Large", 128, 4096);
    let message = refusal(&server, "mpool_activate", &json!({"name": "p0"}));
    assert!(message.contains("STAGING") && message.contains("missing"), "{message}");
    assert_eq!(active(&server), [""; 0]);
    call(&server, "mpool_activate", json!({"name": "p0", "force": true}));
    assert_eq!(call(&server, "mpool_get_props", json!({"name": "p0"}))["status"], "faulted");
    call(&server, "mpool_deactivate", json!({"name": "p0"}));
    aio(&rig, &server, "Fast", 64, 512);
    wait_for_pools(&server, &["p0"]);
    assert_eq!(call(&server, "mpool_get_props", json!({"name": "p0"}))["status"], "optimal");
    assert!(server.stop().expect("ends").success(), "{}", server.log());
}

#[test]
fn a_removed_drive_closes_its_pool_and_brings_it_back() {
    let rig = rig(1);
    let mut server = target(&rig);
    aio(&rig, &server, "Large", 128, 4096);
    aio(&rig, &server, "Fast", 64, 4096);
    call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large", "staging_bdev": "Fast"}));
    for (removed, mib) in [("Fast", 64), ("Large", 128)] {
        let began = Instant::now();
        server.call("bdev_aio_delete", json!({"name": removed})).expect("removed");
        assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
        wait_for_pools(&server, &[]);
        let other = if removed == "Fast" { "Large" } else { "Fast" };
        assert!(!claimed(&server, other), "the other is given back");
        aio(&rig, &server, removed, mib, 4096);
        wait_for_pools(&server, &["p0"]);
    }
    assert!(server.stop().expect("ends").success(), "{}", server.log());
}

/// mpool-16, partly: a pool grows with its bdev when it is activated so.
/// mpool-17, partly: not onto a smaller one.
#[test]
fn a_pool_grows_with_its_bdev() {
    let rig = rig(1);
    let total = |server: &Server| {
        let usage = call(server, "mpool_get_usage", json!({"name": "p0"}));
        number(&usage["total"], "total_bytes")
    };
    let mut server = target(&rig);
    aio(&rig, &server, "Large", 64, 4096);
    call(&server, "mpool_create", json!({"name": "p0", "capacity_bdev": "Large"}));
    assert!(server.stop().expect("ends").success());
    let mut server = target(&rig);
    aio(&rig, &server, "Large", 96, 4096);
    let message = refusal(&server, "mpool_activate", &json!({"name": "p0"}));
    assert!(message.contains("'Large'") && message.contains("size differs"), "not by itself: {message}");
    let message = refusal(&server, "mpool_activate", &json!({"name": "p0", "resize": true}));
    assert!(message.contains("'Large'") && message.contains("grown"), "{message}");
    call(&server, "mpool_activate", json!({"name": "p0", "resize": true, "permit_meta_conv": true}));
    assert_eq!(total(&server), 95 * MIB);
    assert!(server.stop().expect("ends").success());
    let server = target(&rig);
    aio(&rig, &server, "Large", 80, 4096);
    let message = refusal(&server, "mpool_activate", &json!({"name": "p0"}));
    assert!(message.contains("'Large'"), "{message}");
    assert_eq!(active(&server), [""; 0]);
}
