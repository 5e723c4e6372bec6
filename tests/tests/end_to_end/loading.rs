// SPDX-License-Identifier: BSD-3-Clause

//! The module in other programs, and in an SPDK that it was not built for.

use std::time::Duration;

use serde_json::json;
use spdk_sys_build::Release;
use tests::setup::{module_for, tree_of};
use tests::target::{Rig, Server, ServerOptions};

use crate::fixture::{rig, rig_with, target_with, volume};

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

#[test]
fn a_module_refuses_an_spdk_that_it_was_not_built_for() {
    let tree = |release| tree_of(release).expect("both trees: spdk-sys-build setup --release all");
    let [new, old] = Release::ALL.map(tree);
    for (here, there) in [(&new, &old), (&old, &new)] {
        // `here`'s target with `there`'s module.
        let module = module_for(there).expect("the module builds");
        let soname = &there.bdev_soname;
        let mixed = rig_with(here.clone(), &module, 1);
        let log = refusal(&mixed);
        assert!(log.contains(soname.as_str()), "the message names {soname}: {log}");
    }
}
