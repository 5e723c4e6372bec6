// SPDX-License-Identifier: BSD-3-Clause

//! Real data: two versions of a Debian source package, unpacked. Without a network, the SPDK tree at hand and a
//! changed copy of it.
//!
//! The package is fetched by apt, which checks the archive's signature and the file's hash, through a sources list of
//! our own: the system's lists stay as they are. What was fetched stays in the cache.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{io, run, SetupError};

const SUITES: [&str; 3] = ["trixie", "forky", "sid"];
/// Packages that are maintained in several suites at once, of some hundred megabytes unpacked; the first with two
/// versions is taken.
const PACKAGES: [&str; 5] = ["python3.13", "python3.14", "openssl", "git", "bash"];
/// Parts of an SPDK source tree that hold text alone.
const SPDK_PARTS: [&str; 10] =
    ["lib", "module", "include", "app", "examples", "test", "doc", "scripts", "python", "dpdk/drivers"];
/// Of the copy's files, one in so many is changed.
const CHANGED_ONE_IN: u64 = 8;

/// Two unpacked versions of something.
#[derive(Debug, Clone)]
pub struct Versions {
    /// What it is, for people.
    pub what: String,
    /// A name for each version.
    pub names: [String; 2],
    /// Where each is.
    pub dirs: [PathBuf; 2],
}

/// Two versions of a Debian source package, fetched into `cache` unless they are there, and unpacked below `scratch`;
/// if the archive cannot be reached, the SPDK tree `spdk` and a changed copy.
///
/// # Errors
/// A file cannot be written, or tar fails.
pub fn two_versions(cache: &Path, scratch: &Path, spdk: &Path) -> Result<Versions, SetupError> {
    match from_archive(cache, scratch) {
        Ok(versions) => Ok(versions),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            log::warn!("no source package ({reason}): using the SPDK tree and a changed copy of it");
            from_spdk(spdk, scratch)
        }
    }
}

fn from_archive(cache: &Path, scratch: &Path) -> Result<Versions, SetupError> {
    let tarballs = match at_hand(cache) {
        Some(tarballs) => tarballs,
        None => fetch(cache)?,
    };
    let mut dirs = Vec::new();
    for (index, tarball) in tarballs.iter().enumerate() {
        let dir = scratch.join(format!("version-{}", index + 1));
        std::fs::create_dir_all(&dir).map_err(io("creating", &dir))?;
        run(Command::new("tar")
            .args(["--no-same-owner", "--strip-components=1", "-C"])
            .arg(&dir)
            .arg("-xf")
            .arg(cache.join(&tarball.file)))?;
        dirs.push(dir);
    }
    let [first, second] = &tarballs;
    Ok(Versions {
        what: format!("Debian source package {}", first.package),
        names: [first.upstream().to_owned(), second.upstream().to_owned()],
        dirs: [dirs[0].clone(), dirs[1].clone()],
    })
}

/// An upstream tarball of a source package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Tarball {
    package: String,
    version: String,
    file: String,
    bytes: u64,
}

impl Tarball {
    /// `3.13.5` of `3.13.5-2+deb13u5`.
    fn upstream(&self) -> &str {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
    }
}

fn record(cache: &Path) -> PathBuf {
    cache.join("tarballs")
}

/// What an earlier run fetched, if it is still whole.
fn at_hand(cache: &Path) -> Option<[Tarball; 2]> {
    let text = std::fs::read_to_string(record(cache)).ok()?;
    let mut tarballs = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().map(str::to_owned);
        let tarball = Tarball { package: word()?, version: word()?, file: word()?, bytes: word()?.parse().ok()? };
        let length = std::fs::metadata(cache.join(&tarball.file)).ok()?.len();
        (length == tarball.bytes).then_some(tarball)
    });
    Some([tarballs.next()?, tarballs.next()?])
}

fn fetch(cache: &Path) -> Result<[Tarball; 2], SetupError> {
    let apt = Apt { cache, options: spdk_sys_build::source_options(cache, "demo", &SUITES)? };
    log::info!("reading Debian's source index ({})", SUITES.join(", "));
    apt.run("apt-get", &["update"])?;
    for package in PACKAGES {
        // apt-cache fails for a package that it does not know.
        let Ok(showsrc) = apt.run("apt-cache", &["showsrc", package]) else { continue };
        if let Some(pair) = apt.download_two(&newest_first(package, &showsrc)) {
            std::fs::write(record(cache), lines(&pair)).map_err(io("writing", &record(cache)))?;
            return Ok(pair);
        }
    }
    Err(SetupError::NoTwoVersions(PACKAGES.join(", ")))
}

fn lines(tarballs: &[Tarball]) -> String {
    let mut lines = String::new();
    for Tarball { package, version, file, bytes } in tarballs {
        // A write to a string cannot fail.
        let _ = writeln!(lines, "{package} {version} {file} {bytes}");
    }
    lines
}

/// apt with its own lists and its own cache.
struct Apt<'a> {
    cache: &'a Path,
    options: Vec<String>,
}

impl Apt<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, SetupError> {
        let output = run(Command::new(program).args(&self.options).args(arguments).current_dir(self.cache))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The first two that the archive has, older first. An index may name what a mirror no longer has, or not yet.
    fn download_two(&self, tarballs: &[Tarball]) -> Option<[Tarball; 2]> {
        if tarballs.len() < 2 {
            return None;
        }
        let mut newer = None;
        for tarball in tarballs {
            log::info!("downloading {} ({} MB)", tarball.file, tarball.bytes / 1_000_000);
            let wanted = format!("{}={}", tarball.package, tarball.version);
            if self.run("apt-get", &["source", "--download-only", "--tar-only", &wanted]).is_err() {
                log::warn!("the archive's mirror does not have {}", tarball.file);
                continue;
            }
            match newer.take() {
                None => newer = Some(tarball.clone()),
                Some(newer) => return Some([tarball.clone(), newer]),
            }
        }
        None
    }
}

