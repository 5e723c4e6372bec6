// SPDX-License-Identifier: BSD-3-Clause

//! Finds SPDK (or obtains and builds it), generates the bindings and tells cargo how to link the module.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tree = spdk_sys_build::locate_or_obtain()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("bindings.rs");
    let bindings = spdk_sys_build::bindings(&tree, &out)?;
    spdk_sys_build::emit_cfgs(&tree, &bindings);
    spdk_sys_build::emit_cdylib_link(&tree);
    // Unit tests are programs without SPDK: they test what needs none and never call what does. The module leaves
    // SPDK's symbols to the application anyway.
    println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
