// SPDX-License-Identifier: BSD-3-Clause

//! Transfers of a volume's objects: in pieces, each with one retry.

use mpool::drive::Durability;
use mpool::error::{Kind, Result};
use mpool::SlabObject;

/// Bytes of one transfer.
const PIECE_BYTES: usize = 1 << 20;

/// Reads `bytes` bytes of an object from byte `offset` on.
///
/// # Errors
/// Invalid: not whole sectors, or out of range. Io, after one retry; NoMemory.
pub(super) async fn read(object: &SlabObject, offset: u64, bytes: usize) -> Result<Vec<u8>> {
    let mut content = Vec::with_capacity(bytes);
    let mut buf = object.allocate(bytes.min(PIECE_BYTES))?;
    while content.len() < bytes {
        let (at, length) = (offset.saturating_add(content.len() as u64), PIECE_BYTES.min(bytes - content.len()));
        let (read, outcome) = object.read(at, buf, 0..length).await;
        let (read, outcome) = match outcome {
            Err(error) if error.kind() == Kind::Io => object.read(at, read, 0..length).await,
            other => (read, other),
        };
        outcome?;
        content.extend_from_slice(&(*read).as_ref()[..length]);
        buf = read;
    }
    Ok(content)
}

/// Writes `bytes` to an object from byte `offset` on.
///
/// # Errors
/// As for [`read`].
pub(super) async fn write(object: &SlabObject, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut buf = object.allocate(bytes.len().min(PIECE_BYTES))?;
    let mut at = offset;
    for piece in bytes.chunks(PIECE_BYTES) {
        (*buf).as_mut()[..piece.len()].copy_from_slice(piece);
        let (written, outcome) = object.write(at, buf, 0..piece.len(), Durability::Deferred).await;
        let (written, outcome) = match outcome {
            Err(error) if error.kind() == Kind::Io => {
                object.write(at, written, 0..piece.len(), Durability::Deferred).await
            }
            other => (written, other),
        };
        outcome?;
        buf = written;
        at = at.saturating_add(piece.len() as u64);
    }
    Ok(())
}
