// SPDX-License-Identifier: BSD-3-Clause

//! The relocator's reads: reads blocks that may be worth it, and asks the logical zones to relocate their fragments.

use crate::context::{Context, Owner};
use crate::env::{Direction, Env};
use crate::error::RequestError;
use crate::format::compressed_block::{Fragments, MAX_FRAGMENTS};
use crate::format::{Mapped, MappingState};

/// Starts reads of queued blocks, if `enabled`. Returns whether any started.
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
        // The lock keeps the block from being allocated again and overwritten while it is read.
        let Some(lease) = cx.lock_for_read(pbn, 1) else { continue };
        let (read, buf) = cx.relocator.begin(pbn, lease);
        cx.stats.relocation_reads += 1;
        cx.io.enqueue_direct(Direction::Read, pbn, buf, Owner::Relocation(read));
        progress = true;
    }
    progress
}

/// The read of a block has ended. Read errors and blocks that cannot be decoded are ignored here; the next client read
/// of a fragment reports them.
pub(super) fn read_done<E: Env>(cx: &mut Context<'_, E>, read: u32, result: Result<(), RequestError>) {
    let (pbn, buf, lease) = cx.relocator.end(read);
    cx.release(pbn, lease, None);
    let references = cx.physical.references(pbn).unwrap_or(0);
    // Copy the owners: sending needs `cx`, from which the block is borrowed.
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
