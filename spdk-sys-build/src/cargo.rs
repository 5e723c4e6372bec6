// SPDX-License-Identifier: BSD-3-Clause

//! What a build script tells cargo: flags derived from the SPDK that was found, and how to link with it.
//!
//! Invariant: a module (cdylib) never gets a run path. With a run path, ld.so would load the libspdk_bdev that the
//! module was built for into a process of another SPDK, beside that process's own, instead of refusing.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::bindings::Probe;
use crate::elf::ElfInfo;
use crate::error::Error;
use crate::tree::SpdkTree;

/// The flags, and what the headers must declare for each. This is right for every release and for forks, where a
/// version number would mislead.
const PROBES: &[(&str, Probe)] = &[
    ("spdk_has_app_opts_size", Probe::Field("spdk_app_opts", "opts_size")),
    ("spdk_has_async_fini_start", Probe::Field("spdk_bdev_module", "async_fini_start")),
    ("spdk_has_claim_type", Probe::Enumeration("spdk_bdev_claim_type")),
    ("spdk_has_cpumask_locks", Probe::Field("spdk_app_opts", "disable_cpumask_locks")),
    ("spdk_has_interrupt_mode", Probe::Function("spdk_interrupt_mode_is_enabled")),
    ("spdk_has_log_flag", Probe::Function("spdk_log_register_flag")),
    ("spdk_has_module_fini_done", Probe::Function("spdk_bdev_module_fini_done")),
    ("spdk_has_no_huge", Probe::Field("spdk_app_opts", "no_huge")),
    ("spdk_has_phys_blocklen", Probe::Field("spdk_bdev", "phys_blocklen")),
    ("spdk_has_preferred_sizes", Probe::Field("spdk_bdev", "preferred_write_granularity")),
];

/// Sets the flags `spdk_has_*` for this tree, declares all of them, and makes cargo rerun the build script when the
/// choice of the tree or the tree itself changes.
pub fn emit_cfgs(tree: &SpdkTree, bindings_text: &str) {
    for (name, _) in PROBES {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    for name in cfgs(bindings_text) {
        println!("cargo:rustc-cfg={name}");
    }
    for variable in ["SPDK_DIR", "SPDK_RELEASE", "SPDK_DEDUPE_CACHE", "XDG_CACHE_HOME", "HOME", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed={}", tree.bdev_library.display());
    for dir in &tree.include_dirs {
        println!("cargo:rerun-if-changed={}", dir.join("spdk").display());
    }
}

fn cfgs(bindings_text: &str) -> Vec<&'static str> {
    PROBES.iter().filter(|(_, probe)| probe.is_in(bindings_text)).map(|(name, _)| *name).collect()
}

/// Runs the body of a build script. A failure becomes cargo's error, as one sentence, when the script has ended.
pub fn build_script(run: impl FnOnce() -> Result<(), Error>) {
    if let Err(error) = run() {
        println!("cargo::error={}", error.to_string().replace('\n', " "));
    }
}

/// Links the package's cdylib as a module for this very SPDK: `DT_NEEDED` on its libspdk_bdev and on none of its other
/// libraries, no run path. Also sets, for `env!` in the crate, `SPDK_BUILT_FOR_VERSION`, `SPDK_BUILT_FOR_SONAME` and
/// `SPDK_BUILT_FOR_BUILD_ID` (hex; empty if the library has none), so that the module can compare the SPDK that loads
/// it with the one it was built for.
///
/// The package must have a cdylib target (otherwise cargo refuses the instruction).
pub fn emit_cdylib_link(tree: &SpdkTree) {
    println!("cargo:rustc-env=SPDK_BUILT_FOR_VERSION={}", tree.version);
    println!("cargo:rustc-env=SPDK_BUILT_FOR_SONAME={}", tree.bdev_soname);
    println!("cargo:rustc-env=SPDK_BUILT_FOR_BUILD_ID={}", tree.bdev_build_id.as_deref().unwrap_or_default());
    for argument in cdylib_arguments(tree) {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}

fn cdylib_arguments(tree: &SpdkTree) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(dir) = tree.bdev_library.parent() {
        arguments.push(format!("-L{}", dir.display()));
    }
    arguments.push("-Wl,--no-as-needed".to_owned());
    arguments.push(format!("-l:{}", tree.bdev_soname));
    arguments.push("-Wl,--as-needed".to_owned());
    arguments.push("-Wl,--allow-shlib-undefined".to_owned());
    arguments
}

/// Links the package's own programs (binaries, and integration tests, examples and benches if the package has them) as
/// SPDK applications: with all shared libraries that the tree's own bdevperf (else spdk_tgt) links, and with a run
/// path, so that they start without `LD_LIBRARY_PATH`. Emits nothing for a package without such targets, so a package
/// with only a cdylib may call it too.
///
/// # Errors
/// The tree has no readable bdevperf and no readable spdk_tgt.
pub fn emit_bin_link(tree: &SpdkTree) -> Result<(), Error> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let kinds = package.as_deref().map(target_kinds).unwrap_or_default();
    if kinds.is_empty() {
        return Ok(());
    }
    let arguments = application_arguments(tree)?;
    for kind in kinds {
        for argument in &arguments {
            println!("cargo:rustc-link-arg-{kind}={argument}");
        }
    }
    Ok(())
}

