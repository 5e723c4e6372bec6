// SPDX-License-Identifier: BSD-3-Clause

//! The relocator's reads: blocks that may be worth it are read, and the logical zones are asked to move what is in them.

use crate::context::{Context, Owner};
use crate::env::{Direction, Env};
use crate::error::RequestError;
use crate::format::compressed_block::{Fragments, MAX_FRAGMENTS};
use crate::format::{Mapped, MappingState};

/// Begins to read blocks that wait, if `enabled`. Returns whether any.
pub(super) fn advance<E: Env>(cx: &mut Context<'_, E>, enabled: bool) -> bool {
    let pieces = cx.stats.pieces_in;
    cx.relocator.allow(pieces);
    if !enabled || cx.is_read_only() {
        return false;
    }
    let mut progress = false;
    while let Some(pbn) = cx.relocator.next_read() {
        let references = cx.physical.references(pbn).unwrap_or(0);
        if references == 0 || usize::from(references) > MAX_FRAGMENTS / 2 {
            continue;
        }
        // The lock keeps the block from being given to somebody else and written while it is read.
        let Some(lease) = cx.lock_for_read(pbn, 1) else { continue };
        let (read, buf) = cx.relocator.begin(pbn, lease);
        cx.stats.relocation_reads += 1;
        cx.io.enqueue_direct(Direction::Read, pbn, buf, Owner::Relocation(read));
        progress = true;
    }
    progress
}

/// A block has been read, or could not be: that, and bytes that are no compressed block, is left to whoever reads a
/// fragment of it.
pub(super) fn read_done<E: Env>(cx: &mut Context<'_, E>, read: u32, result: Result<(), RequestError>) {
    let (pbn, buf, lease) = cx.relocator.end(read);
    cx.release(pbn, lease, None);
    let references = cx.physical.references(pbn).unwrap_or(0);
    // Copied out: sending needs the world that the block is a part of.
    let Ok(fragments) = Fragments::decode(cx.env.block(buf)).map(|fragments| fragments.owners()) else { return };
    if result.is_err() || usize::from(references) > fragments.count() / 2 {
        return;
    }
    for (slot, lbn) in (0..).zip(fragments.lbns()) {
        if !cx.geometry.contains(lbn, 1) {
            continue;
        }
        cx.relocate(lbn, Mapped { pbn, state: MappingState::Compressed(slot) });
    }
}
