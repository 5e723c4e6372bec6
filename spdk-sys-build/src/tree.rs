// SPDX-License-Identifier: BSD-3-Clause

//! A built SPDK tree (or installation), and the parts of it that matter here: headers, shared libraries, programs.
//!
//! Invariant: an [`SpdkTree`] has headers and a shared `libspdk_bdev` that were read and understood. Everything else is
//! optional and only named if the file exists. Optional parts are searched at their place in a source tree and at their
//! place in an installation.

use std::path::{Path, PathBuf};

use crate::elf::ElfInfo;
use crate::error::Error;
use crate::release::Release;
use crate::version::SpdkVersion;

/// How a tree was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by `SPDK_DIR`, or by the caller.
    Directory,
    /// Known to pkg-config.
    PkgConfig,
    /// Built by this crate.
    Cache(Release),
}

/// Programs of a tree; `None` if the tree lacks one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apps {
    /// The target with every subsystem.
    pub spdk_tgt: Option<PathBuf>,
    /// The NVMe-oF target.
    pub nvmf_tgt: Option<PathBuf>,
    /// The vhost target.
    pub vhost: Option<PathBuf>,
    /// The copy program.
    pub spdk_dd: Option<PathBuf>,
    /// The bdev layer's load generator.
    pub bdevperf: Option<PathBuf>,
    /// The NVMe initiator's load generator (`spdk_nvme_perf`; `perf` in 20.07).
    pub nvme_perf: Option<PathBuf>,
}

/// A built SPDK with shared libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpdkTree {
    /// How the tree was found.
    pub origin: Origin,
    /// The source tree, or the prefix of an installation.
    pub root: PathBuf,
    /// Its version, from its own header.
    pub version: SpdkVersion,
    /// The shared libspdk_bdev, as a real file.
    pub bdev_library: PathBuf,
    /// That library's soname, for instance `libspdk_bdev.so.19.0`.
    pub bdev_soname: String,
    /// That library's GNU build-id in lower-case hex; `None` if it was linked without one.
    pub bdev_build_id: Option<String>,
    /// The existing directories with the shared libraries of SPDK, DPDK, ISA-L and libvfio-user.
    pub library_dirs: Vec<PathBuf>,
    /// Directories for `#include <spdk/...>`.
    pub include_dirs: Vec<PathBuf>,
    /// The tree's programs.
    pub apps: Apps,
    /// fio's engine `spdk_bdev`, a shared object.
    pub fio_plugin: Option<PathBuf>,
    /// The very fio that the plugin was built for, if its built source tree still exists.
    pub fio: Option<PathBuf>,
    /// The JSON-RPC client `rpc.py`.
    pub rpc_py: Option<PathBuf>,
}

/// Library directories in a source tree.
const LIBRARY_DIRS: &[&str] =
    &["build/lib", "dpdk/build/lib", "isa-l/.libs", "isa-l-crypto/.libs", "build/libvfio-user/usr/local/lib"];

/// Where an installation has all of its libraries: by default, on systems that separate 64-bit ones, and on Debian.
const INSTALLED_LIBRARY_DIRS: &[&str] = &["lib", "lib64", "lib/x86_64-linux-gnu"];
const BDEV_LIBRARY: &str = "libspdk_bdev.so";

impl SpdkTree {
    /// Describes a built source tree, or the prefix of an installation (`make install`), which has its libraries in
    /// `lib`.
    ///
    /// # Errors
    /// The directory is neither, is not built, or was built without shared libraries.
    pub fn from_dir(root: &Path) -> Result<Self, Error> {
        let root = root.canonicalize().map_err(|error| not_a_tree(root, &error.to_string()))?;
        if !root.is_dir() {
            return Err(not_a_tree(&root, "it is no directory"));
        }
        // The build of 26.x also collects headers in build/include, the generated version.h among them.
        let include_dirs = present(&root, &["include", "build/include"]);
        let installed = |name: &&&str| root.join(name).join(BDEV_LIBRARY).is_file();
        let library_dirs = match INSTALLED_LIBRARY_DIRS.iter().find(installed) {
            Some(name) => vec![root.join(name)],
            None => present(&root, LIBRARY_DIRS),
        };
        Self::describe(Origin::Directory, root, include_dirs, library_dirs)
    }

    /// Describes an installation (or a built tree) from pkg-config's answer for `spdk_bdev`.
    ///
    /// # Errors
    /// The directories contain no headers or no shared libspdk_bdev.
    pub(crate) fn from_dirs(
        root: &Path,
        include_dirs: Vec<PathBuf>,
        library_dirs: Vec<PathBuf>,
    ) -> Result<Self, Error> {
        Self::describe(Origin::PkgConfig, root.to_owned(), include_dirs, library_dirs)
    }

