// SPDX-License-Identifier: BSD-3-Clause

//! Two adjacent versions of one source package, as the demo has them, each unpacked into an ext4 image.

use std::path::Path;

use spdk_sys_build::{Cache, SpdkTree};
use tests::setup::{make_image, two_versions};

use super::super::Outcome;
use super::{DataSet, SetKind};

/// Fetches the tarballs (the demo's cache is used) and makes the images.
pub fn make(dir: &Path, scratch: &Path, tree: &SpdkTree) -> Outcome<DataSet> {
    let cache = Cache::of_user()?.dir().join("demo");
    std::fs::create_dir_all(&cache)?;
    let versions = two_versions(&cache, scratch, &tree.root)?;
    let mut images = Vec::new();
    for (number, from) in versions.dirs.iter().enumerate() {
        images.push(make_image(from, &dir.join(format!("version-{number}.ext4")))?.path);
    }
    let [older, newer] = &versions.names;
    Ok(DataSet { kind: SetKind::Sources, what: format!("{}, {older} and {newer}, as ext4", versions.what), images })
}
