// SPDX-License-Identifier: BSD-3-Clause

//! Loads pages from media into the cache.

use super::buffers::Use;
use super::frame::{FrameInfo, FrameState};
use super::requests::Lack;
use super::walk::Step;
use super::BlockMap;
use crate::env::{Direction, Env, ReadOnlyReason};
use crate::error::RequestError;
use crate::format::map_page::{self, PageName};
use crate::format::{Mapping, PageId, Place};
use crate::io::{MetadataIo, MetadataOwner};
use crate::units::Block;

/// Name of a page in reports to the operator.
const WHAT: &str = "block map page";

/// Location of a page on media.
pub(super) fn place(info: &FrameInfo) -> Place {
    if info.page.is_root() {
        Place::Roots { block: info.page.tree() as u32 }
    } else {
        Place::Data(info.link.pbn())
    }
}

impl<Buf: Copy> BlockMap<Buf> {
    /// Loads the page that a request needs next. `link` is the parent's entry for it; unmapped for a root.
    pub(super) fn load(&mut self, request: u32, page: PageId, link: Mapping) -> Step {
        let Some(frame) = self.frames.acquire(page, FrameState::Incoming) else {
            return Step::Starved(Lack::Frame);
        };
        self.counts.fetch_required += 1;
        self.frames.set_link(frame, link);
        self.to_load.push_back(frame);
        self.join(request, frame)
    }

    /// Starts the queued loads while there are buffers. Returns whether any started.
    pub(super) fn start_loads<E: Env<Buf = Buf>>(&mut self, env: &mut E, io: &mut MetadataIo<Buf>) -> bool {
        let mut started = false;
        while self.buffers.room_for_reads() > 0 && io.room() > 0 {
            let Some(frame) = self.to_load.pop_front() else { break };
            let (tag, buf) = self.buffers.take(Use::Read(frame));
            let place = place(self.frames.info(frame));
            io.submit(env, (Direction::Read, place), &[buf], MetadataOwner::Map(tag));
            started = true;
        }
        started
    }

    /// The load of a frame has ended.
    pub(super) fn load_done(&mut self, block: &Block, frame: u32, result: Result<(), RequestError>) {
        let (error, reason) = match result.map(|()| self.take_in(block, frame)) {
            Ok(Some(mapped)) => {
                self.counts.pages_loaded += 1;
                self.frames.arrive(frame, mapped);
                return self.wake(frame);
            }
            Ok(None) => (RequestError::Corrupt, ReadOnlyReason::Damaged(WHAT)),
            Err(_) => (RequestError::Io, ReadOnlyReason::ReadFailed(WHAT)),
        };
        self.counts.failed_reads += 1;
        self.fail(reason);
        self.abandon(frame, error);
    }

    /// Identity of a frame's page, which its image on media must carry.
    pub(super) fn name(&self, frame: u32) -> PageName {
        let info = self.frames.info(frame);
        PageName::new(info.page, self.nonce, info.link)
    }

    /// Decodes a page into its frame. Returns the number of mapped entries; `None` if the page is damaged.
    fn take_in(&mut self, block: &Block, frame: u32) -> Option<u16> {
        let name = self.name(frame);
        let entries = self.frames.entries.page_mut(frame);
        map_page::decode(name, block, entries).ok()?;
        let mut mapped = 0;
        for entry in entries.iter().map(|&raw| Mapping::from_raw(raw)).filter(|entry| !entry.is_unmapped()) {
            // The codec knows which entries a page of its level can have, but not where the slabs are.
            if entry.has_block() && self.geometry.slab_of(entry.pbn()).is_none() {
                return None;
            }
            mapped += 1;
        }
        Some(mapped)
    }
}
