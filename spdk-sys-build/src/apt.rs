// SPDX-License-Identifier: BSD-3-Clause

//! Downloads upstream tarballs of Debian's source packages with apt, without touching the system's apt lists.
//!
//! apt checks the index's signature. In addition, this module compares the tarball's SHA-256 with the index's, each
//! time before it uses the tarball. A tarball that is in the cache (with its record, `PACKAGE-SUITES.record`) is used
//! without asking the archive.

use std::path::{Path, PathBuf};

use crate::cache::{remove, write_durably, Cache};
use crate::error::Error;
use crate::progress::Progress;
use crate::run;
use crate::showsrc::{newest_tarball, Tarball};

const ARCHIVE: &str = "http://deb.debian.org/debian";
/// Present on Debian. On other systems apt trusts Debian's keys only from here (package debian-archive-keyring).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Directory (and lock) in the cache for tarballs and apt's lists.
const DIR: &str = "archives";

/// A tarball on this machine, checked.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub tarball: Tarball,
    pub path: PathBuf,
    /// For instance `ceph 20.2.4+ds-2 (forky, sid)`.
    pub origin: String,
}

/// Fetches the newest upstream tarball of a source package in the suites, unless one from these suites is in the cache.
pub(crate) fn fetch(cache: &Cache, package: &str, suites: &[&str], progress: &Progress) -> Result<Fetched, Error> {
    let _lock = cache.lock(DIR, progress)?;
    let archive = Archive::new(cache, package, suites)?;
    if let Some(tarball) = archive.at_hand()? {
        return Ok(archive.fetched(tarball));
    }
    archive.update(progress)?;
    let tarball = archive.newest()?;
    progress.note(&format!(
        "Debian's archive has {package} {} in {}: {} ({} MB)",
        tarball.version,
        suites.join(", "),
        tarball.file,
        tarball.size_bytes / 1_000_000
    ));
    archive.download(&tarball, progress)?;
    write_durably(&archive.record(), tarball.to_record().as_bytes())?;
    Ok(archive.fetched(tarball))
}

struct Archive<'a> {
    dir: PathBuf,
    package: &'a str,
    suites: &'a [&'a str],
    options: Vec<String>,
}

