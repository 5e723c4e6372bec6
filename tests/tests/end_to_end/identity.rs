// SPDX-License-Identifier: BSD-3-Clause

//! Whose pool is on a bdev: copies of bdevs, bdevs above others, wiped and used ones; and what volumes are called.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::{json, Value};
use tests::target::{Rig, Server, ServerOptions};

use crate::fixture::{create, malloc, needs_newer, rig, target, target_with, wait_for_bdev, MIB};
use crate::pool::{aio, call, wait_for_pools};

fn image(rig: &Rig, name: &str) -> PathBuf {
    rig.dir().join(format!("{name}.img"))
}

/// Makes the file of one bdev a copy of that of another.
fn copy(rig: &Rig, from: &str, to: &str) {
    std::fs::copy(image(rig, from), image(rig, to)).expect("a copy");
}

fn put(rig: &Rig, name: &str, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(image(rig, name)).expect("a file");
    file.write_all_at(bytes, at).expect("inside the file");
    file.sync_data().expect("written");
}

fn refusal(server: &Server, method: &str, params: &Value) -> String {
    let error = server.call(method, params.clone()).expect_err(&format!("{method} {params}"));
    error.refusal().unwrap_or_else(|| panic!("{error}")).to_owned()
}

fn examined(server: &Server) {
    server.call("bdev_wait_for_examine", Value::Null).expect("all are examined");
}

fn active(server: &Server) -> usize {
    call(server, "mpool_list", Value::Null).as_array().expect("a list").len()
}

/// The state of the only pool that is found.
fn state(server: &Server) -> String {
    let scanned = call(server, "mpool_scan", Value::Null);
    let [pool] = &scanned.as_array().expect("a list")[..] else { panic!("{scanned:#}") };
    pool["state"].as_str().expect("a state").to_owned()
}

/// A pool of the volume D0 on the bdev A, in a target that has ended.
fn made_on_a(rig: &Rig) {
    let mut server = target(rig);
    aio(rig, &server, "A", 96, 4096);
    create(&server, json!({"base_bdev_name": "A", "name": "D0"})).expect("created");
    assert!(server.stop().expect("ends").success());
}

#[test]
fn of_twins_none_is_activated_until_one_is_named_or_imported() {
    let rig = rig(1);
    made_on_a(&rig);
    copy(&rig, "A", "B");
    let mut server = target(&rig);
    aio(&rig, &server, "B", 96, 4096);
    wait_for_bdev(&server, "D0");
    aio(&rig, &server, "A", 96, 4096);
    examined(&server);
    assert!(server.log().contains("one is a copy of the other"), "{}", server.log());
    call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
    call(&server, "mpool_deactivate", json!({"name": "D0"}));
    assert_eq!(state(&server), "twins");
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
    assert!(message.contains("'A'") && message.contains("'B'") && message.contains("copy"), "{message}");
    assert_eq!(active(&server), 0);

    call(&server, "mpool_activate", json!({"name": "D0", "capacity_bdev": "A"}));
    let original = wait_for_bdev(&server, "D0");
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0", "capacity_bdev": "B"}));
    assert!(message.contains("active on 'A', not on 'B'"), "{message}");
    let imported = call(&server, "mpool_import", json!({"capacity_bdev": "B", "new_name": "copy"}));
    assert_eq!(imported["name"], "copy");
    assert_eq!(active(&server), 2);
    // The name of the volume is taken; its UUID is another one.
    call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
    call(&server, "bdev_dedupe_load", json!({"name": "copy/D0"}));
    let copied = wait_for_bdev(&server, "D0");
    assert_ne!(original["uuid"], copied["uuid"]);
    // With another name both are in service, and keep their names.
    let renamed = |key: &str| json!({"name": key, "new_name": "D1"});
    assert!(refusal(&server, "bdev_dedupe_rename", &renamed("D0")).contains("bdev_dedupe_unload"));
    call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
    call(&server, "bdev_dedupe_rename", renamed("copy/D0"));
    assert!(
        refusal(&server, "bdev_dedupe_rename", &renamed("copy/D0")).contains("'copy/D0'"),
        "there is none any more"
    );
    for (name, uuid) in [("D0", &original["uuid"]), ("D1", &copied["uuid"])] {
        call(&server, "bdev_dedupe_load", json!({"name": name}));
        assert_eq!(wait_for_bdev(&server, name)["uuid"], *uuid);
    }
    assert!(server.stop().expect("ends").success(), "{}", server.log());

    // Two pools now, that do not mind each other.
    let server = target(&rig);
    aio(&rig, &server, "A", 96, 4096);
    aio(&rig, &server, "B", 96, 4096);
    examined(&server);
    assert_eq!(active(&server), 2, "{}", server.log());
    for name in ["D0", "D1"] {
        wait_for_bdev(&server, name);
    }
}

