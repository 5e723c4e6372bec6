// SPDX-License-Identifier: BSD-3-Clause

//! The cache: where built trees are kept, who may work on one, and which ones are finished.
//!
//! Beside a tree `NAME/` are `NAME.lock`, `NAME.log` and `NAME.complete` (the stamp). Invariants:
//! * Whoever changes `NAME/`, `NAME.log` or `NAME.complete` holds `flock` on `NAME.lock`. Lock files are never removed.
//! * `NAME.complete` exists only while `NAME/` is complete: it is removed (durably) before the tree is touched, and
//!   written (durably) after the tree was flushed. It holds the recipe that the tree was built by, including its path;
//!   a different recipe means a new build.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{flock, FlockOperation};
use rustix::io::FdFlags;

use crate::error::Error;
use crate::progress::Progress;

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(200);
const INFO_MARK: &str = "-- built from --\n";

/// The directory of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache of this user: `$SPDK_DEDUPE_CACHE`, or `$XDG_CACHE_HOME/spdk-dedupe`, or `~/.cache/spdk-dedupe`. It
    /// need not exist.
    ///
    /// # Errors
    /// None of the variables is set.
    pub fn of_user() -> Result<Self, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = variable("SPDK_DEDUPE_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("spdk-dedupe")))
            .or_else(|| Some(variable("HOME")?.join(".cache/spdk-dedupe")))
            .ok_or(Error::NoCachePlace)?;
        // Trees contain their own absolute path.
        let dir = std::path::absolute(&dir).map_err(Error::io("resolving", &dir))?;
        Ok(Self { dir })
    }

    /// A cache in this directory.
    #[cfg(test)]
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn create(&self) -> Result<(), Error> {
        std::fs::create_dir_all(&self.dir).map_err(Error::io("creating", &self.dir))
    }

    /// Takes the lock `NAME.lock`; while another process has it, says so and waits.
    pub(crate) fn lock(&self, name: &str, progress: &Progress) -> Result<Lock, Error> {
        self.create()?;
        let path = self.dir.join(format!("{name}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let fd = OwnedFd::from(file);
        let mut waiting = None;
        loop {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let task = waiting.get_or_insert_with(|| {
                        progress.note(&format!("another process is working on {name} ({})", self.dir.display()));
                        progress.task(&format!("waiting for it to finish {name}"))
                    });
                    task.update(|| "...".to_owned());
                    std::thread::sleep(LOCK_POLL_INTERVAL);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::io("locking", &path)(error.into())),
            }
        }
        // Programs started from here inherit the lock: if this process is killed, the lock is free only when the last
        // of them has ended, so nobody wipes a tree that a compiler still writes to.
        rustix::io::fcntl_setfd(&fd, FdFlags::empty()).map_err(|error| Error::io("locking", &path)(error.into()))?;
        Ok(Lock { fd })
    }

    /// Removes everything except the lock files, after running builds have ended.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clean(&self, progress: &Progress) -> Result<(), Error> {
        if !self.dir.is_dir() {
            return Ok(());
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(Error::io("reading", &self.dir))? {
            let entry = entry.map_err(Error::io("reading", &self.dir))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        let locks: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".lock")).collect();
        let _locks = locks.iter().map(|name| self.lock(name, progress)).collect::<Result<Vec<_>, _>>()?;
        // Stamps first: a half-removed tree must not count as finished.
        names.sort_by_key(|name| !name.ends_with(".complete"));
        for name in names.iter().filter(|name| !name.ends_with(".lock")) {
            let path = self.dir.join(name);
            progress.note(&format!("removing {}", path.display()));
            remove(&path)?;
        }
        Ok(())
    }

    /// A tree of the cache.
    pub(crate) fn artifact(&self, name: &str, recipe: &str) -> Artifact<'_> {
        Artifact { cache: self, name: name.to_owned(), recipe: recipe.to_owned() }
    }
}

/// An exclusive lock; released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    fd: OwnedFd,
}