/// The upstream versions that `apt-cache showsrc` tells of.
fn newest_first(package: &str, showsrc: &str) -> Vec<Tarball> {
    let mut by_upstream = BTreeMap::new();
    for paragraph in showsrc.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        let Some(version) = field("Version: ") else { continue };
        if field("Package: ") != Some(package) {
            continue;
        }
        let Some((bytes, file)) = upstream_tarball(paragraph) else { continue };
        let tarball =
            Tarball { package: package.to_owned(), version: version.to_owned(), file: file.to_owned(), bytes };
        by_upstream.insert(numbers(tarball.upstream()), tarball);
    }
    by_upstream.into_values().rev().collect()
}

/// Size and name, of a line ` HASH SIZE NAME.orig.tar.xz`.
fn upstream_tarball(paragraph: &str) -> Option<(u64, &str)> {
    paragraph.lines().find_map(|line| {
        let mut words = line.strip_prefix(' ')?.split(' ');
        let (_hash, bytes, file) = (words.next()?, words.next()?, words.next()?);
        let (_, kind) = file.rsplit_once(".orig.tar.")?;
        matches!(kind, "xz" | "gz" | "bz2").then_some((bytes.parse().ok()?, file))
    })
}

/// A version's numbers, to order versions of one package by: enough for the packages above.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(|character: char| !character.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

fn from_spdk(spdk: &Path, scratch: &Path) -> Result<Versions, SetupError> {
    let dirs = [scratch.join("version-1"), scratch.join("version-2")];
    let mut seen = 0;
    for part in SPDK_PARTS {
        let from = spdk.join(part);
        if from.is_dir() {
            copy_tree(&from, [&dirs[0].join(part), &dirs[1].join(part)], &mut seen)?;
        }
    }
    Ok(Versions {
        what: "the SPDK source tree".to_owned(),
        names: ["as it is".to_owned(), "with some files changed".to_owned()],
        dirs,
    })
}

/// Copies regular files into both directories; into the second, some get a line in front.
fn copy_tree(from: &Path, to: [&Path; 2], seen: &mut u64) -> Result<(), SetupError> {
    for dir in to {
        std::fs::create_dir_all(dir).map_err(io("creating", dir))?;
    }
    for entry in std::fs::read_dir(from).map_err(io("reading", from))? {
        let entry = entry.map_err(io("reading", from))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(io("reading", &path))?;
        let [first, second] = to.map(|dir| dir.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&path, [&first, &second], seen)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).map_err(io("reading", &path))?;
            std::fs::write(&first, &bytes).map_err(io("writing", &first))?;
            *seen += 1;
            let changed =
                if seen.is_multiple_of(CHANGED_ONE_IN) { [b"changed\n".as_slice(), &bytes].concat() } else { bytes };
            std::fs::write(&second, changed).map_err(io("writing", &second))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWSRC: &str = "Package: p\nVersion: 1:1.9.2-1\nChecksums-Sha256:\n aa 17 p_1.9.2.orig.tar.xz\n bb 18 p_1.9.2.orig.tar.xz.asc\n\n\
        Package: p\nVersion: 1.10.0-1+deb13u1\n aa 19 p_1.10.0.orig.tar.gz\n\n\
        Package: p\nVersion: 1.10.0-2\n aa 19 p_1.10.0.orig.tar.gz\n\n\
        Package: q\nVersion: 7-1\n aa 19 q_7.orig.tar.gz\n\nPackage: p\nVersion: 1.2-1\n aa 9 p_1.2.orig.tar.gz\n";

    #[test]
    fn upstream_versions_are_ordered_as_numbers() {
        let found = newest_first("p", SHOWSRC);
        let shown: Vec<_> = found.iter().map(|found| (found.upstream(), found.version.as_str(), found.bytes)).collect();
        assert_eq!(shown, [("1.10.0", "1.10.0-2", 19), ("1.9.2", "1:1.9.2-1", 17), ("1.2", "1.2-1", 9)]);
        assert_eq!(found[1].file, "p_1.9.2.orig.tar.xz");
        assert_eq!(newest_first("p", ""), []);
    }

    #[test]
    fn tarballs_at_hand_must_be_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(at_hand(dir.path()), None);
        std::fs::write(record(dir.path()), "p 1-1 p_1.tar 3\np 2-1 p_2.tar 4\n").expect("write");
        std::fs::write(dir.path().join("p_1.tar"), "abc").expect("write");
        std::fs::write(dir.path().join("p_2.tar"), "abc").expect("write");
        assert_eq!(at_hand(dir.path()), None);
        std::fs::write(dir.path().join("p_2.tar"), "abcd").expect("write");
        let [first, second] = at_hand(dir.path()).expect("both");
        assert_eq!((first.upstream(), second.upstream()), ("1", "2"));
    }

    #[test]
    fn without_a_network_a_changed_copy_serves() {
        let dir = tempfile::tempdir().expect("a directory");
        let spdk = dir.path().join("spdk");
        std::fs::create_dir_all(spdk.join("lib/x")).expect("create");
        for file in 0..20 {
            std::fs::write(spdk.join(format!("lib/x/{file}.c")), format!("{file}")).expect("write");
        }
        let versions = from_spdk(&spdk, dir.path()).expect("copies");
        let differing = (0..20).filter(|file| {
            let read = |dir: &Path| std::fs::read(dir.join(format!("lib/x/{file}.c"))).expect("copied");
            read(&versions.dirs[0]) != read(&versions.dirs[1])
        });
        assert_eq!(differing.count(), 2);
    }
}