#[test]
fn a_pool_comes_up_on_what_was_examined_or_not_at_all() {
    let rig = rig(1);
    made_on_a(&rig);
    copy(&rig, "A", "B");
    let file = |name: &str| image(&rig, name).display().to_string();
    let bdev = |name: &str| json!({"method": "bdev_aio_create", "params": {"name": name, "filename": file(name), "block_size": 4096}});
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": [
        {"method": "bdev_set_options", "params": {"bdev_auto_examine": false}}, bdev("B"), bdev("A"),
    ]}]});
    let path = rig.path("twins.json");
    std::fs::write(&path, config.to_string()).expect("a file");
    let server = target_with(&rig, &ServerOptions { config: Some(path), ..ServerOptions::default() });
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
    assert!(message.contains("copy"), "{message}");
    call(&server, "bdev_examine", json!({"name": "A"}));
    examined(&server);
    assert_eq!(active(&server), 0, "not on the other in any case: {}", server.log());
    assert!(server.log().contains("'A' and 'B'") || server.log().contains("'B' and 'A'"), "{}", server.log());
    server.call("bdev_aio_delete", json!({"name": "A"})).expect("removed");
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
    assert!(message.contains("'B'") && message.contains("not examined"), "{message}");
    call(&server, "mpool_activate", json!({"name": "D0", "capacity_bdev": "B"}));
    wait_for_bdev(&server, "D0");
}

#[test]
fn a_pool_on_a_split_half_is_not_taken_from_the_bdev_beneath() {
    let rig = rig(1);
    let split = json!({"base_bdev": "A", "split_count": 2});
    {
        let mut server = target(&rig);
        aio(&rig, &server, "A", 192, 4096);
        call(&server, "bdev_split_create", split.clone());
        create(&server, json!({"base_bdev_name": "Ap0", "name": "D0"})).expect("created");
        assert!(server.stop().expect("ends").success());
    }
    let server = target(&rig);
    aio(&rig, &server, "A", 192, 4096);
    examined(&server);
    assert_eq!(active(&server), 0, "{}", server.log());
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
    assert!(message.contains("Split Disk") && message.contains("may still come"), "{message}");
    let grown = json!({"name": "D0", "resize": true, "permit_meta_conv": true});
    assert!(refusal(&server, "mpool_activate", &grown).contains("may still come"));
    call(&server, "bdev_split_create", split);
    wait_for_bdev(&server, "D0");
}

#[test]
fn a_wiped_base_is_named_and_repaired_with_force() {
    let rig = rig(1);
    made_on_a(&rig);
    // As wipefs does: the magic alone. Then as a new partition table: 17 KiB.
    for (round, bytes) in [vec![0; 8], vec![0xa5; 17 << 10]].iter().enumerate() {
        put(&rig, "A", 0, bytes);
        let mut server = target(&rig);
        aio(&rig, &server, "A", 96, 4096);
        examined(&server);
        assert_eq!((active(&server), state(&server).as_str()), (0, "wiped"), "round {round}");
        let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
        assert!(message.contains("wiped") && message.contains("force"), "{message}");
        let message = refusal(&server, "bdev_dedupe_create", &json!({"base_bdev_name": "A", "name": "D1"}));
        assert!(message.contains("superblock of a pool") && message.contains("force"), "{message}");
        call(&server, "mpool_activate", json!({"name": "D0", "force": true}));
        wait_for_bdev(&server, "D0");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
        let mut server = target(&rig);
        aio(&rig, &server, "A", 96, 4096);
        wait_for_pools(&server, &["D0"]);
        assert!(server.stop().expect("ends").success());
    }
}