impl Drop for Lock {
    /// Unlocks explicitly: a child that inherited the descriptor must not hold the lock after its parent is done.
    fn drop(&mut self) {
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

/// A tree in the cache, and its recipe.
pub(crate) struct Artifact<'a> {
    cache: &'a Cache,
    name: String,
    recipe: String,
}

impl Artifact<'_> {
    /// Where the tree is, or will be.
    pub(crate) fn dir(&self) -> PathBuf {
        self.cache.dir.join(&self.name)
    }

    /// Where the build's output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.cache.dir.join(format!("{}.log", self.name))
    }

    fn stamp(&self) -> PathBuf {
        self.cache.dir.join(format!("{}.complete", self.name))
    }

    /// Whether the tree is finished, with this recipe and path.
    pub(crate) fn is_finished(&self) -> bool {
        let stamp = std::fs::read_to_string(self.stamp()).unwrap_or_default();
        stamp.starts_with(&self.stamp_head()) && self.dir().is_dir()
    }

    fn stamp_head(&self) -> String {
        format!("place: {}\n{}\n{INFO_MARK}", self.dir().display(), self.recipe.trim_end())
    }

    /// Builds the tree unless it is finished. `build` gets an empty directory and the log to append to, and returns a
    /// remark for people who read the stamp. One process at a time builds; others wait and find the tree finished.
    pub(crate) fn ensure(
        &self,
        progress: &Progress,
        build: impl FnOnce(&Path, &Path) -> Result<String, Error>,
    ) -> Result<(), Error> {
        if self.is_finished() {
            return Ok(());
        }
        let _lock = self.cache.lock(&self.name, progress)?;
        if self.is_finished() {
            return Ok(());
        }
        let dir = self.dir();
        if dir.exists() {
            progress.note(&format!("{}: left unfinished or of another recipe: building it anew", dir.display()));
        }
        remove(&self.stamp())?;
        sync_dir(&self.cache.dir)?;
        remove(&dir)?;
        remove(&self.log())?;
        std::fs::create_dir(&dir).map_err(Error::io("creating", &dir))?;
        let info = build(&dir, &self.log())?;
        self.write_stamp(&info)
    }

    fn write_stamp(&self, info: &str) -> Result<(), Error> {
        let dir = self.dir();
        let opened = File::open(&dir).map_err(Error::io("opening", &dir))?;
        rustix::fs::syncfs(&opened).map_err(|error| Error::io("flushing", &dir)(error.into()))?;
        let stamp = self.stamp();
        let unfinished = self.cache.dir.join(format!("{}.complete-", self.name));
        write_durably(&unfinished, format!("{}{info}", self.stamp_head()).as_bytes())?;
        std::fs::rename(&unfinished, &stamp).map_err(Error::io("writing", &stamp))?;
        sync_dir(&self.cache.dir)
    }
}

/// Writes a file and waits until it is on disk.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    };
    write().map_err(Error::io("writing", path))
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("flushing", dir))
}

