// SPDX-License-Identifier: BSD-3-Clause

//! Builds the module for an SPDK tree, by cargo, in a target directory of that tree's own.
//!
//! cargo itself finds out whether anything is to be done, and locks the directory against a second build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use spdk_sys_build::SpdkTree;

use super::error::SetupError;

const LIBRARY: &str = "libbdev_dedupe.so";

/// Trees for which this process has built the module, and where it is.
static BUILT: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());

/// Builds `libbdev_dedupe.so` for a tree, unless that is done, and tells where it is. cargo's own progress goes to
/// stderr.
///
/// # Errors
/// cargo cannot be started, or the build fails.
pub fn module_for(tree: &SpdkTree) -> Result<PathBuf, SetupError> {
    // A panic in another thread leaves the list as it was.
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, module)) = built.iter().find(|(root, _)| *root == tree.root) {
        return Ok(module.clone());
    }
    let module = build(tree)?;
    built.push((tree.root.clone(), module.clone()));
    Ok(module)
}

fn build(tree: &SpdkTree) -> Result<PathBuf, SetupError> {
    let workspace = workspace();
    let target_dir = target_dir(&workspace, tree);
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&program)
        .args(["build", "--release", "--package", "bdev", "--lib"])
        .current_dir(&workspace)
        .env("SPDK_DIR", &tree.root)
        .env("CARGO_TARGET_DIR", &target_dir)
        .env_remove("SPDK_RELEASE")
        // Programs that cargo runs find its own libraries in LD_LIBRARY_PATH; a build must not.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .status()
        .map_err(|source| SetupError::Spawn { program: program.to_string_lossy().into_owned(), source })?;
    if !status.success() {
        return Err(SetupError::Failed {
            program: format!("cargo build for SPDK {}", tree.version),
            status,
            output: String::new(),
        });
    }
    Ok(target_dir.join("release").join(LIBRARY))
}

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// One directory a tree: bindings differ with the headers, and going to and fro in one directory would build
/// everything anew each time.
fn target_dir(workspace: &Path, tree: &SpdkTree) -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let id = tree.bdev_build_id.as_deref().unwrap_or("unknown");
    let id: String = id.chars().take(8).collect();
    base.join(format!("module-{}-{id}", tree.version))
}
