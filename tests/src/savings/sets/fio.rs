// SPDX-License-Identifier: BSD-3-Clause

//! What fio makes up: half of the blocks are duplicates, and each can be compressed by 65%, so that two fit into a block. (At 50%
//! they would be just too large for that.)

use std::path::Path;
use std::process::Command;

use spdk_sys_build::SpdkTree;

use super::super::Outcome;
use super::{DataSet, SetKind};

const MIB: u64 = 768;
const DUPLICATE_PERCENT: u32 = 50;
const COMPRESS_PERCENT: u32 = 65;

/// Has fio write the file.
pub fn make(dir: &Path, tree: &SpdkTree) -> Outcome<DataSet> {
    log::info!("fio writes its data");
    let path = dir.join("fio.data");
    let program = tree.fio.clone().unwrap_or_else(|| "fio".into());
    let output = Command::new(&program)
        .args(["--name=savings", "--ioengine=psync", "--rw=write", "--bs=4k", "--randseed=5"])
        .arg(format!("--filename={}", path.display()))
        .arg(format!("--size={MIB}m"))
        .arg(format!("--dedupe_percentage={DUPLICATE_PERCENT}"))
        .arg(format!("--buffer_compress_percentage={COMPRESS_PERCENT}"))
        .current_dir(dir)
        .output()
        .map_err(|error| format!("starting {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("fio ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let what =
        format!("fio, {MIB} MiB, dedupe_percentage={DUPLICATE_PERCENT}, buffer_compress_percentage={COMPRESS_PERCENT}");
    Ok(DataSet { kind: SetKind::Fio, what, images: vec![path] })
}
