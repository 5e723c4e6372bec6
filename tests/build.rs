// SPDX-License-Identifier: BSD-3-Clause

//! Links the programs that run SPDK inside their own process (feature `bench`) to the SPDK that the module was built
//! for.

#[cfg(not(feature = "bench"))]
fn main() {}

#[cfg(feature = "bench")]
fn main() {
    spdk_sys_build::build_script(|| {
        let tree = spdk_sys_build::locate_or_obtain()?;
        // For the instructions to run again when the tree changes; there are no bindings here.
        spdk_sys_build::emit_cfgs(&tree, "");
        spdk_sys_build::emit_bin_link(&tree)
    });
}