/// Removes a file, or a directory with its content; a missing one is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let result = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn build_one_file(dir: &Path, _log: &Path) -> Result<String, Error> {
        std::fs::write(dir.join("lib.so"), "built").map_err(Error::io("writing", dir))?;
        Ok("fio 3.33\n".to_owned())
    }

    fn must_not_build(_: &Path, _: &Path) -> Result<String, Error> {
        panic!("built again")
    }

    #[test]
    fn a_finished_build_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(&dir.path().join("cache"));
        let artifact = cache.artifact("spdk", "flags: a");
        assert!(!artifact.is_finished());
        artifact.ensure(&Progress::silent(), build_one_file).expect("builds");
        artifact.ensure(&Progress::silent(), must_not_build).expect("kept");
        assert!(cache.artifact("spdk", "flags: a").is_finished());
        let stamp = std::fs::read_to_string(artifact.stamp()).expect("stamp");
        assert!(stamp.ends_with("fio 3.33\n"), "{stamp}");
    }

    #[test]
    fn a_failed_or_interrupted_build_is_not_taken_for_finished() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let artifact = cache.artifact("spdk", "flags: a");
        artifact
            .ensure(&Progress::silent(), |dir, _| {
                std::fs::write(dir.join("half"), "").map_err(Error::io("writing", dir))?;
                Err(Error::UnknownRelease("interrupted".to_owned()))
            })
            .expect_err("interrupted");
        assert!(artifact.dir().join("half").exists());
        assert!(!artifact.is_finished());
        // Killed between writing the stamp and renaming it.
        std::fs::write(dir.path().join("spdk.complete-"), artifact.stamp_head()).expect("write");
        assert!(!artifact.is_finished());
        artifact.ensure(&Progress::silent(), build_one_file).expect("builds");
        assert!(!artifact.dir().join("half").exists(), "what was left was wiped");
    }

    #[test]
    fn a_torn_stamp_or_a_lost_tree_is_not_finished() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let artifact = cache.artifact("spdk", "flags: a");
        artifact.ensure(&Progress::silent(), build_one_file).expect("builds");
        let stamp = std::fs::read(artifact.stamp()).expect("stamp");
        for len in [0, 1, artifact.stamp_head().len() - 1] {
            std::fs::write(artifact.stamp(), &stamp[..len]).expect("write");
            assert!(!artifact.is_finished(), "torn at {len}");
        }
        std::fs::write(artifact.stamp(), &stamp).expect("write");
        std::fs::remove_dir_all(artifact.dir()).expect("remove");
        assert!(!artifact.is_finished());
    }

    #[test]
    fn another_recipe_or_place_builds_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let old_place = dir.path().join("old");
        let cache = Cache::at(&old_place);
        cache.artifact("spdk", "flags: a").ensure(&Progress::silent(), build_one_file).expect("builds");
        assert!(!cache.artifact("spdk", "flags: a b").is_finished());
        assert!(!cache.artifact("spdk", "flags:").is_finished());
        let new_place = dir.path().join("new");
        std::fs::rename(&old_place, &new_place).expect("rename");
        assert!(!Cache::at(&new_place).artifact("spdk", "flags: a").is_finished());
    }

    #[test]
    fn of_two_builders_one_builds_and_the_other_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let builds = AtomicUsize::new(0);
        let (started, first_is_building) = mpsc::channel();
        let (release, may_finish) = mpsc::channel();
        std::thread::scope(|scope| {
            let (cache, builds) = (&cache, &builds);
            let first = scope.spawn(move || {
                cache.artifact("spdk", "r").ensure(&Progress::silent(), |dir, log| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    started.send(()).expect("send");
                    may_finish.recv().expect("receive");
                    build_one_file(dir, log)
                })
            });
            first_is_building.recv().expect("the first builds");
            let second = scope.spawn(move || {
                cache.artifact("spdk", "r").ensure(&Progress::silent(), |dir, log| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    build_one_file(dir, log)
                })
            });
            // Several polls of the lock: had the second builder not waited, it would be done or would have counted.
            std::thread::sleep(3 * LOCK_POLL_INTERVAL);
            assert!(!second.is_finished());
            assert_eq!(builds.load(Ordering::SeqCst), 1);
            release.send(()).expect("send");
            first.join().expect("joins").expect("builds");
            second.join().expect("joins").expect("finds it");
        });
        assert_eq!(builds.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_lock_is_held_until_the_children_of_a_killed_builder_are_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        let mut lock = cache.lock("spdk", &Progress::silent()).expect("lock");
        let mut child = crate::run::command("sleep", &["1"], dir.path()).spawn().expect("sleep");
        // The state after a process was killed: its descriptor is closed, nothing is unlocked. (dup2 closes it;
        // dropping then unlocks another file.)
        let null = File::open("/dev/null").expect("open");
        rustix::io::dup2(&null, &mut lock.fd).expect("dup2");
        drop(lock);
        let other = File::open(dir.path().join("spdk.lock")).expect("open");
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err(), "the child still holds it");
        child.wait().expect("sleep ends");
        drop(cache.lock("spdk", &Progress::silent()).expect("free in the end"));
    }

    #[test]
    fn clean_removes_all_but_locks() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(dir.path());
        cache.artifact("spdk", "r").ensure(&Progress::silent(), build_one_file).expect("builds");
        cache.clean(&Progress::silent()).expect("cleans");
        let left: Vec<_> =
            std::fs::read_dir(dir.path()).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["spdk.lock"]);
        Cache::at(&dir.path().join("none")).clean(&Progress::silent()).expect("nothing to clean");
    }
}
