// SPDX-License-Identifier: BSD-3-Clause

//! The choice of the SPDK, in the order stated in the crate's documentation.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{remove, write_durably, Cache};
use crate::error::Error;
use crate::make;
use crate::progress::Progress;
use crate::release::Release;
use crate::tree::{Origin, SpdkTree};

/// Exists in the cache after the archive was found not to carry the default release, until `setup` finds that it does.
const FALLBACK_MARK: &str = "default-release-unavailable";

/// The release requested with `SPDK_RELEASE`, if that is set.
///
/// # Errors
/// The value is not a known release.
pub fn requested_release() -> Result<Option<Release>, Error> {
    match std::env::var("SPDK_RELEASE") {
        Ok(name) if !name.trim().is_empty() => name.parse().map(Some),
        _ => Ok(None),
    }
}

/// Finds a built SPDK; builds nothing.
///
/// # Errors
/// [`Error::NotATree`] if `SPDK_DIR` names no built shared tree, [`Error::NotFound`] if there is none anywhere.
pub fn locate() -> Result<SpdkTree, Error> {
    let cache = Cache::of_user()?;
    let requested = requested_release()?;
    find(&cache, requested)?
        .ok_or_else(|| Error::NotFound { release: requested.unwrap_or(Release::V2601), cache: cache.dir().to_owned() })
}

/// Finds a built SPDK, or obtains and builds one (minutes), with progress on stderr. Without `SPDK_RELEASE` that is
/// 26.01, or 20.07 if the archive no longer carries 26.01.
///
/// # Errors
/// As for [`locate`] and [`obtain`].
pub fn locate_or_obtain() -> Result<SpdkTree, Error> {
    let cache = Cache::of_user()?;
    let requested = requested_release()?;
    if let Some(tree) = find(&cache, requested)? {
        return Ok(tree);
    }
    let progress = Progress::stderr();
    match requested {
        Some(release) => obtain(release, &progress),
        None => set_up_default(&progress),
    }
}

/// The finished tree of a release in the cache, regardless of `SPDK_DIR` and `SPDK_RELEASE`.
///
/// # Errors
/// [`Error::NotFound`] if there is none.
pub fn locate_release(release: Release) -> Result<SpdkTree, Error> {
    let cache = Cache::of_user()?;
    make::finished(&cache, release)?.ok_or_else(|| Error::NotFound { release, cache: cache.dir().to_owned() })
}

/// The tree of a release in the cache, downloaded and built if it is not there.
///
/// # Errors
/// [`Error::MissingPackages`], [`Error::NotInArchive`], or a failure of download or build.
pub fn obtain(release: Release, progress: &Progress) -> Result<SpdkTree, Error> {
    make::ensure(&Cache::of_user()?, release, progress)
}

/// Unpacks a release's headers into `prefix/include`, without those that its build would generate. Downloads the
/// archive's package unless that is in the cache; builds nothing.
///
/// # Errors
/// [`Error::NotInArchive`], or a failure of the download.
pub fn unpack_headers(release: Release, prefix: &Path, progress: &Progress) -> Result<(), Error> {
    make::headers(&Cache::of_user()?, release, prefix, progress)
}

/// [`obtain`] of 26.01, or of 20.07 if the archive no longer carries 26.01; this fallback is reported and remembered.
///
/// # Errors
/// As for [`obtain`].
pub fn set_up_default(progress: &Progress) -> Result<SpdkTree, Error> {
    let cache = Cache::of_user()?;
    let mark = cache.dir().join(FALLBACK_MARK);
    match make::ensure(&cache, Release::V2601, progress) {
        Err(error @ Error::NotInArchive { .. }) => {
            progress.note(&format!("{error}: falling back to SPDK {}", Release::V2007));
            let tree = make::ensure(&cache, Release::V2007, progress)?;
            write_durably(&mark, format!("{error}\n").as_bytes())?;
            Ok(tree)
        }
        Ok(tree) => {
            remove(&mark)?;
            Ok(tree)
        }
        Err(error) => Err(error),
    }
}

fn find(cache: &Cache, requested: Option<Release>) -> Result<Option<SpdkTree>, Error> {
    if let Some(dir) = std::env::var_os("SPDK_DIR").filter(|dir| !dir.is_empty()) {
        return SpdkTree::from_dir(Path::new(&dir)).map(Some);
    }
    if let Some(release) = requested {
        return make::finished(cache, release);
    }
    if let Some(tree) = from_pkg_config() {
        return Ok(Some(tree));
    }
    if let Some(tree) = make::finished(cache, Release::V2601)? {
        return Ok(Some(tree));
    }
    if cache.dir().join(FALLBACK_MARK).exists() {
        return make::finished(cache, Release::V2007);
    }
    Ok(None)
}

/// The SPDK that pkg-config knows, if it is usable. One with archives only is not: a module must be loadable into its
/// programs.
fn from_pkg_config() -> Option<SpdkTree> {
    let include_dirs = pkg_config_dirs("--cflags-only-I", "-I")?;
    let library_dirs = pkg_config_dirs("--libs-only-L", "-L")?;
    let ancestor =
        |is_root: &dyn Fn(&Path) -> bool| library_dirs.iter().find_map(|dir| dir.ancestors().find(|dir| is_root(dir)));
    // A built tree's own .pc files name build/lib and build/include in it.
    let tree = match ancestor(&|dir| dir.join("mk/spdk.common.mk").is_file()) {
        Some(root) => SpdkTree::from_dir(root),
        None => {
            let root = ancestor(&|dir| dir.join("include/spdk/bdev_module.h").is_file())?;
            SpdkTree::from_dirs(root, include_dirs, library_dirs.clone())
        }
    };
    let mut tree = tree.ok()?;
    tree.origin = Origin::PkgConfig;
    Some(tree)
}

fn pkg_config_dirs(question: &str, prefix: &str) -> Option<Vec<PathBuf>> {
    let result = Command::new("pkg-config")
        .args([question, "spdk_bdev"])
        // Otherwise the answer leaves out the system's own directories.
        .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
        .output()
        .ok()
        .filter(|result| result.status.success())?;
    let text = String::from_utf8(result.stdout).ok()?;
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in text.split_whitespace().filter_map(|word| word.strip_prefix(prefix)).map(PathBuf::from) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Some(dirs)
}