    fn describe(
        origin: Origin,
        root: PathBuf,
        include_dirs: Vec<PathBuf>,
        library_dirs: Vec<PathBuf>,
    ) -> Result<Self, Error> {
        let has_header = |dir: &&PathBuf, name: &str| dir.join("spdk").join(name).is_file();
        if !include_dirs.iter().any(|dir| has_header(&dir, "bdev_module.h")) {
            return Err(not_a_tree(&root, "it has no include/spdk/bdev_module.h"));
        }
        let version_dir = include_dirs.iter().find(|dir| has_header(dir, "version.h")).ok_or_else(|| {
            not_a_tree(&root, "it has no spdk/version.h, which the build generates: it is not built yet")
        })?;
        let version = SpdkVersion::read(version_dir)?;
        let bdev_library = library_dirs
            .iter()
            .map(|dir| dir.join(BDEV_LIBRARY))
            .find(|path| path.is_file())
            .ok_or_else(|| no_library(&root, &version))?;
        let bdev_library = bdev_library.canonicalize().map_err(Error::io("resolving", &bdev_library))?;
        let elf = ElfInfo::read(&bdev_library)?;
        let bdev_soname = elf.soname.ok_or_else(|| not_a_tree(&root, "its libspdk_bdev.so has no soname"))?;
        let apps = Apps {
            spdk_tgt: first(&root, &["build/bin/spdk_tgt", "bin/spdk_tgt"]),
            nvmf_tgt: first(&root, &["build/bin/nvmf_tgt", "bin/nvmf_tgt"]),
            vhost: first(&root, &["build/bin/vhost", "bin/vhost"]),
            spdk_dd: first(&root, &["build/bin/spdk_dd", "bin/spdk_dd"]),
            bdevperf: first(&root, &["build/examples/bdevperf", "test/bdev/bdevperf/bdevperf", "bin/bdevperf"]),
            nvme_perf: first(&root, &["build/bin/spdk_nvme_perf", "build/examples/perf", "bin/spdk_nvme_perf"]),
        };
        Ok(Self {
            origin,
            version,
            bdev_library,
            bdev_soname,
            bdev_build_id: elf.build_id,
            library_dirs,
            include_dirs,
            apps,
            fio_plugin: first(&root, &["build/fio/spdk_bdev", "lib/fio/spdk_bdev"]),
            fio: fio_of(&root),
            rpc_py: first(&root, &["scripts/rpc.py", "bin/spdk-rpc", "bin/rpc.py"]),
            root,
        })
    }

    /// The `LD_LIBRARY_PATH` for the tree's programs (and this project's).
    #[must_use]
    pub fn ld_library_path(&self) -> String {
        let dirs: Vec<_> = self.library_dirs.iter().map(|dir| dir.display().to_string()).collect();
        dirs.join(":")
    }

    /// The tree as names and values for a shell: `SPDK_DIR`, `SPDK_VERSION`, `LD_LIBRARY_PATH` and, where they exist,
    /// `SPDK_TGT`, `NVMF_TGT`, `VHOST`, `SPDK_DD`, `BDEVPERF`, `SPDK_NVME_PERF`, `SPDK_FIO_PLUGIN`, `FIO`, `RPC_PY`.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SPDK_DIR", self.root.display().to_string()),
            ("SPDK_VERSION", self.version.to_string()),
            ("LD_LIBRARY_PATH", self.ld_library_path()),
        ];
        let optional = [
            ("SPDK_TGT", &self.apps.spdk_tgt),
            ("NVMF_TGT", &self.apps.nvmf_tgt),
            ("VHOST", &self.apps.vhost),
            ("SPDK_DD", &self.apps.spdk_dd),
            ("BDEVPERF", &self.apps.bdevperf),
            ("SPDK_NVME_PERF", &self.apps.nvme_perf),
            ("SPDK_FIO_PLUGIN", &self.fio_plugin),
            ("FIO", &self.fio),
            ("RPC_PY", &self.rpc_py),
        ];
        for (name, path) in optional {
            if let Some(path) = path {
                variables.push((name, path.display().to_string()));
            }
        }
        variables
    }
}

/// The fio binary in the source directory that the tree was configured with (`--with-fio=DIR`).
fn fio_of(root: &Path) -> Option<PathBuf> {
    let config = std::fs::read_to_string(root.join("mk/config.mk")).ok()?;
    let dir = config.lines().find_map(|line| {
        let value = line.strip_prefix("CONFIG_FIO_SOURCE_DIR")?.trim_start_matches(['?', ':', '=', ' ']);
        Some(PathBuf::from(value.trim()))
    })?;
    Some(dir.join("fio")).filter(|path| path.is_file())
}

