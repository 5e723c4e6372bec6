// SPDX-License-Identifier: BSD-3-Clause

//! The module in other programs, and in an SPDK that it was not built for.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use spdk_sys_build::ElfInfo;
use tests::target::{Rig, Server, ServerOptions};

use crate::fixture::{rig, target_with, volume};

#[test]
fn nvmf_tgt_takes_the_module() {
    let rig = rig(1);
    let options = ServerOptions { nvmf_tgt: true, ..ServerOptions::default() };
    let mut server = target_with(&rig, &options);
    volume(&server, 64);
    assert_eq!(server.bdev("D0").expect("shown")["driver_specific"]["dedupe"]["state"], "online");
    server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect("deleted");
    assert!(server.stop().expect("ends").success());
}

/// Starts a rig's target, which must end by itself with a message and an exit status, not by a signal.
fn refusal(rig: &Rig) -> String {
    let mut server = Server::spawn(rig, &ServerOptions::default()).expect("starts");
    let status = server.process().wait(Duration::from_secs(30)).expect("ends by itself");
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {}", server.log());
    server.log()
}

/// Writes a copy of a file in which every place that holds `from` holds `to`.
fn copy_with(path: &Path, copy: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).expect("the file");
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "{} does not hold it", path.display());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    std::fs::write(copy, bytes).expect("the copy");
}

/// Another release's libspdk_bdev has another soname. A module that was built for it differs from ours in this way at
/// least: it needs that name, and nothing by which the library could be found elsewhere.
#[test]
fn a_module_refuses_a_release_that_it_was_not_built_for() {
    let mut rig = rig(1);
    let soname = rig.tree.bdev_soname.clone();
    let needs = |path: &Path| ElfInfo::read(path).expect("a module").needed;
    assert!(needs(&rig.module).contains(&soname), "{:?}", needs(&rig.module));
    let (name, number) = soname.split_once(".so.").expect("a number");
    let other = format!("{name}.so.{}", number.replace(|c: char| c.is_ascii_digit(), "9"));
    assert_ne!(other, soname);
    let module = rig.path("module.so");
    copy_with(&rig.module, &module, soname.as_bytes(), other.as_bytes());
    assert!(needs(&module).contains(&other), "{:?}", needs(&module));
    rig.module = module;
    let log = refusal(&rig);
    assert!(log.contains(&other), "the message names {other}: {log}");
}

/// A fork, or another build, has the same soname: what tells it apart is the build-id of its libspdk_bdev.
#[test]
fn a_module_refuses_another_build_of_its_release() {
    let mut rig = rig(1);
    let id = rig.tree.bdev_build_id.clone().expect("SPDK is linked with build-ids");
    let id_bytes: Vec<u8> = (0..id.len() / 2)
        .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).expect("hexadecimal digits"))
        .collect();
    let other: Vec<u8> = id_bytes.iter().map(|byte| !byte).collect();
    let libraries = rig.path("libraries");
    std::fs::create_dir(&libraries).expect("a directory");
    let library = libraries.join(&rig.tree.bdev_soname);
    copy_with(&rig.tree.bdev_library, &library, &id_bytes, &other);
    let other = ElfInfo::read(&library).expect("a library").build_id.expect("a build-id");
    assert_ne!(other, id);
    rig.tree.library_dirs.insert(0, libraries);
    let log = refusal(&rig);
    assert!(log.contains(&id) && log.contains(&other) && log.contains("SPDK_DIR="), "{log}");
}
