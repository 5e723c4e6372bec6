// SPDX-License-Identifier: BSD-3-Clause

//! Builds fio and SPDK from Debian's source tarballs, in the cache.
//!
//! fio comes first: SPDK's plugin is compiled against fio's headers and carries fio's ABI number. Both are built in
//! place (see the crate's documentation).

use std::path::{Path, PathBuf};

use crate::apt::{self, Fetched};
use crate::cache::{Artifact, Cache};
use crate::error::Error;
use crate::progress::{clock, Progress, Task};
use crate::release::{Mend, Release};
use crate::run::{self, build_step};
use crate::tree::{Origin, SpdkTree};

/// Incremented when the steps below change in a way that the flags and mends of a recipe do not show.
const STEPS_VERSION: u32 = 1;
/// Otherwise fio's configure would compile for the processor of this machine.
const FIO_FLAGS: &[&str] = &["--disable-native"];
/// Left out of SPDK, because nothing here uses it and it is a third of the work: ISA-L-crypto, which encrypts in SPDK's
/// accel layer. Not in the recipe: a tree that has it works as well.
const LEFT_OUT: &str = "CONFIG_ISAL_CRYPTO=n";
/// The suites with SPDK 26.01 (and 20.07), and the one that keeps 20.07 for some years more.
const CEPH_SUITES: &[&str] = &["forky", "sid"];
const CEPH_LAST_RESORT: &[&str] = &["trixie"];
/// The suite for fio if the running system is not Debian, or so old that the archive dropped its sources.
const FIO_LAST_RESORT: &str = "trixie";

/// The finished tree of a release in the cache, if there is one.
pub(crate) fn finished(cache: &Cache, release: Release) -> Result<Option<SpdkTree>, Error> {
    if artifact(cache, release).is_finished() {
        describe(cache, release).map(Some)
    } else {
        Ok(None)
    }
}

/// The tree of a release, built if it is not there.
pub(crate) fn ensure(cache: &Cache, release: Release, progress: &Progress) -> Result<SpdkTree, Error> {
    artifact(cache, release).ensure(progress, |dir, log| build_spdk(cache, release, dir, log, progress))?;
    describe(cache, release)
}

fn artifact(cache: &Cache, release: Release) -> Artifact<'_> {
    cache.artifact(&format!("spdk-{release}"), &recipe(release))
}

/// Everything that determines the result, except the archive's content and fio's path: a newer package does not make a
/// built tree stale.
fn recipe(release: Release) -> String {
    format!(
        "steps: {STEPS_VERSION}\nspdk: {release}\nconfigure: {}\nmends: {:?}\nalso: {:?}\nfio: {}\n",
        release.configure_flags(Path::new("FIO")).join(" "),
        release.mends(),
        release.extra_makes(),
        FIO_FLAGS.join(" "),
    )
}

fn describe(cache: &Cache, release: Release) -> Result<SpdkTree, Error> {
    let mut tree = SpdkTree::from_dir(&artifact(cache, release).dir())?;
    tree.origin = Origin::Cache(release);
    Ok(tree)
}

fn build_spdk(cache: &Cache, release: Release, dir: &Path, log: &Path, progress: &Progress) -> Result<String, Error> {
    crate::packages::require()?;
    let fetched = fetch_ceph(cache, release, progress)?;
    let fio = ensure_fio(cache, progress)?;
    let mut task = progress.task(&format!("unpacking SPDK {release}"));
    unpack(&fetched, release.path_in_tarball(), dir, log, &mut task)?;
    task.done("unpacked");
    for mend in release.mends() {
        apply(mend, dir)?;
    }
    let mut task = progress.task(&format!("building SPDK {release}"));
    progress.note(&format!("    in {}, output in {}", dir.display(), log.display()));
    let flags = release.configure_flags(&fio);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let jobs = jobs();
    build_step("./configure", &flags, dir, log, &mut task)?;
    build_step("make", &[&jobs, LEFT_OUT], dir, log, &mut task)?;
    for place in release.extra_makes() {
        build_step("make", &[&jobs, LEFT_OUT, "-C", place], dir, log, &mut task)?;
    }
    let tree = SpdkTree::from_dir(dir)?;
    if tree.version.to_string() != release.name() {
        progress
            .note(&format!("{} holds SPDK {} in the place of {release}; taken as it is", fetched.origin, tree.version));
    }
    let took = clock(task.elapsed());
    task.done(&format!("built: SPDK {}, {}", tree.version, tree.bdev_soname));
    Ok(format!(
        "source: {} sha256 {}\nspdk: {}\nfio: {}\nbuild took: {took}\n",
        fetched.origin,
        fetched.tarball.sha256,
        tree.version,
        fio.display()
    ))
}

