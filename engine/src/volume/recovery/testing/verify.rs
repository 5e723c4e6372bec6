// SPDX-License-Identifier: BSD-3-Clause

//! Compares media with the model.

use futures::executor::block_on;

use super::model::Model;
use crate::format::map_page::ENTRIES;
use crate::format::{Mapping, PageId, ROOTS};
use crate::journal::Counters;
use crate::volume::check::check;
use crate::volume::recovery::{PageEntries, Recovered};

impl Model {
    /// The expected entries of a page.
    pub fn entries_of(&self, page: PageId) -> PageEntries {
        let mut entries = [0; ENTRIES];
        if page.is_leaf() {
            let first = page.first_lbn().0;
            for (&lbn, mapping) in self.mappings.range(first..first + ENTRIES as u64) {
                entries[(lbn - first) as usize] = mapping.to_raw();
            }
            return entries;
        }
        for (child, &link) in &self.pages {
            if let Some((_, slot)) = child.parent().filter(|(parent, _)| *parent == page) {
                entries[slot] = link.to_raw();
            }
        }
        entries
    }

    /// Asserts that media agree with the model.
    pub fn verify(&self, what: &str) {
        let volume = self.at_rest();
        for (&page, &link) in &self.pages {
            let entries = block_on(volume.read_page(page, link)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(*entries == self.entries_of(page), "{what}: {page:?} is wrong");
        }
        for tree in 0..ROOTS {
            let root = PageId::root(tree);
            let entries =
                block_on(volume.read_page(root, Mapping::UNMAPPED)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(*entries == self.entries_of(root), "{what}: root {tree} is wrong");
        }
        let blocks = self.geometry.slab_blocks() as usize;
        for (slab, references) in (0..).zip(self.references.chunks(blocks)) {
            let counts = block_on(async { volume.read_counts(slab, &volume.read_summary(slab).await?).await });
            let counts = counts.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(counts == references, "{what}: the counts of slab {slab} are wrong");
        }
        let report = block_on(check(&volume, &mut |_| {})).expect("nothing fails");
        assert!(report.is_clean(), "{what}: {report:?}");
        assert_eq!(report.logical_blocks_used, self.mappings.len() as u64, "{what}");
        assert_eq!(report.map_pages, self.pages.len() as u64, "{what}");
    }

    /// Asserts that the usage that recovery reports is right.
    pub fn verify_told(&self, recovered: &Recovered, what: &str) {
        let used = Counters { logical_blocks_used: self.mappings.len() as i64, map_pages: self.pages.len() as i64 };
        assert_eq!(recovered.used(self.at_load), used, "{what}");
        let summaries = block_on(self.at_rest().read_summaries());
        assert_eq!(summaries.as_ref(), Ok(&recovered.summaries), "{what}: the summaries are those on media");
    }
}
