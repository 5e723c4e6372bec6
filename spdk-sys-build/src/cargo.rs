// SPDX-License-Identifier: BSD-3-Clause

//! What a build script tells cargo: flags derived from the SPDK that was found, and how to link to it.
//!
//! Invariant: a module (cdylib) never gets a run path. With one, ld.so would find the libspdk_bdev it was built for inside a process of
//! another SPDK and load both, instead of refusing (spdk-rust.md 2.2, guard 1).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::bindings::has_symbol;
use crate::elf::ElfInfo;
use crate::error::Error;
use crate::tree::SpdkTree;

/// Releases for which a flag `spdk_ge_YYMM` exists; it is set when the tree is that release or a later one.
const RELEASES: &[u32] = &[
    2010, 2101, 2104, 2107, 2109, 2110, 2201, 2205, 2209, 2301, 2305, 2309, 2401, 2405, 2409, 2501, 2505, 2509, 2601,
    2605,
];

/// Flags that ask the bindings themselves: right for forks too, where a version number would lie.
const PROBES: &[(&str, &str)] = &[
    // struct spdk_bdev keeps its booleans in bit-fields (26.01).
    ("spdk_bdev_bitfields", "set_md_interleave"),
    ("spdk_has_get_app_thread", "spdk_thread_get_app_thread"),
    ("spdk_has_module_fini_done", "spdk_bdev_module_fini_done"),
    ("spdk_has_interrupt_mode", "spdk_interrupt_mode_is_enabled"),
    ("spdk_has_json_decode_uuid", "spdk_json_decode_uuid"),
    ("spdk_has_uuid_is_null", "spdk_uuid_is_null"),
    // The inline function of 20.07 became an exported one.
    ("spdk_has_channel_get_ctx", "spdk_io_channel_get_ctx"),
    ("spdk_has_poller_register_interrupt", "spdk_poller_register_interrupt"),
    ("spdk_has_async_fini_start", "async_fini_start"),
    ("spdk_has_bdev_open_ext_v2", "spdk_bdev_open_ext_v2"),
];

/// Every flag that [`emit_cfgs`] may set.
#[must_use]
pub fn cfg_names() -> Vec<String> {
    let releases = RELEASES.iter().map(|release| format!("spdk_ge_{release}"));
    let probes = PROBES.iter().map(|(name, _)| (*name).to_owned());
    releases.chain(probes).collect()
}

/// Sets the flags `spdk_ge_YYMM` and the probed ones for this tree, declares all of them, and has cargo run the build script again when
/// the choice of the tree or the tree itself changes.
pub fn emit_cfgs(tree: &SpdkTree, bindings_text: &str) {
    for name in cfg_names() {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    for name in cfgs(tree.version.release_number(), bindings_text) {
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

fn cfgs(release: u32, bindings_text: &str) -> Vec<String> {
    let releases = RELEASES.iter().filter(|&&known| release >= known).map(|known| format!("spdk_ge_{known}"));
    let probes =
        PROBES.iter().filter(|(_, symbol)| has_symbol(bindings_text, symbol)).map(|(name, _)| (*name).to_owned());
    releases.chain(probes).collect()
}

/// Links the package's cdylib as a module for this very SPDK: `DT_NEEDED` on its libspdk_bdev and on nothing else of it, no run path.
/// Also sets, for `env!` in the crate, `SPDK_BUILT_FOR_VERSION`, `SPDK_BUILT_FOR_SONAME` and `SPDK_BUILT_FOR_BUILD_ID` (hex; empty when the
/// library has none), so that the module can compare what it is loaded into with what it was built for.
///
/// The package must have a cdylib target (cargo refuses the instruction otherwise).
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

/// Links the package's own programs (binaries, and integration tests, examples and benches where the package has them) as SPDK
/// applications: to all the shared libraries that the tree's own bdevperf (else spdk_tgt) is linked to, with a run path, so that they
/// start without `LD_LIBRARY_PATH`. Emits nothing for a package without such targets, so that a package of a cdylib alone may call it
/// too. A tree without a readable bdevperf and spdk_tgt fails the build with a message (`cargo::error`).
pub fn emit_bin_link(tree: &SpdkTree) {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let kinds = package.as_deref().map(target_kinds).unwrap_or_default();
    if kinds.is_empty() {
        return;
    }
    let Some(arguments) = or_fail_the_build(application_arguments(tree)) else {
        return;
    };
    for kind in kinds {
        for argument in &arguments {
            println!("cargo:rustc-link-arg-{kind}={argument}");
        }
    }
}

/// Lets the unit tests of a library package link: every target of the package is linked, as needed and without a run path, to
/// the libraries an SPDK application has. Unit tests that are linked so run with [`SpdkTree::ld_library_path`] as `LD_LIBRARY_PATH`.
/// (Cargo has no instruction for a library's unit tests alone. A cdylib of the package gets `DT_NEEDED` on those libraries that it uses;
/// it stays loadable in the same SPDK, and only there.) Fails the build as [`emit_bin_link`] does.
pub fn emit_lib_test_link(tree: &SpdkTree) {
    let Some(libraries) = or_fail_the_build(application_libraries(tree)) else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,--as-needed");
    for dir in &tree.library_dirs {
        println!("cargo:rustc-link-arg=-L{}", dir.display());
    }
    for soname in libraries {
        println!("cargo:rustc-link-arg=-l:{soname}");
    }
    println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
}

/// Has cargo fail the build, once the script has ended, with the error as its message.
fn or_fail_the_build<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            println!("cargo::error={}", error.to_string().replace('\n', " "));
            None
        }
    }
}

