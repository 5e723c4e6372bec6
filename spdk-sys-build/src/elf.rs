// SPDX-License-Identifier: BSD-3-Clause

//! Reads from an ELF file the three things that matter here: soname, build-id and needed libraries.
//!
//! Invariant: every offset and length comes from the file and is checked against the file. A truncated or hostile file
//! gives an error or an absent value, never a panic, an endless loop, or an allocation that the file's size does not
//! justify. Only 64-bit little-endian files: SPDK supports no other machine.

use std::path::Path;

use crate::error::Error;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const NT_GNU_BUILD_ID: u32 = 3;
/// The longest build-id accepted; linkers write 8 to 32 bytes (`--build-id=0x...` allows more).
const BUILD_ID_MAX_BYTES: usize = 64;

/// What is wrong with an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The file does not start as a 64-bit little-endian ELF file.
    #[error("not a 64-bit little-endian ELF file")]
    NotElf64Le,
    /// A table lies, wholly or in part, outside of the file.
    #[error("damaged ELF file: {0} lies outside of the file")]
    OutOfBounds(&'static str),
    /// A string is not terminated or not text.
    #[error("damaged ELF file: a name in the dynamic section is not readable")]
    BadName,
}

/// What was read from a shared library or a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfInfo {
    /// `DT_SONAME`, for instance `libspdk_bdev.so.19.0`.
    pub soname: Option<String>,
    /// The GNU build-id in lower-case hex.
    pub build_id: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
}

impl ElfInfo {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a valid 64-bit little-endian ELF file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io("reading", path))?;
        Self::parse(&bytes).map_err(|source| Error::Elf { path: path.to_owned(), source })
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// See [`ElfError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        // e_ident: magic, ELFCLASS64, ELFDATA2LSB.
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err(ElfError::NotElf64Le);
        }
        let segments = segments(bytes)?;
        let mut info = Self::default();
        for segment in &segments {
            match segment.kind {
                PT_NOTE if info.build_id.is_none() => {
                    let notes = part(bytes, segment.offset, segment.file_size, "a note segment")?;
                    info.build_id = build_id(notes);
                }
                PT_DYNAMIC => {
                    let dynamic = part(bytes, segment.offset, segment.file_size, "the dynamic section")?;
                    read_dynamic(bytes, &segments, dynamic, &mut info)?;
                }
                _ => {}
            }
        }
        Ok(info)
    }
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
}

fn segments(bytes: &[u8]) -> Result<Vec<Segment>, ElfError> {
    const HEADER: &str = "the ELF header";
    let table = u64_at(bytes, 32).ok_or(ElfError::OutOfBounds(HEADER))?;
    let entry_size = u64::from(u16_at(bytes, 54).ok_or(ElfError::OutOfBounds(HEADER))?);
    let count = u64::from(u16_at(bytes, 56).ok_or(ElfError::OutOfBounds(HEADER))?);
    if count == 0 {
        return Ok(Vec::new());
    }
    if entry_size < 56 {
        return Err(ElfError::OutOfBounds("a program header"));
    }
    let table = part(bytes, table, count * entry_size, "the program header table")?;
    // entry_size fits usize: it came from a u16.
    Ok(table.chunks_exact(entry_size as usize).filter_map(segment).collect())
}

fn segment(entry: &[u8]) -> Option<Segment> {
    Some(Segment {
        kind: u32_at(entry, 0)?,
        offset: u64_at(entry, 8)?,
        address: u64_at(entry, 16)?,
        file_size: u64_at(entry, 32)?,
    })
}

/// The build-id in the notes of one segment. Notes after a damaged one are ignored.
fn build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let name_len = u32_at(notes, 0)? as usize;
        let desc_len = u32_at(notes, 4)? as usize;
        let kind = u32_at(notes, 8)?;
        let desc_at = 12usize.checked_add(align4(name_len)?)?;
        let end = desc_at.checked_add(desc_len)?;
        let name = notes.get(12..12usize.checked_add(name_len)?)?;
        let desc = notes.get(desc_at..end)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && (1..=BUILD_ID_MAX_BYTES).contains(&desc_len) {
            return Some(desc.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        // Each step advances by at least 12 bytes, so the loop ends.
        notes = notes.get(desc_at.checked_add(align4(desc_len)?)?..)?;
    }
}

fn read_dynamic(bytes: &[u8], segments: &[Segment], dynamic: &[u8], info: &mut ElfInfo) -> Result<(), ElfError> {
    let entries: Vec<(u64, u64)> = dynamic
        .chunks_exact(16)
        .filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|&(tag, _)| tag != DT_NULL)
        .collect();
    let find = |wanted| entries.iter().find(|&&(tag, _)| tag == wanted).map(|&(_, value)| value);
    let (Some(address), Some(size)) = (find(DT_STRTAB), find(DT_STRSZ)) else {
        return Ok(());
    };
    let offset = file_offset(segments, address).ok_or(ElfError::OutOfBounds("the string table"))?;
    let strings = part(bytes, offset, size, "the string table")?;
    for (tag, value) in entries {
        match tag {
            DT_SONAME => info.soname = Some(string(strings, value)?),
            DT_NEEDED => info.needed.push(string(strings, value)?),
            _ => {}
        }
    }
    Ok(())
}

fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
        let within = address.checked_sub(segment.address)?;
        (within < segment.file_size).then(|| segment.offset.checked_add(within))?
    })
}

fn string(strings: &[u8], at: u64) -> Result<String, ElfError> {
    let tail = usize::try_from(at).ok().and_then(|at| strings.get(at..)).ok_or(ElfError::BadName)?;
    let len = tail.iter().position(|&byte| byte == 0).ok_or(ElfError::BadName)?;
    String::from_utf8(tail[..len].to_vec()).map_err(|_| ElfError::BadName)
}

fn part<'a>(bytes: &'a [u8], offset: u64, len: u64, what: &'static str) -> Result<&'a [u8], ElfError> {
    let start = usize::try_from(offset).ok();
    let end = offset.checked_add(len).and_then(|end| usize::try_from(end).ok());
    start.zip(end).and_then(|(start, end)| bytes.get(start..end)).ok_or(ElfError::OutOfBounds(what))
}

fn align4(len: usize) -> Option<usize> {
    Some(len.checked_add(3)? & !3)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// An ELF file with three program headers (LOAD, NOTE, DYNAMIC), a soname, a needed library and a build-id.
#[cfg(test)]
pub(crate) fn sample() -> Vec<u8> {
    let strings = b"\0libspdk_bdev.so.19.0\0libc.so.6\0";
    let mut notes = Vec::new();
    // Another note first, with a name and a description that need padding.
    for (name, kind, desc) in [(&b"Go\0"[..], 4u32, &[1u8, 2, 3, 4, 5][..]), (b"GNU\0", 3, &[0xde, 0xad, 0xbe, 0xef])] {
        notes.extend((name.len() as u32).to_le_bytes());
        notes.extend((desc.len() as u32).to_le_bytes());
        notes.extend(kind.to_le_bytes());
        for part in [name, desc] {
            notes.extend(part);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
    }
    let strings_at = 64 + 3 * 56u64;
    let notes_at = strings_at + strings.len() as u64;
    let dynamic_at = notes_at + notes.len() as u64;
    let mut dynamic = Vec::new();
    let base = 0x1000;
    for (tag, value) in [
        (DT_NEEDED, 22),
        (DT_SONAME, 1),
        (DT_STRTAB, base + strings_at),
        (DT_STRSZ, strings.len() as u64),
        (DT_NULL, 0),
        (DT_SONAME, 9999),
    ] {
        dynamic.extend(tag.to_le_bytes());
        dynamic.extend(value.to_le_bytes());
    }
    let total = dynamic_at + dynamic.len() as u64;

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[54..56].copy_from_slice(&56u16.to_le_bytes());
    file[56..58].copy_from_slice(&3u16.to_le_bytes());
    for (kind, offset, address, size) in [
        (PT_LOAD, 0, base, total),
        (PT_NOTE, notes_at, 0, notes.len() as u64),
        (PT_DYNAMIC, dynamic_at, 0, dynamic.len() as u64),
    ] {
        let mut header = vec![0u8; 56];
        header[0..4].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&offset.to_le_bytes());
        header[16..24].copy_from_slice(&address.to_le_bytes());
        header[32..40].copy_from_slice(&size.to_le_bytes());
        file.extend(header);
    }
    file.extend(strings);
    file.extend(notes);
    file.extend(dynamic);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_soname_needed_and_build_id() {
        let info = ElfInfo::parse(&sample()).expect("a sound file");
        assert_eq!(info.soname.as_deref(), Some("libspdk_bdev.so.19.0"));
        assert_eq!(info.needed, ["libc.so.6"]);
        assert_eq!(info.build_id.as_deref(), Some("deadbeef"));
    }

    #[test]
    fn reads_the_library_that_this_test_runs_with() {
        let own = std::env::current_exe().expect("the test's own path");
        let info = ElfInfo::read(&own).expect("a sound file");
        assert!(info.needed.iter().any(|name| name.starts_with("libc.so")), "{info:?}");
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_empty_never_a_panic() {
        let whole = sample();
        for len in 0..whole.len() {
            if let Ok(info) = ElfInfo::parse(&whole[..len]) {
                assert_ne!(info, ElfInfo::parse(&whole).expect("sound"), "cut at {len}");
            }
        }
    }

    #[test]
    fn any_byte_turned_hostile_is_survived() {
        let whole = sample();
        for at in 0..whole.len() {
            for value in [0x00, 0x7f, 0x80, 0xff] {
                let mut file = whole.clone();
                file[at] = value;
                // Runs of eight make whole 64-bit fields extreme.
                let mut wide = file.clone();
                let end = (at + 8).min(wide.len());
                wide[at..end].fill(value);
                let _ = (ElfInfo::parse(&file), ElfInfo::parse(&wide));
            }
        }
    }

    #[test]
    fn what_is_not_elf_is_refused() {
        assert_eq!(ElfInfo::parse(b"!<arch>\n"), Err(ElfError::NotElf64Le));
        assert_eq!(ElfInfo::parse(b"\x7fELF\x01\x01"), Err(ElfError::NotElf64Le));
    }
}