fn application_arguments(tree: &SpdkTree) -> Result<Vec<String>, Error> {
    let mut arguments = Vec::new();
    // DT_RPATH, not DT_RUNPATH: SPDK's libraries have no path of their own to find each other, and only DT_RPATH is
    // inherited.
    arguments.push("-Wl,--disable-new-dtags".to_owned());
    for dir in &tree.library_dirs {
        arguments.push(format!("-L{}", dir.display()));
        arguments.push(format!("-Wl,-rpath,{}", dir.display()));
    }
    // Modules register themselves in constructors; nothing refers to their symbols.
    arguments.push("-Wl,--no-as-needed".to_owned());
    arguments.extend(application_libraries(tree)?.iter().map(|soname| format!("-l:{soname}")));
    arguments.push("-Wl,--as-needed".to_owned());
    // 20.07 has ISA-L only as an archive, and its shared libraries expect the program to link it.
    let isal = tree.root.join("isa-l/.libs");
    if isal.join("libisal.a").is_file() && !isal.join("libisal.so").exists() {
        arguments.push("-Wl,--whole-archive".to_owned());
        arguments.push(isal.join("libisal.a").display().to_string());
        arguments.push("-Wl,--no-whole-archive".to_owned());
        arguments.push("-Wl,--export-dynamic".to_owned());
    }
    arguments.push("-Wl,--allow-shlib-undefined".to_owned());
    Ok(arguments)
}

/// Sonames of the libraries that the tree's stock application needs (the system's included: SPDK's libraries use
/// liburing without naming it), and of the tree's libraries that these need in turn. Some of SPDK's libraries have a
/// `DT_RUNPATH`, and for their needs ld.so ignores the program's `DT_RPATH`; a library that the program itself names is
/// loaded by then.
fn application_libraries(tree: &SpdkTree) -> Result<Vec<String>, Error> {
    let application = tree
        .apps
        .bdevperf
        .as_ref()
        .or(tree.apps.spdk_tgt.as_ref())
        .ok_or_else(|| Error::NoApplication { dir: tree.root.clone() })?;
    let mut unread = VecDeque::from(ElfInfo::read(application)?.needed);
    // Every program links these anyway.
    unread.retain(|soname| !soname.starts_with("libc.so") && !soname.starts_with("ld-linux"));
    let mut libraries: Vec<String> = unread.iter().cloned().collect();
    while let Some(soname) = unread.pop_front() {
        let Some(path) = in_tree(tree, &soname) else {
            continue;
        };
        for needed in ElfInfo::read(&path)?.needed {
            if !libraries.contains(&needed) && in_tree(tree, &needed).is_some() {
                libraries.push(needed.clone());
                unread.push_back(needed);
            }
        }
    }
    Ok(libraries)
}

fn in_tree(tree: &SpdkTree, soname: &str) -> Option<PathBuf> {
    tree.library_dirs.iter().map(|dir| dir.join(soname)).find(|path| path.is_file())
}

/// The kinds of program targets that a package has, as cargo's link instructions name them. Cargo refuses an
/// instruction for an absent kind.
fn target_kinds(package: &Path) -> Vec<&'static str> {
    let manifest = std::fs::read_to_string(package.join("Cargo.toml")).unwrap_or_default();
    let declares = |section: &str| manifest.lines().any(|line| line.trim() == section);
    let has_sources = |dir: &str| {
        std::fs::read_dir(package.join(dir)).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let path = entry.path();
                path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
            })
        })
    };
    let mut kinds = Vec::new();
    if package.join("src/main.rs").is_file() || has_sources("src/bin") || declares("[[bin]]") {
        kinds.push("bins");
    }
    for (kind, dir, section) in
        [("tests", "tests", "[[test]]"), ("examples", "examples", "[[example]]"), ("benches", "benches", "[[bench]]")]
    {
        if has_sources(dir) || declares(section) {
            kinds.push(kind);
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_follow_the_headers() {
        assert_eq!(cfgs(""), Vec::<&str>::new());
        let text = "pub struct spdk_bdev {\n    pub phys_blocklen: u32,\n}\npub struct spdk_app_opts {\n    \
            pub no_huge: bool,\n}\npub fn spdk_interrupt_mode_is_enabled() -> bool;";
        assert_eq!(cfgs(text), ["spdk_has_interrupt_mode", "spdk_has_no_huge", "spdk_has_phys_blocklen"]);
    }

    /// 24.09 and its neighbours have claim types, but no preferred sizes yet.
    #[test]
    fn a_field_of_another_structure_is_no_field_of_this() {
        let text = "pub struct spdk_bdev_opts { pub opts_size : usize , } pub struct spdk_app_opts { pub name : u8 , }";
        assert_eq!(cfgs(text), Vec::<&str>::new());
    }

    #[test]
    fn targets_are_found_by_place_and_by_manifest() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("create");
            std::fs::write(path, text).expect("write");
        };
        write("Cargo.toml", "[package]\n");
        write("src/lib.rs", "");
        assert!(target_kinds(dir.path()).is_empty());
        write("tests/one.rs", "");
        assert_eq!(target_kinds(dir.path()), ["tests"]);
        write("Cargo.toml", "[package]\n[[bin]]\nname = \"x\"\n");
        assert_eq!(target_kinds(dir.path()), ["bins", "tests"]);
    }
}
