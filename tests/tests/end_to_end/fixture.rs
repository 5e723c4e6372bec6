// SPDX-License-Identifier: BSD-3-Clause

//! What the tests share: a rig with the module built for its tree, a target, volumes, and initiators.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use spdk_sys_build::{Release, SpdkTree};
use tests::setup::{default_tree, module_for, tree_of, Memory, Reservation};
use tests::target::{Export, Rig, Server, ServerOptions, TargetError, Tool};

/// Hugepages for two tests at a time, each with a target and an initiator.
const HUGEPAGES_MIB: u64 = 3072;
/// How long a program may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
pub const MIB: u64 = 1 << 20;

/// The tree under test.
pub fn tree() -> SpdkTree {
    match std::env::var("E2E_RELEASE") {
        Ok(release) => {
            let release: Release = release.parse().expect("E2E_RELEASE is a release");
            tree_of(release).expect("an SPDK tree of that release: spdk-sys-build setup --release all")
        }
        Err(_) => default_tree().expect("an SPDK tree: spdk-sys-build setup"),
    }
}

/// The fio plugin, SPDK 20.07 and targets on several cores do not do without hugepages.
fn memory() -> Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    let memory =
        *MEMORY.get_or_init(|| Reservation::make(HUGEPAGES_MIB).expect("the kernel tells of its memory").memory);
    assert!(
        memory == Memory::Hugepages,
        "these tests need {HUGEPAGES_MIB} MiB of free hugepages, and root to reserve them"
    );
    memory
}

/// A rig on the tree under test, with the module built for it.
pub fn rig(cores: usize) -> Rig {
    let tree = tree();
    let module = module_for(&tree).expect("the module builds");
    rig_with(tree, &module, cores)
}

/// A rig on a tree, with any module.
pub fn rig_with(tree: SpdkTree, module: &Path, cores: usize) -> Rig {
    Rig::new(tree, module, memory(), cores).expect("a rig")
}

/// For tests of what SPDK 20.07 lacks: they are left out by name when it is under test, and never pass without it.
pub fn needs_newer(rig: &Rig, what: &str) {
    let version = &rig.tree.version;
    assert!(!rig.is_old(), "SPDK {version} has no {what}: leave this test out (--skip), or test another release");
}

/// A target on the first of the rig's cores.
pub fn target(rig: &Rig) -> Server {
    target_with(rig, &ServerOptions::default())
}

/// A target.
pub fn target_with(rig: &Rig, options: &ServerOptions) -> Server {
    Server::start(rig, options).expect("the target starts")
}

/// A base in the target's memory.
pub fn malloc(server: &Server, name: &str, mib: u64, block_size: u64) {
    server.call("bdev_malloc_create", malloc_params(name, mib, block_size)).expect("a malloc bdev");
}

/// Parameters for a base in memory.
pub fn malloc_params(name: &str, mib: u64, block_size: u64) -> Value {
    json!({"name": name, "num_blocks": mib * MIB / block_size, "block_size": block_size})
}

/// Calls `bdev_dedupe_create`.
pub fn create(server: &Server, params: Value) -> Result<Value, TargetError> {
    server.call("bdev_dedupe_create", params)
}

/// A base `Base` of so many MiB and a volume `D0` on it.
pub fn volume(server: &Server, mib: u64) {
    malloc(server, "Base", mib, 4096);
    create(server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("a volume");
}

/// Statistics of a volume.
pub fn statistics(server: &Server, name: &str) -> Value {
    server.call("bdev_dedupe_get_stats", json!({"name": name})).expect("statistics")[0].clone()
}

/// Waits until a bdev is there that nobody has asked for: its volume is loaded with its pool.
pub fn wait_for_bdev(server: &Server, name: &str) -> Value {
    let began = Instant::now();
    loop {
        if let Ok(bdev) = server.bdev(name) {
            return bdev;
        }
        assert!(began.elapsed() < PATIENCE, "'{name}' does not appear: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command of SPDK's rpc.py with the module's plugin, to its successful end; returns what it printed.
pub fn rpc_py(rig: &Rig, server: &Server, arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/python3")
        .arg(rig.tree.rpc_py.as_ref().expect("the tree has rpc.py"))
        .arg("-s")
        .arg(server.socket())
        .args(["--plugin", "dedupe_rpc"])
        .args(arguments)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../bdev/python"))
        .output()
        .expect("python3 starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// One counter of a volume, over all shards.
pub fn counter(server: &Server, name: &str, counter: &str) -> u64 {
    number(&statistics(server, name)["total"], counter)
}

/// A member that is a whole number.
pub fn number(object: &Value, member: &str) -> u64 {
    object[member].as_u64().unwrap_or_else(|| panic!("{member} is a number in {object:#}"))
}

/// A program on the rig's last core that makes its own bdevs, the module preloaded.
pub fn local(rig: &Rig, config: Value) -> Tool {
    Tool {
        config,
        with_module: true,
        cores: vec![*rig.cores().last().expect("a core")],
        memory_mib: 0,
        one_file: false,
        patience: PATIENCE,
    }
}

/// A program on the rig's last core that is an initiator: the exported bdev is its `Nvmen1`, and it has no module.
pub fn initiator(rig: &Rig, export: &Export) -> Tool {
    Tool { with_module: false, ..local(rig, export.initiator_config("Nvme")) }
}