fn application_arguments(tree: &SpdkTree) -> Result<Vec<String>, Error> {
    let mut arguments = Vec::new();
    // DT_RPATH, not DT_RUNPATH: SPDK's libraries have no path of their own to find each other by, and only the former is inherited.
    arguments.push("-Wl,--disable-new-dtags".to_owned());
    for dir in &tree.library_dirs {
        arguments.push(format!("-L{}", dir.display()));
        arguments.push(format!("-Wl,-rpath,{}", dir.display()));
    }
    // Modules register themselves in constructors; nothing refers to them.
    arguments.push("-Wl,--no-as-needed".to_owned());
    arguments.extend(application_libraries(tree)?.iter().map(|soname| format!("-l:{soname}")));
    arguments.push("-Wl,--as-needed".to_owned());
    // 20.07 has ISA-L as an archive only, and its shared libraries expect the program to bring it.
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

/// Sonames of the libraries that the tree's stock application names (the system's as well: SPDK's libraries use liburing without naming
/// it), and of those of the tree that these need in turn: some of SPDK's libraries have a `DT_RUNPATH`, for whose needs ld.so ignores the
/// program's `DT_RPATH`; what the program itself names is loaded by then.
fn application_libraries(tree: &SpdkTree) -> Result<Vec<String>, Error> {
    let application = tree
        .apps
        .bdevperf
        .as_ref()
        .or(tree.apps.spdk_tgt.as_ref())
        .ok_or_else(|| Error::NoApplication { dir: tree.root.clone() })?;
    let mut unread = VecDeque::from(ElfInfo::read(application)?.needed);
    // Every program is linked to these anyway.
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

/// The kinds of program targets a package has, as cargo's link instructions name them. Cargo refuses an instruction for a kind
/// that is absent.
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
    fn release_flags_follow_the_version() {
        assert_eq!(cfgs(2007, ""), Vec::<String>::new());
        let flags = cfgs(2104, "");
        assert_eq!(flags, ["spdk_ge_2010", "spdk_ge_2101", "spdk_ge_2104"]);
        assert!(cfgs(2601, "").contains(&"spdk_ge_2601".to_owned()));
        assert!(!cfgs(2601, "").contains(&"spdk_ge_2605".to_owned()));
    }

    #[test]
    fn probed_flags_follow_the_bindings() {
        let text = "    pub fn set_md_interleave(&mut self, val: bool) {";
        assert_eq!(cfgs(2007, text), ["spdk_bdev_bitfields"]);
        let longer = "    pub fn set_md_interleave_more(&mut self, val: bool) {";
        assert!(cfgs(2007, longer).is_empty());
    }

    #[test]
    fn every_flag_that_is_set_is_declared() {
        let names = cfg_names();
        let text: String = PROBES.iter().map(|(_, symbol)| format!("pub fn {symbol}(\n")).collect();
        assert!(cfgs(9912, &text).iter().all(|flag| names.contains(flag)));
        assert_eq!(cfgs(9912, &text).len(), names.len());
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