#[test]
fn a_base_that_has_moved_is_told_or_refused() {
    let rig = rig(1);
    made_on_a(&rig);
    // On a larger disk.
    copy(&rig, "A", "Large");
    let mut server = target(&rig);
    aio(&rig, &server, "Large", 128, 4096);
    examined(&server);
    assert_eq!(active(&server), 0);
    let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
    assert!(message.contains("size differs"), "{message}");
    call(&server, "mpool_activate", json!({"name": "D0", "force": true}));
    wait_for_bdev(&server, "D0");
    assert!(server.stop().expect("ends").success(), "{}", server.log());
    // It is known there from now on.
    let server = target(&rig);
    aio(&rig, &server, "Large", 128, 4096);
    wait_for_bdev(&server, "D0");
}

#[test]
fn what_is_on_a_base_is_named() {
    let rig = rig(1);
    let server = target(&rig);
    aio(&rig, &server, "A", 96, 4096);
    put(&rig, "A", 0x438, &[0x53, 0xef]);
    put(&rig, "A", 4096, b"EFI PART");
    let message = refusal(&server, "bdev_dedupe_create", &json!({"base_bdev_name": "A", "name": "D0"}));
    assert!(message.contains("ext4") && message.contains("GPT") && message.contains("force"), "{message}");
    let message = refusal(&server, "mpool_create", &json!({"capacity_bdev": "A", "name": "p0"}));
    assert!(message.contains("ext4"), "{message}");
    create(&server, json!({"base_bdev_name": "A", "name": "D0", "force": true})).expect("forced");
    malloc(&server, "Fast", 64, 4096);
    server.call("bdev_lvol_create_lvstore", json!({"bdev_name": "Fast", "lvs_name": "lvs"})).expect("a store");
    // Beneath the store, which a later start may not know.
    server.call("bdev_lvol_delete_lvstore", json!({"lvs_name": "lvs"})).expect("deleted");
    call(&server, "mpool_drive_add", json!({"name": "D0", "staging_bdev": "Fast", "force": true}));
}

#[test]
fn names_that_are_alike_do_not_exclude_each_other() {
    let rig = rig(1);
    let server = target(&rig);
    let common = "pvc-0123456789abcdef0123456789abcdef-volume";
    let names = [format!("{common}-1"), format!("{common}-2"), "a b".to_owned(), "a_b".to_owned()];
    for (number, name) in names.iter().enumerate() {
        let base = format!("Base{number}");
        malloc(&server, &base, 64, 4096);
        create(&server, json!({"base_bdev_name": base, "name": name})).expect("created");
    }
    for name in &names {
        let bdev = server.bdev(name).expect("it is there");
        let pool = bdev["driver_specific"]["dedupe"]["pool_name"].as_str().expect("a pool").to_owned();
        let uuid = bdev["uuid"].as_str().expect("a UUID").to_owned();
        for key in [name.clone(), uuid.clone(), format!("{pool}/{name}")] {
            let shown = call(&server, "bdev_dedupe_get_stats", json!({"name": key}));
            assert_eq!(shown[0]["name"], name.as_str(), "{key}");
            call(&server, "bdev_dedupe_set_compression", json!({"name": key, "enabled": true}));
        }
        call(&server, "bdev_dedupe_unload", json!({"name": uuid}));
        call(&server, "bdev_dedupe_load", json!({"name": uuid}));
        call(&server, "bdev_dedupe_unload", json!({"name": uuid}));
        call(&server, "bdev_dedupe_load", json!({"name": format!("{pool}/{name}")}));
    }
}

/// Whatever a volume is loaded by, its bdev has the stored name, which another bdev may have meanwhile.
#[test]
fn a_volume_whose_name_is_taken_waits() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 64, 4096);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    let uuid = server.bdev("D0").expect("it is there")["uuid"].as_str().expect("a UUID").to_owned();
    call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
    malloc(&server, "D0", 16, 512);
    for key in ["D0", &uuid] {
        let error = refusal(&server, "bdev_dedupe_load", &json!({"name": key}));
        assert!(error.contains("D0") && error.contains("exists"), "{key}: {error}");
    }
    call(&server, "bdev_malloc_delete", json!({"name": "D0"}));
    call(&server, "bdev_dedupe_load", json!({"name": uuid}));
}