fn not_a_tree(dir: &Path, reason: &str) -> Error {
    Error::NotATree { dir: dir.to_owned(), reason: reason.to_owned() }
}

/// Why a tree with headers has no shared libspdk_bdev: it is not built yet, or was built without `--with-shared`.
fn no_library(root: &Path, version: &SpdkVersion) -> Error {
    let mut dirs = LIBRARY_DIRS.iter().chain(INSTALLED_LIBRARY_DIRS);
    let archive = dirs.find(|dir| root.join(dir).join("libspdk_bdev.a").is_file());
    let reason = match archive {
        Some(dir) => {
            format!("its SPDK {version} has {dir}/libspdk_bdev.a and no {BDEV_LIBRARY}: built without --with-shared")
        }
        None => format!("it has headers of SPDK {version} and no {BDEV_LIBRARY}, in build/lib or lib: not built yet"),
    };
    not_a_tree(root, &reason)
}

fn present(root: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| root.join(name)).filter(|dir| dir.is_dir()).collect()
}

fn first(root: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| root.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_tree_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = SpdkTree::from_dir(dir.path()).expect_err("an empty directory");
        assert!(error.to_string().contains("no include/spdk/bdev_module.h"), "{error}");
        let missing = dir.path().join("missing");
        assert!(matches!(SpdkTree::from_dir(&missing), Err(Error::NotATree { .. })));
    }

    #[test]
    fn fio_is_the_one_the_tree_was_configured_with() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("mk")).expect("create");
        let line = format!("CONFIG_FIO_PLUGIN?=y\nCONFIG_FIO_SOURCE_DIR?={}\n", dir.path().display());
        std::fs::write(dir.path().join("mk/config.mk"), line).expect("write");
        assert_eq!(fio_of(dir.path()), None);
        std::fs::write(dir.path().join("fio"), "").expect("write");
        assert_eq!(fio_of(dir.path()), Some(dir.path().join("fio")));
    }

    #[test]
    fn an_unbuilt_or_static_tree_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let include = dir.path().join("include/spdk");
        std::fs::create_dir_all(&include).expect("create");
        std::fs::write(include.join("bdev_module.h"), "").expect("write");
        let error = SpdkTree::from_dir(dir.path()).expect_err("an unbuilt tree");
        assert!(error.to_string().contains("version.h"), "{error}");
        let header = "#define SPDK_VERSION_MAJOR 20\n#define SPDK_VERSION_MINOR 7\n#define SPDK_VERSION_PATCH 0\n\
            #define SPDK_VERSION_SUFFIX \"\"\n";
        std::fs::write(include.join("version.h"), header).expect("write");
        let error = SpdkTree::from_dir(dir.path()).expect_err("a tree that is not built");
        assert!(error.to_string().contains("SPDK 20.07 and no libspdk_bdev.so"), "{error}");
        std::fs::create_dir_all(dir.path().join("build/lib")).expect("create");
        std::fs::write(dir.path().join("build/lib/libspdk_bdev.a"), "").expect("write");
        let error = SpdkTree::from_dir(dir.path()).expect_err("a static tree");
        assert!(error.to_string().contains("built without --with-shared"), "{error}");
    }

    #[test]
    fn an_installation_is_known_by_its_libraries() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
            std::fs::write(path, bytes).expect("write");
        };
        let header = "#define SPDK_VERSION_MAJOR 25\n#define SPDK_VERSION_MINOR 9\n#define SPDK_VERSION_PATCH 0\n\
            #define SPDK_VERSION_SUFFIX \"\"\n";
        write("include/spdk/bdev_module.h", b"");
        write("include/spdk/version.h", header.as_bytes());
        write("bin/spdk_tgt", b"");
        for lib in ["lib", "lib64"] {
            write(&format!("{lib}/libspdk_bdev.so.18.0"), &crate::elf::sample());
            let link = dir.path().join(lib).join(BDEV_LIBRARY);
            std::os::unix::fs::symlink("libspdk_bdev.so.18.0", &link).expect("link");
            let tree = SpdkTree::from_dir(dir.path()).expect("an installation");
            let root = dir.path().canonicalize().expect("it is there");
            assert_eq!((tree.version.to_string().as_str(), &tree.library_dirs), ("25.09", &vec![root.join(lib)]));
            assert_eq!((tree.bdev_soname.as_str(), tree.apps.spdk_tgt.is_some()), ("libspdk_bdev.so.19.0", true));
            std::fs::remove_dir_all(dir.path().join(lib)).expect("remove");
        }
    }
}
