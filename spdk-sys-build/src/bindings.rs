// SPDX-License-Identifier: BSD-3-Clause

//! Rust bindings for the headers of the tree that the module is built for.
//!
//! The bound items are those that a bdev module, its RPCs and the project's own SPDK application use; types are added
//! as needed. Headers that only newer releases have are included where they exist. Layout tests are compile-time
//! assertions in the output.
//!
//! Include the output in a module of its own: `#[allow(...)] mod ffi { include!(concat!(env!("OUT_DIR"),
//! "/bindings.rs")); }` with `unknown_lints, unnecessary_transmutes, non_camel_case_types, non_snake_case,
//! non_upper_case_globals, dead_code, missing_docs, unsafe_op_in_unsafe_fn, clippy::all,
//! clippy::undocumented_unsafe_blocks`.

use std::path::Path;

use crate::error::Error;
use crate::tree::SpdkTree;

/// Included where the tree has them.
const HEADERS: &[&str] = &[
    "stdinc.h",
    "bdev.h",
    "bdev_module.h",
    "cpuset.h",
    "crc32.h",
    "env.h",
    "event.h",
    "fd_group.h",
    "histogram_data.h",
    "init.h",
    "json.h",
    "jsonrpc.h",
    "log.h",
    "notify.h",
    "nvme_spec.h",
    "rpc.h",
    "string.h",
    "thread.h",
    "util.h",
    "uuid.h",
    "version.h",
];

const FUNCTIONS: &[&str] = &[
    "spdk_bdev_.*",
    "spdk_get_io_channel",
    "spdk_put_io_channel",
    "spdk_io_channel_.*",
    "spdk_io_device_.*",
    "spdk_for_each_.*",
    "spdk_thread_.*",
    "spdk_get_thread",
    "spdk_set_thread",
    "spdk_poller_.*",
    "spdk_interrupt_.*",
    "spdk_fd_group_.*",
    "spdk_json_.*",
    "spdk_jsonrpc_.*",
    "spdk_rpc_.*",
    "spdk_log.*",
    "spdk_uuid_.*",
    "spdk_cpuset_.*",
    "spdk_env_.*",
    "spdk_dma_.*",
    "spdk_malloc",
    "spdk_zmalloc",
    "spdk_realloc",
    "spdk_free",
    "spdk_mempool_.*",
    "spdk_get_ticks.*",
    "spdk_delay_us",
    "spdk_strerror.*",
    "spdk_crc32.*",
    "spdk_app_.*",
    "spdk_subsystem_.*",
    "spdk_reactor.*",
    "spdk_event_.*",
    "spdk_notify_.*",
    "spdk_histogram_data_.*",
    "spdk_iobuf_.*",
];

const TYPES: &[&str] = &[
    "spdk_bdev",
    "spdk_bdev_.*",
    "spdk_io_channel.*",
    "spdk_io_device.*",
    "spdk_thread.*",
    "spdk_poller.*",
    "spdk_json.*",
    "spdk_jsonrpc.*",
    "spdk_log.*",
    "spdk_uuid",
    "spdk_cpuset",
    "spdk_env_opts",
    "spdk_app_.*",
    "spdk_histogram_data.*",
    "spdk_nvme_(status_code_type|.*_status_code)",
];

const VARIABLES: &[&str] = &[
    "SPDK_APP_.*",
    "SPDK_BDEV_.*",
    "SPDK_CPUSET_.*",
    "SPDK_ENV_.*",
    "SPDK_HISTOGRAM_.*",
    "SPDK_JSON.*",
    "SPDK_LOG_.*",
    "SPDK_MALLOC_.*",
    "SPDK_NVME_(SC|SCT)_.*",
    "SPDK_POLLER_.*",
    "SPDK_RPC_.*",
    "SPDK_UUID_.*",
    "SPDK_VERSION.*",
    "SPDK_DEFAULT_RPC_ADDR",
];

/// Generates bindings for the tree, writes them to `out_path` and returns their text (for [`crate::emit_cfgs`]).
///
/// # Errors
/// libclang is missing or refuses the headers, or the file cannot be written.
pub fn bindings(tree: &SpdkTree, out_path: &Path) -> Result<String, Error> {
    let mut builder = bindgen::Builder::default()
        .header_contents("spdk-module.h", &wrapper_header(tree))
        // A newer SPDK may add values to a C enum; a Rust enum must not have unknown values.
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .layout_tests(true)
        .generate_comments(false)
        .derive_debug(false)
        .merge_extern_blocks(true)
        // Packed structures with an aligned bit-field member (26.x) cannot be expressed in Rust (E0588). The status
        // code enumerations share the prefix and must not become opaque.
        .opaque_type("spdk_bdev_ext_io_opts")
        .opaque_type("spdk_nvme_(ctrlr|ns|cmd|cpl|sgl|zns|transport|cdata|feat|registered|reservation|health|error|ana|intel|qpair|kv|nvm|firmware|power|fabric|host|ocssd|protection).*");
    if let Ok(target) = bindgen::RustTarget::stable(85, 0) {
        builder = builder.rust_target(target);
    }
    for dir in &tree.include_dirs {
        builder = builder.clang_arg(format!("-I{}", dir.display()));
    }
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    let generated = builder.generate().map_err(|error| Error::Bindgen {
        dir: tree.include_dirs.first().unwrap_or(&tree.root).clone(),
        reason: error.to_string(),
    })?;
    let text = generated.to_string();
    std::fs::write(out_path, &text).map_err(Error::io("writing", out_path))?;
    Ok(text)
}