/// Options that make apt read source packages of `suites` from Debian's archive without touching the system's lists:
/// apt keeps its files in `dir`, under names made from `key`.
///
/// # Errors
/// The directory cannot be written.
pub fn source_options(dir: &Path, key: &str, suites: &[&str]) -> Result<Vec<String>, Error> {
    let lists = dir.join(format!("lists-{key}"));
    let apt_cache = dir.join("apt-cache");
    for dir in [lists.join("partial"), apt_cache.join("archives/partial")] {
        std::fs::create_dir_all(&dir).map_err(Error::io("creating", &dir))?;
    }
    let source_list = dir.join(format!("{key}.list"));
    let signed_by = if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let lines: String = suites.iter().map(|suite| format!("deb-src {signed_by}{ARCHIVE} {suite} main\n")).collect();
    write_durably(&source_list, lines.as_bytes())?;
    let settings = [
        format!("Dir::Etc::sourcelist={}", source_list.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={}", lists.display()),
        format!("Dir::Cache={}", apt_cache.display()),
        // An unreadable suite is an error: otherwise the package would seem to be gone from the archive.
        "APT::Update::Error-Mode=any".to_owned(),
        // As root, apt would download as user _apt, who cannot write here.
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=3".to_owned(),
    ];
    Ok(settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect())
}

impl<'a> Archive<'a> {
    fn new(cache: &Cache, package: &'a str, suites: &'a [&'a str]) -> Result<Self, Error> {
        let dir = cache.dir().join(DIR);
        let options = source_options(&dir, &suites.join("-"), suites)?;
        Ok(Self { dir, package, suites, options })
    }

    fn record(&self) -> PathBuf {
        self.dir.join(format!("{}-{}.record", self.package, self.suites.join("-")))
    }

    fn log(&self) -> PathBuf {
        self.dir.join("apt.log")
    }

    fn fetched(&self, tarball: Tarball) -> Fetched {
        Fetched {
            path: self.dir.join(&tarball.file),
            origin: format!("{} {} ({})", self.package, tarball.version, self.suites.join(", ")),
            tarball,
        }
    }

    /// The recorded tarball, if it is here and complete.
    fn at_hand(&self) -> Result<Option<Tarball>, Error> {
        let Some(tarball) = std::fs::read_to_string(self.record()).ok().and_then(|line| Tarball::from_record(&line))
        else {
            return Ok(None);
        };
        let path = self.dir.join(&tarball.file);
        if path.is_file() && sha256(&path)? == tarball.sha256 {
            return Ok(Some(tarball));
        }
        Ok(None)
    }

    fn arguments<'b>(&'b self, more: &[&'b str]) -> Vec<&'b str> {
        self.options.iter().map(String::as_str).chain(more.iter().copied()).collect()
    }

    fn update(&self, progress: &Progress) -> Result<(), Error> {
        let mut task = progress.task(&format!("reading Debian's source index ({})", self.suites.join(", ")));
        let arguments = self.arguments(&["update"]);
        run::logged("apt-get", &arguments, &self.dir, &self.log(), |_| {
            task.update(|| "...".to_owned());
        })?;
        task.done("done");
        Ok(())
    }

    fn newest(&self) -> Result<Tarball, Error> {
        let missing = || Error::NotInArchive {
            what: format!("source package {} with an upstream tarball", self.package),
            suites: self.suites.join(", "),
        };
        let showsrc = match run::output("apt-cache", &self.arguments(&["showsrc", self.package]), &self.dir) {
            Ok(text) => text,
            Err(Error::Command { tail, .. })
                if tail.contains("Unable to locate") || tail.contains("No packages found") =>
            {
                return Err(missing());
            }
            Err(error) => return Err(error),
        };
        newest_tarball(&showsrc, self.package).ok_or_else(missing)
    }

    fn download(&self, tarball: &Tarball, progress: &Progress) -> Result<(), Error> {
        let path = self.dir.join(&tarball.file);
        // apt resumes interrupted downloads; a file of full length must have the right hash, or is removed.
        let left = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if left >= tarball.size_bytes && sha256(&path)? != tarball.sha256 {
            remove(&path)?;
        }
        let mut task = progress.task(&format!("downloading {}", tarball.file));
        let wanted = format!("{}={}", self.package, tarball.version);
        let arguments = self.arguments(&["source", "--download-only", "--tar-only", &wanted]);
        let total = tarball.size_bytes.max(1);
        run::logged("apt-get", &arguments, &self.dir, &self.log(), |_| {
            task.update(|| {
                let have = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                format!("{}% of {} MB", have * 100 / total, total / 1_000_000)
            });
        })?;
        let found = sha256(&path)?;
        if found != tarball.sha256 {
            remove(&path)?;
            return Err(Error::Checksum { file: path, wanted: tarball.sha256.clone(), found });
        }
        task.done("downloaded, SHA-256 as in the signed index");
        Ok(())
    }
}

/// The file's SHA-256 in lower-case hex, by sha256sum(1): coreutils are always there, and a digest crate is not worth
/// its build time.
fn sha256(path: &Path) -> Result<String, Error> {
    let dir = path.parent().unwrap_or(path);
    let text = run::output("sha256sum", &["--", &path.to_string_lossy()], dir)?;
    Ok(text.trim_start_matches('\\').chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITES: &[&str] = &["forky", "sid"];

    fn record_of(archive: &Archive<'_>, sha256: String) {
        let tarball =
            Tarball { version: "1.0-1".to_owned(), file: "ceph_1.0.orig.tar.xz".to_owned(), size_bytes: 6, sha256 };
        std::fs::write(archive.record(), tarball.to_record()).expect("write");
    }

    #[test]
    fn a_tarball_at_hand_is_used_only_if_its_hash_is_right() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let archive = Archive::new(&cache, "ceph", SUITES).expect("directories");
        assert_eq!(archive.at_hand().expect("reads"), None);
        let path = archive.dir.join("ceph_1.0.orig.tar.xz");
        std::fs::write(&path, "hello\n").expect("write");
        record_of(&archive, "0".repeat(64));
        assert_eq!(archive.at_hand().expect("reads"), None);
        record_of(&archive, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03".to_owned());
        assert!(archive.at_hand().expect("reads").is_some());
        std::fs::write(&path, "hell").expect("write");
        assert_eq!(archive.at_hand().expect("reads"), None);
    }

    #[test]
    fn the_systems_lists_are_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let archive = Archive::new(&cache, "ceph", SUITES).expect("directories");
        let options = archive.options.join(" ");
        let own = dir.path().display();
        assert!(options.contains(&format!("Dir::Etc::sourcelist={own}/archives/forky-sid.list")), "{options}");
        assert!(options.contains("Dir::Etc::sourceparts=/dev/null"), "{options}");
        assert!(options.contains(&format!("Dir::State::lists={own}/archives/lists-forky-sid")), "{options}");
    }
}
