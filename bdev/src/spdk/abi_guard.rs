// SPDX-License-Identifier: BSD-3-Clause

//! Refuses to run in a process with another SPDK than the one this module was built for.
//!
//! SPDK's structures differ between releases, and between builds of one release. The library names the soname of its
//! libspdk_bdev (`DT_NEEDED`), so ld.so refuses most mixtures; but two different trees can share a soname. So before
//! anything is registered, the build-id of the loaded libspdk_bdev is compared with that of the libspdk_bdev that this
//! module was built for. A process without such a library (linked statically, from the tree built for) has nothing to
//! compare.

use core::ffi::{c_int, c_void};
use std::ffi::CStr;

/// Build-id, in hex, of the libspdk_bdev that this module was built for; empty when that has none.
const BUILT_FOR: &str = env!("SPDK_BUILT_FOR_BUILD_ID");

/// A libspdk_bdev in this process.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    path: String,
    /// Build-id in hex; empty when it has none.
    build_id: String,
}

/// Ends the process with a message if its SPDK is not the one built for.
pub fn check() {
    let found = loaded();
    if let Some(message) = mismatch(&found) {
        eprintln!("{message}");
        // SAFETY: ends the process at once, without running destructors of libraries that are not initialised yet.
        unsafe { libc::_exit(1) };
    }
}

/// The message for the first library that does not match; none if all do.
fn mismatch(found: &[Found]) -> Option<String> {
    let other = found.iter().find(|library| !BUILT_FOR.is_empty() && library.build_id != BUILT_FOR)?;
    let id = if other.build_id.is_empty() { "none" } else { &other.build_id };
    Some(format!(
        "bdev_dedupe: this module was built for another SPDK and does not run in this one.\n\
         bdev_dedupe:   built for SPDK {} ({}, build-id {BUILT_FOR})\n\
         bdev_dedupe:   loaded is {} (build-id {id})\n\
         bdev_dedupe: build the module against the SPDK that you run (SPDK_DIR=/path/to/that/spdk cargo build \
         --release -p bdev), or run the SPDK that it was built for (LD_LIBRARY_PATH).",
        env!("SPDK_BUILT_FOR_VERSION"),
        env!("SPDK_BUILT_FOR_SONAME"),
        other.path,
    ))
}

/// Finds every libspdk_bdev in this process.
fn loaded() -> Vec<Found> {
    let mut found = Vec::new();
    // SAFETY: the callback gets the vector back, during this call only.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found
}

/// # Safety
/// ld.so calls it, with the context that it was given.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, context: *mut c_void) -> c_int {
    // SAFETY: the loader passes a description of a loaded object, `loaded` the vector.
    let (info, found) = unsafe { (&*info, &mut *context.cast::<Vec<Found>>()) };
    if info.dlpi_name.is_null() || info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: a C string that ld.so owns.
    let path = unsafe { CStr::from_ptr(info.dlpi_name) }.to_string_lossy();
    let file = path.rsplit('/').next().unwrap_or_default();
    if !file.starts_with("libspdk_bdev.so") {
        return 0;
    }
    // SAFETY: the loader describes that many program headers.
    let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE).map(|header| {
        let start = (info.dlpi_addr + header.p_vaddr) as *const u8;
        // SAFETY: a note segment of a loaded object lies in memory from its address on, for its size.
        unsafe { core::slice::from_raw_parts(start, header.p_memsz as usize) }
    });
    let build_id = notes.filter_map(build_id).next().unwrap_or_default();
    found.push(Found { path: path.into_owned(), build_id });
    0
}

/// The build-id in ELF notes, in hex.
fn build_id(mut notes: &[u8]) -> Option<String> {
    const GNU_BUILD_ID: u32 = 3;
    while let Some((header, rest)) = notes.split_at_checked(12) {
        let word = |index: usize| header[index * 4..][..4].try_into().map(u32::from_ne_bytes);
        let (name_len, desc_len, kind) = (word(0).ok()? as usize, word(1).ok()? as usize, word(2).ok()?);
        let (name, rest) = rest.split_at_checked(name_len.next_multiple_of(4))?;
        let desc = rest.get(..desc_len)?;
        if kind == GNU_BUILD_ID && name.starts_with(b"GNU\0") {
            return Some(desc.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        notes = rest.get(desc_len.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len() as u32, desc.len() as u32, kind] {
            bytes.extend(word.to_ne_bytes());
        }
        for part in [name, desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let mut notes = note(1, b"GNU\0", &[9; 16]);
        notes.extend(note(3, b"XYZ\0", &[8; 5]));
        notes.extend(note(3, b"GNU\0", &[0xab, 0x01, 0xff]));
        assert_eq!(build_id(&notes).as_deref(), Some("ab01ff"));
        assert_eq!(build_id(&note(1, b"GNU\0", &[9; 16])), None);
        assert_eq!(build_id(&notes[..20]), None, "cut short");
        assert_eq!(build_id(&[]), None);
    }

    #[test]
    fn another_library_is_refused_with_both_named() {
        let ours = Found { path: "/a/libspdk_bdev.so.19.0".to_owned(), build_id: BUILT_FOR.to_owned() };
        assert_eq!(mismatch(&[ours]), None);
        assert_eq!(mismatch(&[]), None);
        let other = Found { path: "/b/libspdk_bdev.so.19.0".to_owned(), build_id: "00ff".to_owned() };
        let message = mismatch(&[other]).expect("refused");
        assert!(message.contains("/b/libspdk_bdev.so.19.0 (build-id 00ff)"), "{message}");
        assert!(message.contains(BUILT_FOR) && message.contains("SPDK_DIR="), "{message}");
    }
}
