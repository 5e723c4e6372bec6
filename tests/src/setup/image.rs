// SPDX-License-Identifier: BSD-3-Clause

//! File system images made of a directory, without mounting anything: `mke2fs -d`.
//!
//! ext4 puts a file's data into whole 4 KiB blocks, so that equal files of two images are equal blocks, wherever they
//! lie: what deduplication meets in practice.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{io, run, SetupError};

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;

/// An image file.
#[derive(Debug, Clone)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// Its size, whole MiB.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
}

/// What a tree needs in a file system.
#[derive(Debug, Default)]
struct Contents {
    blocks: u64,
    files: u64,
    inodes: u64,
}

/// Makes an ext4 image of all that is in `dir`.
///
/// # Errors
/// The directory cannot be read, or mke2fs (package e2fsprogs) fails.
pub fn make_image(dir: &Path, path: &Path) -> Result<Image, SetupError> {
    let mut contents = Contents::default();
    measure(dir, &mut contents)?;
    // Inode tables, bitmaps, extent blocks, and room as a file system in use has it.
    let blocks = contents.blocks + contents.inodes * 256 / BLOCK + contents.blocks / 10 + 1024;
    let mib = (blocks * BLOCK).div_ceil(MIB);
    // Made anew: what an old image had between its files would stay.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("removing", path)(error));
        }
        _ => {}
    }
    let inodes = (contents.inodes + 64).to_string();
    let mut command = Command::new(mke2fs()?);
    command
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal", "-N", &inodes, "-d"])
        .arg(dir)
        .arg(path)
        .arg(format!("{mib}m"));
    run(&mut command)?;
    Ok(Image { path: path.to_owned(), bytes: mib * MIB, files: contents.files })
}

/// mke2fs; as root, its package is installed if it is not there (containers leave it out).
fn mke2fs() -> Result<&'static Path, SetupError> {
    let found = || ["/usr/sbin/mke2fs", "/sbin/mke2fs"].map(Path::new).into_iter().find(|path| path.exists());
    if found().is_none() {
        run(Command::new("apt-get").args(["install", "--yes", "--no-install-recommends", "e2fsprogs"]))?;
    }
    Ok(found().unwrap_or(Path::new("mke2fs")))
}

fn measure(dir: &Path, contents: &mut Contents) -> Result<(), SetupError> {
    contents.inodes += 1;
    contents.blocks += 1;
    for entry in std::fs::read_dir(dir).map_err(io("reading", dir))? {
        let entry = entry.map_err(io("reading", dir))?;
        let metadata = entry.metadata().map_err(io("reading", &entry.path()))?;
        if metadata.is_dir() {
            measure(&entry.path(), contents)?;
        } else {
            contents.files += 1;
            contents.inodes += 1;
            contents.blocks += metadata.len().div_ceil(BLOCK);
        }
    }
    Ok(())
}
