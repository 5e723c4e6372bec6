// SPDX-License-Identifier: BSD-3-Clause

//! fio with verify: inside the process of SPDK's plugin, and from a second process over NVMe/TCP and vfio-user.

use serde_json::json;
use tests::target::{bdev_config, Export, FioJob, FioResult, ServerOptions, Tool};

use crate::fixture::{
    create, initiator, local, malloc, malloc_params, needs_newer, number, rig, statistics, target_with,
};

/// Sizes from one to many blocks; with 512-byte blocks, most begin and end inside a data block.
const MIXED_SIZES: &str = "bssplit=512/20:1536/10:4k/30:6656/10:16k/15:60k/10:256k/5";
const BLOCK_SIZES: &str = "bssplit=4k/50:8k/20:20k/10:64k/15:256k/5";

/// Writes with verify, trims with verify of what is left, and mixed reads and writes with verify.
fn jobs(sizes: &str) -> Vec<FioJob> {
    let verify = "verify=crc32c verify_fatal=1 iodepth=32";
    // fio would otherwise have a trim and the write to the same place in flight at once, in an order of nobody's
    // choice.
    vec![
        FioJob::new("random", &format!("rw=randwrite size=96m {sizes} {verify}")),
        FioJob::new("trims", &format!("stonewall rw=randtrimwrite serialize_overlap=1 size=64m {sizes} {verify}")),
        FioJob::new("mixed", &format!("stonewall rw=randrw size=96m {sizes} {verify}")),
        FioJob::new("duplicates", &format!("stonewall rw=randwrite size=64m bs=4k dedupe_percentage=70 {verify}")),
        FioJob::new(
            "threads",
            &format!("stonewall rw=randwrite size=32m {sizes} numjobs=2 offset_increment=64m {verify}"),
        ),
    ]
}

fn check(result: &FioResult) {
    assert_eq!(result.errors, 0);
    assert!(
        result.written_bytes > 200 << 20 && result.read_bytes > 200 << 20 && result.trimmed_bytes > 0,
        "{result:?}"
    );
}

fn fio(tool: &Tool, rig: &tests::target::Rig, bdev: &str, sizes: &str) {
    check(&tool.fio(rig, bdev, &jobs(sizes)).expect("fio finds what it wrote"));
}

/// vdo-91, partly: 512-byte granularity, random, with reads between the writes, in a process without reactors.
#[test]
fn inside_the_plugins_process() {
    let rig = rig(1);
    for (base, exposed, sizes) in [(4096, 512, MIXED_SIZES), (512, 4096, BLOCK_SIZES)] {
        let config = bdev_config(&[
            ("bdev_malloc_create", malloc_params("Base", 256, base)),
            ("bdev_dedupe_create", json!({"base_bdev_name": "Base", "name": "D0", "block_size": exposed})),
        ]);
        fio(&local(&rig, config), &rig, "D0", sizes);
    }
}

/// vdo-90, partly: trims of single pieces and of many blocks between writes, checked by what is read afterwards.
#[test]
fn over_nvme_tcp_from_a_second_process() {
    let rig = rig(2);
    let server = target_with(&rig, &ServerOptions::default());
    for exposed in [512, 4096] {
        let (base, name) = (format!("Base{exposed}"), format!("D{exposed}"));
        malloc(&server, &base, 256, 4096);
        create(&server, json!({"base_bdev_name": base, "name": name, "block_size": exposed})).expect("created");
        let export = Export::tcp(&server, &name).expect("exported");
        let sizes = if exposed == 512 { MIXED_SIZES } else { BLOCK_SIZES };
        fio(&initiator(&rig, &export), &rig, "Nvmen1", sizes);
        assert_eq!(number(&statistics(&server, &name)["total"], "bios_failed"), 0);
    }
}

#[test]
fn over_vfio_user_from_a_second_process() {
    let rig = rig(2);
    needs_newer(&rig, "vfio-user");
    let server = target_with(&rig, &ServerOptions { nvmf_tgt: true, ..ServerOptions::default() });
    malloc(&server, "Base", 256, 4096);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0", "block_size": 512})).expect("created");
    let export = Export::vfio_user(&rig, &server, "D0").expect("exported");
    let tool = Tool { one_file: true, memory_mib: 512, ..initiator(&rig, &export) };
    fio(&tool, &rig, "Nvmen1", MIXED_SIZES);
    assert_eq!(number(&statistics(&server, "D0")["total"], "bios_failed"), 0);
}
