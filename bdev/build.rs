// SPDX-License-Identifier: BSD-3-Clause

//! Finds SPDK (or obtains and builds it), generates the bindings and tells cargo how to link the module.

use std::path::Path;

fn main() {
    spdk_sys_build::build_script(|| {
        let tree = spdk_sys_build::locate_or_obtain()?;
        // Cargo sets the variable for every build script.
        let out = std::env::var_os("OUT_DIR").unwrap_or_default();
        let bindings = spdk_sys_build::bindings(&tree, &Path::new(&out).join("bindings.rs"))?;
        spdk_sys_build::emit_cfgs(&tree, &bindings);
        spdk_sys_build::emit_cdylib_link(&tree);
        // The example is an SPDK application; an SPDK that is installed without programs can still check the module.
        match spdk_sys_build::emit_bin_link(&tree) {
            Err(spdk_sys_build::Error::NoApplication { .. }) => Ok(()),
            linked => linked,
        }
    });
    // Unit tests are programs without SPDK: they test what needs none and never call what does. The module leaves
    // SPDK's symbols to the application anyway.
    println!("cargo:rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
    println!("cargo:rerun-if-changed=build.rs");
}