/// Unpacks a release's headers, as the archive has them, into `prefix/include`.
pub(crate) fn headers(cache: &Cache, release: Release, prefix: &Path, progress: &Progress) -> Result<(), Error> {
    let fetched = fetch_ceph(cache, release, progress)?;
    let dir = prefix.join("include");
    std::fs::create_dir_all(&dir).map_err(Error::io("creating", &dir))?;
    let mut task = progress.task(&format!("unpacking the headers of SPDK {release}"));
    let inner = format!("{}/include", release.path_in_tarball());
    unpack(&fetched, &inner, &dir, &prefix.join("unpack.log"), &mut task)?;
    task.done("unpacked");
    Ok(())
}

fn fetch_ceph(cache: &Cache, release: Release, progress: &Progress) -> Result<Fetched, Error> {
    match (apt::fetch(cache, "ceph", CEPH_SUITES, progress), release) {
        (Err(error @ Error::NotInArchive { .. }), Release::V2007) => {
            progress.note(&format!("{error}; looking in {}", CEPH_LAST_RESORT.join(", ")));
            apt::fetch(cache, "ceph", CEPH_LAST_RESORT, progress)
        }
        (result, _) => result,
    }
}

/// The built fio source tree, from the running system's suite if that is Debian's.
fn ensure_fio(cache: &Cache, progress: &Progress) -> Result<PathBuf, Error> {
    let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = debian_suite(&os_release).unwrap_or(FIO_LAST_RESORT);
    let fetched = match apt::fetch(cache, "fio", &[suite], progress) {
        Err(Error::NotInArchive { .. } | Error::Command { .. }) if suite != FIO_LAST_RESORT => {
            apt::fetch(cache, "fio", &[FIO_LAST_RESORT], progress)?
        }
        result => result?,
    };
    let name = format!("fio-{}", fetched.tarball.upstream_version());
    let recipe = format!("steps: {STEPS_VERSION}\nconfigure: {}\n", FIO_FLAGS.join(" "));
    let artifact = cache.artifact(&name, &recipe);
    artifact.ensure(progress, |dir, log| {
        let mut task = progress.task(&format!("building {name}"));
        unpack(&fetched, "", dir, log, &mut task)?;
        build_step("./configure", FIO_FLAGS, dir, log, &mut task)?;
        build_step("make", &[&jobs()], dir, log, &mut task)?;
        let version = run::output("./fio", &["--version"], dir)?;
        task.done(&format!("built: {}", version.trim()));
        Ok(format!("source: {} sha256 {}\n", fetched.origin, fetched.tarball.sha256))
    })?;
    Ok(artifact.dir())
}

/// The code name of the running Debian.
fn debian_suite(os_release: &str) -> Option<&str> {
    let value = |name: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    let suite = value("VERSION_CODENAME")?;
    let plain = !suite.is_empty() && suite.chars().all(|c| c.is_ascii_lowercase());
    (value("ID")? == "debian" && plain).then_some(suite)
}

/// Unpacks a directory of a tarball into `dir`. `inner` is relative to the tarball's top directory; empty means
/// everything.
fn unpack(fetched: &Fetched, inner: &str, dir: &Path, log: &Path, task: &mut Task) -> Result<(), Error> {
    let path = fetched.path.to_string_lossy();
    let depth = 1 + inner.split('/').filter(|part| !part.is_empty()).count();
    let strip = format!("--strip-components={depth}");
    let member = format!("*/{inner}");
    let mut arguments = vec!["-xf", &*path, "--no-same-owner", &*strip];
    if !inner.is_empty() {
        arguments.extend(["--wildcards", "--no-wildcards-match-slash", &*member]);
    }
    let result = run::logged("tar", &arguments, dir, log, |_| {
        task.update(|| "...".to_owned());
    });
    match result {
        Err(Error::Command { tail, .. }) if tail.contains("Not found in archive") => Err(Error::NotInArchive {
            what: format!("directory {inner} of {}", fetched.tarball.file),
            suites: fetched.origin.clone(),
        }),
        result => result,
    }
}