#[test]
fn the_example_configurations_start_twice() {
    let rig = rig(1);
    aio_file(&rig, "Nvme0n1");
    for example in ["malloc.json", "nvme.json"] {
        let text =
            std::fs::read_to_string(format!("{}/../config/{example}", env!("CARGO_MANIFEST_DIR"))).expect("there");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        let methods = config["subsystems"][0]["config"].as_array_mut().expect("methods");
        for method in methods.iter_mut().filter(|method| method["method"] == "bdev_nvme_attach_controller") {
            // There is no such device here; a file stands in for it.
            let file = image(&rig, "Nvme0n1").display().to_string();
            *method = json!({"method": "bdev_aio_create", "params": {"name": "Nvme0n1", "filename": file, "block_size": 4096}});
        }
        let path = rig.path(example);
        std::fs::write(&path, config.to_string()).expect("a file");
        for start in 0..2 {
            let config = Some(path.clone());
            let mut server = target_with(&rig, &ServerOptions { config, ..ServerOptions::default() });
            if example == "nvme.json" {
                let params = json!({"base_bdev_name": "Nvme0n1", "name": "Dedupe0", "unless_exists": true});
                create(&server, params).expect("created, or there");
            }
            wait_for_bdev(&server, "Dedupe0");
            let again = json!({"base_bdev_name": if example == "nvme.json" { "Nvme0n1" } else { "Malloc0" }, "name": "Dedupe0"});
            assert!(refusal(&server, "bdev_dedupe_create", &again).contains("exists"), "start {start}");
            assert!(server.stop().expect("ends").success(), "{}", server.log());
        }
    }
}

/// What a configuration that is kept by hand asks for at each start: a pool, and a volume in it.
#[test]
fn a_pool_is_created_unless_it_is_there() {
    let rig = rig(1);
    let pool = |name: &str, bdev: &str| json!({"name": name, "capacity_bdev": bdev, "unless_exists": true});
    let mut uuid = Value::Null;
    for start in 0..3 {
        let mut server = target(&rig);
        aio(&rig, &server, "A", 96, 4096);
        let created = call(&server, "mpool_create", pool("p 0", "A"));
        assert_eq!(created["name"], "p_0");
        if start > 0 {
            assert_eq!(created["uuid"], uuid, "start {start}");
        }
        uuid = created["uuid"].clone();
        create(&server, json!({"pool_name": "p_0", "name": "D0", "unless_exists": true})).expect("created, or there");
        if start == 1 {
            call(&server, "bdev_dedupe_unload", json!({"name": "D0"}));
            call(&server, "mpool_deactivate", json!({"name": "p_0"}));
            assert_eq!(call(&server, "mpool_create", pool("p_0", "A"))["uuid"], uuid, "it is activated");
            wait_for_bdev(&server, "D0");
        }
        // Another pool there, and this one elsewhere, are not what was asked for.
        let message = refusal(&server, "mpool_create", &pool("p1", "A"));
        assert!(message.contains("'A'"), "{message}");
        malloc(&server, "B", 64, 4096);
        let message = refusal(&server, "mpool_create", &pool("p_0", "B"));
        assert!(message.contains("active on 'A', not on 'B'"), "{message}");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
    }
    let server = target(&rig);
    aio(&rig, &server, "A", 96, 4096);
    let message = refusal(&server, "mpool_create", &json!({"name": "p_0", "capacity_bdev": "A"}));
    assert!(message.contains("'A'") || message.contains("'p_0'"), "{message}");
}

/// A leg of a mirror, which a raid's superblock knows again by its UUID.
fn leg(rig: &Rig, server: &Server, name: &str) {
    aio_file(rig, name);
    let uuid = format!("2b0b4d0e-91b5-4d7d-8cf0-6d1ed94c9c{:02x}", name.as_bytes()[0]);
    let file = image(rig, name).display().to_string();
    call(server, "bdev_aio_create", json!({"name": name, "filename": file, "block_size": 4096, "uuid": uuid}));
}