fn wrapper_header(tree: &SpdkTree) -> String {
    HEADERS
        .iter()
        .filter(|name| tree.include_dirs.iter().any(|dir| dir.join("spdk").join(name).is_file()))
        .map(|name| format!("#include <spdk/{name}>\n"))
        .collect()
}

/// What to look for in the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A function.
    Function(&'static str),
    /// A field of a structure, directly in it or in one of its bit-fields.
    Field(&'static str, &'static str),
    /// An enumeration.
    Enumeration(&'static str),
}

impl Probe {
    /// Whether the bindings declare the item.
    pub(crate) fn is_in(self, bindings_text: &str) -> bool {
        match self {
            Probe::Function(name) => declares(bindings_text, "fn ", name),
            Probe::Enumeration(name) => declares(bindings_text, "mod ", name),
            Probe::Field(structure, field) => {
                let in_block = |block: &str| declares(block, "pub ", field) || declares(block, "fn ", field);
                blocks(bindings_text, "struct ", structure).any(in_block)
                    || blocks(bindings_text, "impl ", structure).any(in_block)
            }
        }
    }
}

/// The text in braces after each declaration `keyword name`. (The text may be formatted or a single line.)
fn blocks<'a>(text: &'a str, keyword: &'static str, name: &'static str) -> impl Iterator<Item = &'a str> {
    declarations(text, keyword, name).filter_map(|rest| {
        let start = rest.find(['{', ';'])?;
        let mut depth = 0usize;
        for (at, byte) in rest.bytes().enumerate().skip(start) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b';' if depth == 0 => return None,
                _ => continue,
            }
            if depth == 0 {
                return rest.get(start..at);
            }
        }
        None
    })
}

fn declares(text: &str, keyword: &'static str, name: &'static str) -> bool {
    declarations(text, keyword, name).next().is_some()
}

/// The text after each occurrence of `keyword name` as whole words.
fn declarations<'a>(text: &'a str, keyword: &'static str, name: &'static str) -> impl Iterator<Item = &'a str> {
    text.match_indices(keyword).filter_map(move |(at, _)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let rest = text[at + keyword.len()..].strip_prefix(name)?;
        (!rest.starts_with(is_word) && !text[..at].ends_with(is_word)).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATTED: &str = "unsafe extern \"C\" {\n    pub fn spdk_uuid_is_null(uuid: *const spdk_uuid) -> bool;\n}\n\
        pub struct spdk_bdev {\n    pub max_unmap: u32,\n    pub internal: spdk_bdev__bindgen_ty_1,\n}\n\
        impl spdk_bdev {\n    #[inline]\n    pub fn zoned(&self) -> bool {\n        unsafe { true }\n    }\n}\n\
        pub struct spdk_other {\n    pub opts_size: usize,\n}\n\
        pub mod spdk_claim_type {\n    pub type Type = u32;\n}\n// fn spdk_gone()\n";

    #[test]
    fn functions_are_whole_words_at_declarations() {
        for (name, there) in [("spdk_uuid_is_null", true), ("spdk_uuid_is", false), ("uuid_is_null", false)] {
            assert_eq!(Probe::Function(name).is_in(FORMATTED), there, "{name}");
        }
        assert!(!Probe::Function("spdk_uuid").is_in(""));
    }

    #[test]
    fn fields_are_looked_for_in_their_structure_alone() {
        let has = |structure, field| Probe::Field(structure, field).is_in(FORMATTED);
        assert!(has("spdk_bdev", "max_unmap") && has("spdk_bdev", "internal") && has("spdk_bdev", "zoned"));
        assert!(has("spdk_other", "opts_size"));
        assert!(!has("spdk_bdev", "opts_size"), "another structure's");
        assert!(!has("spdk_bdev", "max_un") && !has("spdk", "max_unmap") && !has("spdk_bdev__bindgen_ty_1", "x"));
    }

    #[test]
    fn enumerations_are_modules() {
        assert!(Probe::Enumeration("spdk_claim_type").is_in(FORMATTED));
        assert!(!Probe::Enumeration("spdk_claim").is_in(FORMATTED));
    }

    /// Without rustfmt on the machine, bindgen writes everything in one line.
    #[test]
    fn a_text_that_nobody_formatted_is_understood() {
        let text = "pub struct spdk_bdev { pub blocklen : u32 , } impl spdk_bdev { pub fn zoned (& self) -> bool { 1 } } \
            pub struct spdk_app_opts { pub opts_size : usize , } pub struct spdk_opaque ; pub struct z { pub a : u8 , }";
        assert!(Probe::Field("spdk_bdev", "blocklen").is_in(text) && Probe::Field("spdk_bdev", "zoned").is_in(text));
        assert!(Probe::Field("spdk_app_opts", "opts_size").is_in(text));
        assert!(!Probe::Field("spdk_bdev", "opts_size").is_in(text));
        assert!(!Probe::Field("spdk_opaque", "a").is_in(text));
        // Truncated text: no field, and no panic.
        for end in 0..text.len() {
            let _ = Probe::Field("spdk_app_opts", "opts_size").is_in(&text[..end]);
        }
    }
}