/// Applies a mend, unless the tree has it already (in a later package).
fn apply(mend: &Mend, dir: &Path) -> Result<(), Error> {
    let (file, line) = match *mend {
        Mend::InsertAfter { file, line, .. } | Mend::Append { file, line } => (file, line),
    };
    let path = dir.join(file);
    let mut text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    if text.lines().any(|present| present.trim() == line.trim()) {
        return Ok(());
    }
    match *mend {
        Mend::Append { .. } => {
            text.push_str(line);
            text.push('\n');
        }
        Mend::InsertAfter { after, .. } => {
            let missing = || Error::Parse { what: "line to mend", path: path.clone() };
            let at = text.find(after).ok_or_else(missing)? + after.len();
            let at = at + text[at..].find('\n').ok_or_else(missing)? + 1;
            text.insert_str(at, &format!("{line}\n"));
        }
    }
    std::fs::write(&path, text).map_err(Error::io("writing", &path))
}

fn jobs() -> String {
    let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    format!("-j{jobs}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_differ_by_release_and_name_their_flags() {
        let recipe_2601 = recipe(Release::V2601);
        assert!(recipe_2601.contains("--with-vfio-user") && recipe_2601.contains("--with-shared"));
        assert!(recipe_2601.contains("spdk_notify_type_register_once"));
        assert!(!recipe(Release::V2007).contains("vfio-user"));
    }

    #[test]
    fn mends_are_applied_once() {
        let dir = tempfile::tempdir().expect("a directory");
        for (file, text) in [
            ("lib/notify/spdk_notify.map", "{\n\tglobal:\n\tspdk_notify_type_register;\n\tspdk_notify_send;\n};\n"),
            ("lib/nvmf/nvmf.c", "int x;\n"),
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
            std::fs::write(path, text).expect("write");
        }
        for _ in 0..2 {
            for mend in Release::V2601.mends() {
                apply(mend, dir.path()).expect("mends");
            }
        }
        let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).expect("read");
        assert_eq!(
            read("lib/notify/spdk_notify.map"),
            "{\n\tglobal:\n\tspdk_notify_type_register;\n\tspdk_notify_type_register_once;\n\tspdk_notify_send;\n};\n"
        );
        assert_eq!(read("lib/nvmf/nvmf.c"), "int x;\nSPDK_LOG_REGISTER_COMPONENT(reservation)\n");
    }

    #[test]
    fn a_mend_that_finds_no_place_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("a"), "x\n").expect("write");
        let mend = Mend::InsertAfter { file: "a", after: "y", line: "z" };
        assert!(matches!(apply(&mend, dir.path()), Err(Error::Parse { .. })));
    }

    #[test]
    fn only_debians_own_suites_are_used() {
        assert_eq!(debian_suite("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(debian_suite("ID=\"debian\"\nVERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(debian_suite("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(debian_suite("ID=debian\nVERSION_CODENAME=../x\n"), None);
        assert_eq!(debian_suite(""), None);
    }

    #[test]
    fn one_directory_of_a_tarball_is_unpacked() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        for file in ["top/src/spdk/.hidden", "top/src/spdk/lib/a.c", "top/src/other/src/spdk/b.c", "top/src/spdkx/c.c"]
        {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
            std::fs::write(path, "").expect("write");
        }
        run::output("tar", &["-cf", "t.tar", "top"], root).expect("tar");
        let fetched = Fetched {
            tarball: crate::showsrc::Tarball {
                version: "1-1".to_owned(),
                file: "t.tar".to_owned(),
                size_bytes: 0,
                sha256: String::new(),
            },
            path: root.join("t.tar"),
            origin: "test".to_owned(),
        };
        let out = root.join("out");
        std::fs::create_dir(&out).expect("create");
        let mut task = Progress::silent().task("test");
        unpack(&fetched, "src/spdk", &out, &root.join("log"), &mut task).expect("unpacks");
        let mut names: Vec<_> =
            std::fs::read_dir(&out).expect("read").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, [".hidden", "lib"]);
        let error = unpack(&fetched, "src/gone", &out, &root.join("log"), &mut task).expect_err("absent");
        assert!(matches!(error, Error::NotInArchive { .. }), "{error}");
    }
}
