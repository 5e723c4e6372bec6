// SPDX-License-Identifier: BSD-3-Clause

//! Gives the filesystem back what filled blocks take in the base's file, so that a volume may be larger than the disk.
//!
//! Only data blocks go, and only those that [`block::recognise`] knows; the volume's metadata stays. Nothing reads
//! these blocks again: no two are equal, so that none is compared with another, and the first read goes to a block
//! that is kept.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rustix::fs::{fallocate, seek, FallocateFlags, SeekFrom as Sparse};

use super::block::{self, BLOCK_BYTES};
use super::Outcome;

const CHUNK_BYTES: usize = 4 << 20;

/// Punches the filled blocks out of a file whose target is idle. Returns how many there were.
pub fn give_back(path: &Path) -> Outcome<u64> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut at, mut given) = (0, 0);
    while let Some(start) = next_data(&file, at)? {
        // Data begins and ends where the filesystem's blocks do.
        let start = start - start % BLOCK_BYTES as u64;
        let wanted = CHUNK_BYTES.min((length - start) as usize) / BLOCK_BYTES * BLOCK_BYTES;
        if wanted == 0 {
            break;
        }
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut chunk[..wanted])?;
        given += punch(&file, start, &chunk[..wanted])?;
        at = start + wanted as u64;
    }
    Ok(given)
}

fn next_data(file: &File, from: u64) -> Outcome<Option<u64>> {
    match seek(file, Sparse::Data(from)) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Punches runs of filled blocks.
fn punch(file: &File, start: u64, chunk: &[u8]) -> Outcome<u64> {
    let goes = |bytes: &[u8]| block::recognise(bytes).is_some_and(|number| !block::is_kept(number));
    let blocks: Vec<bool> = chunk.chunks_exact(BLOCK_BYTES).map(goes).collect();
    let (mut at, mut given) = (0, 0);
    for run in blocks.chunk_by(|one, other| one == other) {
        if run[0] {
            let offset = start + (at * BLOCK_BYTES) as u64;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(file, flags, offset, (run.len() * BLOCK_BYTES) as u64)?;
            given += run.len() as u64;
        }
        at += run.len();
    }
    Ok(given)
}
