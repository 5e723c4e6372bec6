// SPDX-License-Identifier: BSD-3-Clause

//! The file under the aio bdev, and what is known of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bit of `O_DIRECT` among a descriptor's flags.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
const O_DIRECT: u32 = 0o40000;
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
const O_DIRECT: u32 = 0o200_000;

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub struct BackingFile {
    path: PathBuf,
}

impl BackingFile {
    /// A sparse file of `bytes` in the directory `dir`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(dir: &Path, bytes: u64) -> std::io::Result<BackingFile> {
        fs::create_dir_all(dir)?;
        let path = fs::canonicalize(dir)?.join(format!("bench-pool-{}.img", std::process::id()));
        let backing = BackingFile { path };
        fs::File::create_new(&backing.path)?.set_len(bytes)?;
        Ok(backing)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of it for people: its filesystem, and how this process, which has it open by now, uses it.
    #[must_use]
    pub fn description(&self) -> String {
        let direct = match self.is_direct() {
            Some(true) => "O_DIRECT",
            Some(false) => "through the page cache",
            None => "O_DIRECT unknown",
        };
        format!("file: {}, {direct}", self.filesystem().as_deref().unwrap_or("unknown filesystem"))
    }

    /// The type of its filesystem, and the device of that: `ext4 on /dev/vda`.
    fn filesystem(&self) -> Option<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let device = fs::metadata(&self.path).ok()?.dev();
        filesystem_of(&mounts, (major(device), minor(device)))
    }

    /// Whether this process, which has it open by now, goes past the page cache.
    fn is_direct(&self) -> Option<bool> {
        let open = fs::read_dir("/proc/self/fd").ok()?.flatten();
        let ours = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|target| target == self.path);
        let number = open.into_iter().find(ours)?.file_name();
        let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(number)).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        Some(u32::from_str_radix(flags.trim(), 8).ok()? & O_DIRECT != 0)
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.path);
    }
}

/// Linux's encoding of device numbers.
fn major(device: u64) -> u64 {
    device >> 8 & 0xfff | device >> 32 & 0xffff_f000
}

fn minor(device: u64) -> u64 {
    device & 0xff | device >> 12 & 0xffff_ff00
}

/// Finds a device in `/proc/self/mountinfo`: `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/vda rw`.
fn filesystem_of(mounts: &str, (major, minor): (u64, u64)) -> Option<String> {
    let wanted = format!("{major}:{minor}");
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(wanted.as_str()))?;
    let mut words = line.split_once(" - ")?.1.split(' ');
    Some(format!("{} on {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_as_large_as_asked_and_goes_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = BackingFile::create(dir.path(), 1 << 30).expect("made");
        let path = file.path().to_owned();
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 1 << 30);
        assert!(file.filesystem().is_some());
        assert_eq!(file.is_direct(), None, "nobody has it open");
        let _open = fs::File::open(&path).expect("opened");
        assert_eq!(file.is_direct(), Some(false));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn filesystems_are_found_by_device() {
        let mounts = "1 0 0:5 / /proc rw - proc proc rw\n36 35 98:7 / /mnt rw,noatime master:1 - ext4 /dev/vda rw\n";
        assert_eq!(filesystem_of(mounts, (98, 7)).as_deref(), Some("ext4 on /dev/vda"));
        assert_eq!(filesystem_of(mounts, (98, 8)), None);
    }
}
