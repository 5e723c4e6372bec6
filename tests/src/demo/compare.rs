// SPDX-License-Identifier: BSD-3-Clause

//! Byte by byte.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const CHUNK: usize = 1 << 20;

/// Where two files first differ; one that is shorter differs where it ends.
///
/// # Errors
/// One of them cannot be read.
pub fn same_bytes(one: &Path, other: &Path) -> std::io::Result<Option<u64>> {
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut offset = 0;
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(CHUNK as u64).read_to_end(&mut left)?;
        other.by_ref().take(CHUNK as u64).read_to_end(&mut right)?;
        if left != right {
            let equal = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
            return Ok(Some(offset + equal as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        offset += left.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).expect("write");
            path
        };
        let long = vec![7; CHUNK + 10];
        let mut changed = long.clone();
        changed[CHUNK + 3] = 8;
        let long = file("long", &long);
        assert_eq!(same_bytes(&long, &file("same", &vec![7; CHUNK + 10])).expect("reads"), None);
        assert_eq!(same_bytes(&long, &file("changed", &changed)).expect("reads"), Some(CHUNK as u64 + 3));
        assert_eq!(same_bytes(&long, &file("short", &[7; 5])).expect("reads"), Some(5));
    }
}
