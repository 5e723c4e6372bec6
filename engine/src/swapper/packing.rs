// SPDX-License-Identifier: BSD-3-Clause

//! Assembles the new compressed block: the client's content in place of its old one, and the other fragments in use of
//! the old block.
//!
//! Each fragment that moves is verified against the check code of its mapping before it is copied.

use super::{Swap, Swapper};
use crate::context::Context;
use crate::env::Env;
use crate::format::compressed_block::{encode, FragmentEntry, Fragments, ENTRY_BYTES, MAX_FRAGMENTS, ROOM};
use crate::format::MappingState;
use crate::packing::compression::decompress;
use crate::read_check;

/// Assembles the new block; `None` if the content does not fit, or a fragment is not what its mapping says.
pub(super) fn pack<Buf: Copy + core::fmt::Debug, E: Env<Buf = Buf>>(
    swapper: &mut Swapper<Buf>,
    cx: &mut Context<'_, E>,
    index: u32,
    content: Buf,
) -> Option<()> {
    let Swapper { swaps, compressor, restored, packed, .. } = swapper;
    let Swap { request, parts, count, old, buf, .. } = &mut swaps[index];
    compressor.compress(cx.env.block(content))?;
    let old = Fragments::decode(old).ok()?;
    let mut entries = [FragmentEntry::default(); MAX_FRAGMENTS];
    let mut places: [Option<u8>; MAX_FRAGMENTS] = [None; MAX_FRAGMENTS];
    let (mut fragments, mut used) = (0, 0);
    for part in &mut parts[..*count] {
        let fragment = if part.lbn == request.lbn {
            part.fingerprint = cx.fingerprinter.fingerprint(cx.env.block(content));
            compressor.fragment()
        } else {
            let mapping = part.mapping?;
            let MappingState::Compressed(slot) = mapping.state() else { return None };
            let fragment = old.get(slot).ok()?;
            decompress(fragment, restored).ok()?;
            if read_check::code_found(restored, mapping.check()) != mapping.check() {
                return None;
            }
            part.fingerprint = cx.fingerprinter.fingerprint(restored);
            let place = places.get_mut(usize::from(slot))?;
            if let Some(slot) = *place {
                part.slot = slot;
                continue;
            }
            *place = Some(fragments as u8);
            fragment
        };
        if fragments == MAX_FRAGMENTS || used + fragment.len() + (fragments + 1) * ENTRY_BYTES > ROOM {
            return None;
        }
        part.slot = fragments as u8;
        entries[fragments] = FragmentEntry { size: fragment.len() as u16, lbn: part.lbn };
        packed[used..used + fragment.len()].copy_from_slice(fragment);
        (fragments, used) = (fragments + 1, used + fragment.len());
    }
    encode(&entries[..fragments], &packed[..used], cx.env.block_mut(*buf));
    Some(())
}
