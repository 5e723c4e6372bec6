// SPDX-License-Identifier: BSD-3-Clause

//! Check of a volume at rest: recounts the references from the block map and compares them with the slabs' counts.
//!
//! For a volume that was stopped cleanly or has been recovered. Writes nothing. Needs a byte of memory for each block,
//! and the counts of a few slabs. Data is not read: its check codes are verified when a client reads it.

mod report;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

use futures::stream::{self, StreamExt};

pub use report::{CheckReport, Findings, MappingFinding, Mismatch, PageFinding, MAX_LISTED};

pub(in crate::volume) use tally::{Refused, Tally};
pub(in crate::volume) use walk::{walk, Verdict, Visitor};

use crate::format::map_page::Salvage;
use crate::format::{Geometry, Mapping, PageId, ROOTS};
use crate::units::{Lbn, Pbn};
use crate::volume::recovery::{AtRest, PageEntries, RecoveryError, CONCURRENT_SLABS};

/// The progress of a check or rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trees and slabs that are done.
    pub done: u64,
    /// Trees and slabs in total; a rebuild counts the trees twice.
    pub total: u64,
}

/// Checks a volume, and reports progress. Unreadable metadata goes into the report.
///
/// # Errors
/// Pool: the walk could not continue.
pub async fn check(volume: &AtRest<'_>, progress: &mut dyn FnMut(Progress)) -> Result<CheckReport, RecoveryError> {
    let slabs = volume.geometry.slabs();
    let total = ROOTS + slabs;
    let mut counter = Counter {
        geometry: volume.geometry,
        tally: Tally::new(volume.geometry),
        report: CheckReport::default(),
        progress: &mut |done| progress(Progress { done, total }),
    };
    walk(volume, &mut counter).await?;
    let Counter { tally, mut report, .. } = counter;
    report.blocks_used = tally.used();

    let reads = (0..slabs).map(|slab| async move { (slab, recorded(volume, slab).await) });
    let mut reads = stream::iter(reads).buffered(CONCURRENT_SLABS);
    while let Some((slab, recorded)) = reads.next().await {
        match recorded {
            Ok(recorded) => compare(&volume.geometry, slab, &tally, &recorded, &mut report),
            Err(error) => report.slabs.add(error),
        }
        progress(Progress { done: ROOTS + slab + 1, total });
    }
    Ok(report)
}

/// The counts of a slab by reference blocks and journal.
async fn recorded(volume: &AtRest<'_>, slab: u64) -> Result<Vec<u8>, RecoveryError> {
    let summary = volume.read_summary(slab).await?;
    volume.read_counts(slab, &summary).await
}

fn compare(geometry: &Geometry, slab: u64, tally: &Tally, recorded: &[u8], report: &mut CheckReport) {
    let start = geometry.slab_start(slab);
    for ((offset, counted), &recorded) in (0..).zip(tally.slab(slab)).zip(recorded) {
        if counted != recorded {
            report.mismatches.add(Mismatch { pbn: start.plus(offset), counted, recorded });
        }
    }
}

/// Counts references, and notes findings.
struct Counter<'a> {
    geometry: Geometry,
    tally: Tally,
    report: CheckReport,
    progress: &'a mut dyn FnMut(u64),
}

impl Visitor for Counter<'_> {
    const CHANGES: bool = false;

    fn link(&mut self, page: PageId, pbn: Pbn) -> bool {
        let right = self.tally.add_page(pbn).is_ok();
        if !right {
            self.report.pages.add(PageFinding::Misplaced { page, pbn });
        }
        self.report.map_pages += u64::from(right);
        right
    }

    fn page(&mut self, page: PageId, pbn: Pbn, read: Salvage, entries: &mut PageEntries) -> Verdict {
        if read != Salvage::default() {
            self.report.pages.add(PageFinding::Damaged { page, pbn, read });
        }
        if page.is_leaf() {
            for (lbn, &raw) in (page.first_lbn().0..).zip(entries.iter()) {
                let lbn = Lbn(lbn);
                let mapping = Mapping::from_raw(raw);
                if mapping.is_unmapped() {
                    continue;
                }
                self.report.logical_blocks_used += 1;
                let pbn = mapping.pbn();
                if !self.geometry.contains(lbn, 1) {
                    self.report.mappings.add(MappingFinding::Beyond { lbn, pbn });
                }
                if !mapping.has_block() {
                    continue;
                }
                match self.tally.add_reference(pbn) {
                    Ok(()) => {}
                    Err(Refused::Full) => self.report.mappings.add(MappingFinding::TooMany { lbn, pbn }),
                    Err(_) => self.report.mappings.add(MappingFinding::NoData { lbn, pbn }),
                }
            }
        }
        Verdict::Keep
    }

    fn hole(&mut self, _pbn: Pbn) -> bool {
        self.report.empty_pages += 1;
        // Nothing is changed; but a page above that has no other children is empty as well.
        true
    }

    fn tree_done(&mut self, tree: u64) {
        (self.progress)(tree + 1);
    }
}
