// SPDX-License-Identifier: BSD-3-Clause

//! What SPDK programs are run with: a tree, the module built for it, memory, cores, and a directory of one's own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use spdk_sys_build::SpdkTree;
use tempfile::TempDir;

use super::cores::{mask, CoreLease};
use super::error::{io, TargetError};
use super::leftovers;
use super::process::Launch;
use crate::setup::Memory;

/// A place to run SPDK programs in.
#[derive(Debug)]
pub struct Rig {
    /// The SPDK whose programs are run.
    pub tree: SpdkTree,
    /// The module to preload.
    pub module: PathBuf,
    /// Where the programs' memory comes from.
    pub memory: Memory,
    cores: CoreLease,
    dir: TempDir,
    files: AtomicU32,
}

impl Rig {
    /// A rig with as many cores of its own, waiting until they are free. Hugepages held by dead processes are freed
    /// first.
    ///
    /// # Errors
    /// There is no place for files.
    pub fn new(tree: SpdkTree, module: &Path, memory: Memory, cores: usize) -> Result<Self, TargetError> {
        let cores = CoreLease::take(cores)?;
        leftovers::remove_of_dead();
        // Not in $TMPDIR, whose name may be long: a UNIX socket's path has at most 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("dedupe-")
            .tempdir_in("/tmp")
            .map_err(io("creating a directory in", Path::new("/tmp")))?;
        Ok(Self { tree, module: module.to_owned(), memory, cores, dir, files: AtomicU32::new(0) })
    }

    /// The leased cores; fewer than asked for on a small machine.
    #[must_use]
    pub fn cores(&self) -> &[usize] {
        self.cores.cores()
    }

    /// The rig's directory, removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the rig's directory that has not been given before.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.dir.path().join(format!("{number}-{name}"))
    }

    /// Writes a JSON file, such as a configuration.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_json(&self, name: &str, value: &serde_json::Value) -> Result<PathBuf, TargetError> {
        let path = self.path(name);
        std::fs::write(&path, format!("{value:#}")).map_err(io("writing", &path))?;
        Ok(path)
    }

    /// Whether the tree is SPDK 20.07 or another of before 21, which lacks options that later ones have.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.tree.version.major < 21
    }

    /// The arguments that each SPDK program gets: cores, memory, RPC socket; no PCI devices, which are not ours to
    /// touch.
    pub(crate) fn common_arguments(&self, cores: &[usize], memory_mib: u64, socket: &Path) -> Vec<String> {
        let mut arguments =
            vec!["-m".to_owned(), mask(cores), "-r".to_owned(), socket.display().to_string(), "--no-pci".to_owned()];
        // With hugepages and without a size, memory grows as it is needed.
        let memory_mib = self.memory.mib_for(memory_mib);
        if memory_mib > 0 {
            arguments.extend(["-s".to_owned(), memory_mib.to_string()]);
        }
        match self.memory {
            Memory::Hugepages => {
                arguments.extend(["--iova-mode".to_owned(), "va".to_owned()]);
            }
            Memory::NoHuge => arguments.push("--no-huge".to_owned()),
        }
        if !self.is_old() {
            arguments.push("--disable-cpumask-locks".to_owned());
        }
        arguments
    }

    /// A program of the tree, to be completed with arguments.
    pub(crate) fn launch(&self, program: &Path, with_module: bool) -> Launch {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Launch {
            program: program.to_owned(),
            arguments: Vec::new(),
            library_path: self.tree.ld_library_path(),
            preload: if with_module { vec![self.module.clone()] } else { Vec::new() },
            log: self.path(&format!("{name}.log")),
        }
    }
}
