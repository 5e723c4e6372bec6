// SPDX-License-Identifier: BSD-3-Clause

//! The module against headers of another SPDK release than the one that all else is built for: 20.07, the other one that
//! Debian's archive has. The headers alone are unpacked; of the libraries there is an empty one with the right name, in the
//! place where an installation has it.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

use spdk_sys_build::{unpack_headers, Progress, Release};

/// Runs a command to its successful end.
fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

#[test]
fn the_module_compiles_against_the_oldest_headers() {
    let dir = tempfile::tempdir().expect("a directory");
    let prefix = dir.path();
    unpack_headers(Release::V2007, prefix, &Progress::stderr()).expect("Debian's archive or the cache has them");
    // What the build would generate.
    std::fs::write(prefix.join("include/spdk/config.h"), "").expect("written");
    std::fs::create_dir(prefix.join("lib")).expect("a directory");
    run(Command::new("cc")
        .args(["-shared", "-x", "c", "/dev/null", "-Wl,-soname,libspdk_bdev.so.3.0", "-o"])
        .arg(prefix.join("lib/libspdk_bdev.so")));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = tests.parent().expect("the workspace");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), Into::into);
    run(Command::new(env!("CARGO"))
        .args(["check", "--package", "bdev", "--features", "load", "--target-dir"])
        .arg(target.join("releases"))
        .current_dir(workspace)
        .env("SPDK_DIR", prefix)
        .env_remove("LD_LIBRARY_PATH"));
}
