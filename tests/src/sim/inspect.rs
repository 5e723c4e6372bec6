// SPDX-License-Identifier: BSD-3-Clause

//! What a saved volume has on its media, found without the engine's own check: a walk over the trees of the block map, a
//! recount of the references, and a comparison with the counts on media.

use std::collections::BTreeMap;

use engine::format::area::{AreaBlock, AreaLayout, SUMMARY_BLOCK};
use engine::format::map_page::{self, PageName};
use engine::format::slab_summary::SlabSummary;
use engine::format::{reference_block, Geometry, Mapping, PageId, ROOTS};
use engine::units::{ENTRIES_PER_LEAF_PAGE, MAX_REFERENCES};
use engine::volume::access::VolumeMedia;
use engine::{Block, Lbn, Pbn, Place, BLOCK_SIZE};

/// What is on the media.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What each mapped logical block is mapped to.
    pub mappings: BTreeMap<Lbn, Mapping>,
    /// The pages of the block map, roots apart.
    pub pages: BTreeMap<Pbn, PageId>,
    /// Blocks that hold data.
    pub data_blocks: u64,
}

/// Why an inspection has no result.
#[derive(Debug)]
pub enum Trouble {
    /// Something cannot be read.
    Unread(String),
    /// Something is not what it must be, or contradicts another.
    Wrong(String),
}

impl From<String> for Trouble {
    fn from(what: String) -> Trouble {
        Trouble::Wrong(what)
    }
}

/// Looks at everything.
///
/// # Errors
/// The first thing that cannot be read, or that contradicts another.
pub async fn inspect(media: &dyn VolumeMedia, geometry: &Geometry, nonce: u64) -> Result<Inspection, Trouble> {
    let inspector = Inspector { media, geometry, nonce };
    let mut found = Inspection::default();
    inspector.walk(&mut found).await?;
    let mut expected = inspector.recount(&found)?;
    found.data_blocks = expected.iter().filter(|count| (1..=u32::from(MAX_REFERENCES)).contains(*count)).count() as u64;
    found.data_blocks -= found.pages.len() as u64;
    for slab in 0..geometry.slabs() {
        let counts = expected.drain(..geometry.slab_blocks() as usize).collect::<Vec<_>>();
        inspector.compare(slab, &counts).await.map_err(|trouble| match trouble {
            Trouble::Wrong(what) => Trouble::Wrong(format!("slab {slab}: {what}")),
            unread => unread,
        })?;
    }
    Ok(found)
}

struct Inspector<'a> {
    media: &'a dyn VolumeMedia,
    geometry: &'a Geometry,
    nonce: u64,
}

