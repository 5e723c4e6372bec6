// SPDX-License-Identifier: BSD-3-Clause

//! Root trees of Debian machines side by side: two of one release that do different work, and one of the release before.

use std::path::Path;

use tests::setup::make_image;

use super::super::Outcome;
use super::apt::Apt;
use super::{DataSet, SetKind};

/// A machine.
struct Root {
    name: &'static str,
    suite: &'static str,
    packages: &'static [&'static str],
}

const WEB: &[&str] = &["openssh-server", "vim", "python3", "nginx", "php-fpm", "mariadb-server"];
const BUILD: &[&str] = &["openssh-server", "vim", "python3", "git", "gcc", "g++", "make", "gdb"];

const ROOTS: [Root; 3] = [
    Root { name: "web server", suite: "trixie", packages: WEB },
    Root { name: "build host", suite: "trixie", packages: BUILD },
    Root { name: "web server", suite: "bookworm", packages: WEB },
];

/// Fetches the packages and makes an ext4 image of each tree.
pub fn make(cache: &Path, dir: &Path, scratch: &Path) -> Outcome<DataSet> {
    let (mut images, mut names) = (Vec::new(), Vec::new());
    for (number, root) in ROOTS.iter().enumerate() {
        log::info!("fetching and unpacking Debian {} ({})", root.suite, root.name);
        let tree = scratch.join(format!("root-{number}"));
        let packages = Apt::new(cache, root.suite)?.unpack(root.packages, &tree)?;
        std::fs::write(tree.join("etc/hostname"), format!("{}-{number}\n", root.suite))?;
        let image = make_image(&tree, &dir.join(format!("root-{number}.ext4")))?;
        std::fs::remove_dir_all(&tree)?;
        names.push(format!("{} {} ({packages} packages, {} MiB)", root.suite, root.name, image.bytes >> 20));
        images.push(image.path);
    }
    Ok(DataSet { kind: SetKind::Roots, what: format!("Debian root trees as ext4: {}", names.join(", ")), images })
}