/// A pool on a mirror is not taken from the leg that appears first: with the raid's own superblock a leg belongs to the
/// raid, and without it the bdev that was recorded may still come.
#[test]
fn a_pool_on_a_raid_is_not_taken_from_a_leg() {
    let rig = rig(1);
    needs_newer(&rig, "superblock of raid bdevs");
    const UUID: &str = "2b0b4d0e-91b5-4d7d-8cf0-6d1ed94c9c7e";
    for superblock in [true, false] {
        let mirror = json!({
            "name": "R", "raid_level": "raid1", "base_bdevs": ["A", "B"], "superblock": superblock, "uuid": UUID,
        });
        {
            let mut server = target(&rig);
            leg(&rig, &server, "A");
            leg(&rig, &server, "B");
            call(&server, "bdev_raid_create", mirror.clone());
            create(&server, json!({"base_bdev_name": "R", "name": "D0"})).expect("created");
            assert!(server.stop().expect("ends").success(), "{}", server.log());
        }
        let mut server = target(&rig);
        leg(&rig, &server, "A");
        examined(&server);
        assert_eq!(active(&server), 0, "{}", server.log());
        if !superblock {
            let message = refusal(&server, "mpool_activate", &json!({"name": "D0"}));
            assert!(message.contains("Raid Volume") && message.contains("may still come"), "{message}");
        }
        leg(&rig, &server, "B");
        if !superblock {
            examined(&server);
            assert_eq!(active(&server), 0, "{}", server.log());
            call(&server, "bdev_raid_create", mirror);
        }
        let volume = wait_for_bdev(&server, "D0");
        assert_eq!(volume["driver_specific"]["dedupe"]["base_bdev_name"], "R");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
        for name in ["A", "B"] {
            std::fs::remove_file(image(&rig, name)).expect("there");
        }
    }
}

/// Neither the raid nor its legs are known again by a UUID: all depends on what is above what. A leg is not taken for the raid, in
/// whichever order they appear; it is the operator who may say that there is no raid any more.
#[test]
fn a_pool_on_a_raid_of_nameless_legs_waits_for_the_raid_or_the_operator() {
    let rig = rig(1);
    needs_newer(&rig, "mirrors");
    let mirror = json!({"name": "R", "raid_level": "raid1", "base_bdevs": ["A", "B"]});
    let base = |server: &Server| wait_for_bdev(server, "D0")["driver_specific"]["dedupe"]["base_bdev_name"].clone();
    {
        let mut server = target(&rig);
        ["A", "B"].iter().for_each(|name| aio(&rig, &server, name, 96, 4096));
        call(&server, "bdev_raid_create", mirror.clone());
        create(&server, json!({"base_bdev_name": "R", "name": "D0"})).expect("created");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
    }
    let by_name = json!({"name": "D0"});
    {
        let mut server = target(&rig);
        aio(&rig, &server, "B", 96, 4096);
        examined(&server);
        assert_eq!((active(&server), state(&server).as_str()), (0, "inactive"), "{}", server.log());
        let message = refusal(&server, "mpool_activate", &by_name);
        assert!(message.contains("Raid Volume") && message.contains("may still come"), "{message}");
        assert!(message.contains("with force"), "{message}");
        aio(&rig, &server, "A", 96, 4096);
        examined(&server);
        assert_eq!((active(&server), state(&server).as_str()), (0, "twins"), "{}", server.log());
        let message = refusal(&server, "mpool_activate", &by_name);
        assert!(message.contains("'A'") && message.contains("'B'"), "{message}");
        call(&server, "bdev_raid_create", mirror);
        assert_eq!(base(&server), "R");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
    }
    {
        let mut server = target(&rig);
        ["B", "A"].iter().for_each(|name| aio(&rig, &server, name, 96, 4096));
        examined(&server);
        let named = json!({"name": "D0", "capacity_bdev": "B"});
        let message = refusal(&server, "mpool_activate", &named);
        assert!(message.contains("may still come"), "{message}");
        call(&server, "mpool_activate", json!({"name": "D0", "capacity_bdev": "B", "force": true}));
        assert_eq!(base(&server), "B");
        assert!(server.stop().expect("ends").success(), "{}", server.log());
    }
    // The leg is the pool's from now on, and alone needs nobody.
    let server = target(&rig);
    aio(&rig, &server, "B", 96, 4096);
    assert_eq!(base(&server), "B");
}

fn aio_file(rig: &Rig, name: &str) {
    let file =
        std::fs::File::options().create(true).truncate(false).write(true).open(image(rig, name)).expect("a file");
    file.set_len(96 * MIB).expect("a sparse file");
}