impl Inspector<'_> {
    async fn read(&self, place: Place) -> Result<Box<Block>, Trouble> {
        let bytes = self.media.read(place, 1).await.map_err(|error| Trouble::Unread(format!("{place:?}: {error}")))?;
        let block: Box<[u8]> = bytes.into();
        Ok(block.try_into().map_err(|_| format!("{place:?}: not one block of {BLOCK_SIZE} bytes"))?)
    }

    async fn walk(&self, found: &mut Inspection) -> Result<(), Trouble> {
        let mut left: Vec<_> = (0..ROOTS)
            .map(|tree| (PageId::root(tree), Place::Roots { block: tree as u32 }, Mapping::UNMAPPED))
            .collect();
        while let Some((page, place, link)) = left.pop() {
            let block = self.read(place).await?;
            let mut entries = [0; map_page::ENTRIES];
            map_page::decode(PageName::new(page, self.nonce, link), &block, &mut entries)
                .map_err(|damage| format!("{page:?} at {place:?}: {damage}"))?;
            for (slot, raw) in entries.into_iter().enumerate() {
                let mapping =
                    Mapping::from_bytes(raw.to_le_bytes()).ok_or(format!("{page:?} entry {slot}: {raw:#x}"))?;
                if mapping.is_unmapped() {
                    continue;
                }
                let Some(child) = page.child(slot) else {
                    self.note_mapping(found, page, slot, mapping)?;
                    continue;
                };
                if let Some(other) = found.pages.insert(mapping.pbn(), child) {
                    return Err(format!("{child:?} and {other:?} are both in {}", mapping.pbn()).into());
                }
                left.push((child, Place::Data(mapping.pbn()), mapping));
            }
        }
        Ok(())
    }

    fn note_mapping(&self, found: &mut Inspection, page: PageId, slot: usize, mapping: Mapping) -> Result<(), String> {
        let lbn = Lbn(page.index * ENTRIES_PER_LEAF_PAGE + slot as u64);
        if !self.geometry.contains(lbn, 1) {
            return Err(format!("{lbn}, beyond the end, has {mapping:?}"));
        }
        found.mappings.insert(lbn, mapping);
        Ok(())
    }

    /// The references of each block that follow from the map.
    fn recount(&self, found: &Inspection) -> Result<Vec<u32>, String> {
        let mut counts = vec![0; self.geometry.data_blocks().0 as usize];
        let first = self.geometry.slab_start(0).0;
        let mut add = |pbn: Pbn, references: u32, what: &dyn Fn() -> String| {
            let index = pbn.0.checked_sub(first).map(|index| index as usize);
            match index.and_then(|index| counts.get_mut(index)) {
                Some(count) => {
                    *count += references;
                    if *count > u32::from(MAX_REFERENCES) {
                        return Err(format!("{pbn} has {count} references with that of {}", what()));
                    }
                    Ok(())
                }
                None => Err(format!("{} is in {pbn}, which is no data block", what())),
            }
        };
        for (pbn, page) in &found.pages {
            add(*pbn, u32::from(MAX_REFERENCES), &|| format!("{page:?}"))?;
        }
        for (lbn, mapping) in found.mappings.iter().filter(|(_, mapping)| mapping.has_block()) {
            add(mapping.pbn(), 1, &|| format!("{lbn}"))?;
        }
        Ok(counts)
    }

    /// Compares the counts of a slab on media with what follows from the map.
    async fn compare(&self, slab: u64, expected: &[u32]) -> Result<(), Trouble> {
        let block = self.read(Place::SlabMetadata { slab, block: SUMMARY_BLOCK }).await?;
        let (summary, _) = SlabSummary::decode(self.nonce, slab, &block).map_err(|damage| damage.to_string())?;
        if summary.journal_length() > 0 {
            return Err(format!("its journal is not empty after a save: {summary:?}").into());
        }
        let counts = if summary.counts_written { self.counts(slab).await? } else { vec![0; expected.len()] };
        for (pbn, (counted, expected)) in (self.geometry.slab_start(slab).0..).map(Pbn).zip(counts.iter().zip(expected))
        {
            if u32::from(*counted) != *expected {
                return Err(format!("{pbn} has {expected} references, but its count is {counted}").into());
            }
        }
        let free = counts.iter().filter(|count| **count == 0).count();
        if summary.free_blocks as usize != free {
            return Err(format!("{free} blocks are free, but its summary says {}", summary.free_blocks).into());
        }
        Ok(())
    }

    async fn counts(&self, slab: u64) -> Result<Vec<u8>, Trouble> {
        let layout = AreaLayout::of(self.geometry.slab_blocks());
        let mut counts = vec![0; self.geometry.slab_blocks() as usize];
        for (number, part) in (0..).zip(counts.chunks_mut(reference_block::COUNTS_PER_BLOCK as usize)) {
            let block = layout.reference_block(number);
            let bytes = self.read(Place::SlabMetadata { slab, block }).await?;
            let id = AreaBlock { nonce: self.nonce, slab, block };
            reference_block::decode(id, &bytes, part)
                .map_err(|damage| format!("reference block {number}: {damage}"))?;
        }
        Ok(counts)
    }
}
