// SPDX-License-Identifier: BSD-3-Clause

use futures::executor::block_on;

use super::*;
use crate::format::slab_summary::SlabSummary;
use crate::format::Mapped;
use crate::units::Lbn;
use crate::volume::recovery::testing::{Model, Shape};

/// A volume that was stopped cleanly.
fn stopped() -> Model {
    stopped_with(11)
}

fn stopped_with(seed: u64) -> Model {
    let mut model = Model::new(seed, Shape { slab_blocks: 64, slabs: 8 }, 2);
    model.holes = false;
    model.run(200, u64::MAX >> 1);
    let recovered = block_on(crate::volume::recovery::recover(&model.media, &model.config())).expect("nothing fails");
    model.load(recovered.summaries, 2);
    model.stop();
    model.verify("stopped");
    model
}

fn check_now(model: &Model) -> CheckReport {
    block_on(check(&model.at_rest(), &mut |_| {})).expect("nothing fails")
}

/// Writes a page with some of its entries changed.
fn change_page(model: &Model, page: PageId, change: impl FnOnce(&mut PageEntries)) {
    let mut entries = model.entries_of(page);
    change(&mut entries);
    block_on(model.at_rest().write_page(page, model.pages[&page], &entries)).expect("nothing fails");
}

fn leaf(model: &Model) -> (PageId, Pbn) {
    let (&page, &link) = model.pages.iter().next().expect("there are leaf pages");
    assert!(page.is_leaf());
    (page, link.pbn())
}

/// A block that holds data, and how many references it has.
fn data_block(model: &Model) -> (Pbn, u8) {
    let at = model.references.iter().position(|&count| (1..254).contains(&count)).expect("there is data");
    (Pbn(at as u64 + 1), model.references[at])
}

#[test]
fn a_good_volume_is_clean() {
    let model = stopped();
    let operations = model.media.operations();
    let mut steps = Vec::new();
    let report = block_on(check(&model.at_rest(), &mut |progress| steps.push(progress))).expect("nothing fails");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.blocks_used, model.references.iter().filter(|&&count| count > 0).count() as u64);
    let expected: Vec<_> = (1..=68).map(|done| Progress { done, total: 68 }).collect();
    assert_eq!(steps, expected, "60 trees and 8 slabs");
    assert_eq!(model.media.operations(), operations, "nothing is written");
}

/// Pages that map nothing, as earlier versions kept them, are reported, with those above them; a rebuild frees them.
#[test]
fn empty_pages_are_told_and_a_rebuild_frees_them() {
    let mut empty = 0;
    for seed in 0..6 {
        let model = stopped_with(seed);
        let before = check_now(&model);
        assert!(before.is_clean(), "{before:?}");
        let rebuilt = block_on(crate::volume::rebuild::rebuild(&model.media, &model.config(), &mut |_| {}));
        assert_eq!(rebuilt.expect("nothing fails").map_pages, before.map_pages - before.empty_pages);
        let after = check_now(&model);
        assert_eq!((after.empty_pages, after.map_pages), (0, before.map_pages - before.empty_pages));
        assert_eq!(after.blocks_used, before.blocks_used - before.empty_pages);
        assert_eq!(after.logical_blocks_used, before.logical_blocks_used);
        empty += before.empty_pages;
    }
    assert!(empty > 0, "none of the volumes had an empty page");
}

/// Counts that are off by one, in either direction, are found and named.
#[test]
fn wrong_counts_are_found() {
    for wrong in [1i8, -1] {
        let model = stopped();
        let (pbn, counted) = data_block(&model);
        let slab = (pbn.0 - 1) / 64;
        let volume = model.at_rest();
        let summary = block_on(volume.read_summary(slab)).expect("it is good");
        let mut counts = block_on(volume.read_counts(slab, &summary)).expect("they are good");
        let recorded = counted.wrapping_add_signed(wrong);
        counts[(pbn.0 - 1) as usize % 64] = recorded;
        block_on(volume.write_counts(slab, &counts, summary.next_entry)).expect("nothing fails");
        let report = check_now(&model);
        assert_eq!(report.mismatches.first, [Mismatch { pbn, counted, recorded }]);
        assert_eq!((report.mismatches.count, report.is_clean()), (1, false));
    }
}

#[test]
fn damaged_pages_are_found() {
    let model = stopped();
    let (page, pbn) = leaf(&model);
    model.media.change((0, 0, pbn.0), |block| block[0] ^= 1);
    let report = check_now(&model);
    let read = Salvage { lost_sectors: 1, invalid_entries: 0 };
    assert_eq!(report.pages.first, [PageFinding::Damaged { page, pbn, read }]);
    assert!(!report.mismatches.is_empty(), "its mappings are not counted");

    let model = stopped();
    let (leaf, pbn) = leaf(&model);
    let (parent, slot) = leaf.parent().expect("a leaf has one");
    let twin = parent.child(slot + 1).expect("no leaf");
    change_page(&model, parent, |entries| {
        entries[slot + 1] = Mapping::new(Mapped::uncompressed(pbn), 0).to_raw();
        entries[slot + 2] = Mapping::new(Mapped::uncompressed(Pbn(1 << 35)), 0).to_raw();
    });
    let report = check_now(&model);
    let misplaced = |page, pbn| PageFinding::Misplaced { page, pbn };
    let outside = parent.child(slot + 2).expect("no leaf");
    assert!(report.pages.first.contains(&misplaced(outside, Pbn(1 << 35))), "{report:?}");
    assert!(report.pages.first.contains(&misplaced(twin, pbn)), "a block holds one page: {report:?}");
}

#[test]
fn impossible_mappings_are_found() {
    let model = stopped();
    let (page, place) = leaf(&model);
    let to = |pbn| Mapping::new(Mapped::uncompressed(pbn), 0).to_raw();
    let (shared, _) = data_block(&model);
    change_page(&model, page, |entries| {
        entries.fill(to(shared));
        entries[0] = to(place);
        entries[1] = to(Pbn(1 << 35));
    });
    let report = check_now(&model);
    let first = page.first_lbn();
    let no_data = |at, pbn| MappingFinding::NoData { lbn: first.plus(at), pbn };
    assert_eq!(report.mappings.first[..2], [no_data(0, place), no_data(1, Pbn(1 << 35))]);
    assert!(matches!(report.mappings.first[2], MappingFinding::TooMany { pbn, .. } if pbn == shared));
    assert!(report.mappings.count >= 250 && report.mappings.first.len() == MAX_LISTED);

    let mut small = model.at_rest();
    let blocks = crate::units::Blocks(first.0 + 10);
    small.geometry = Geometry::new(1, blocks, Pbn(1), Pbn(1 + 8 * 64), 64).expect("valid");
    let report = block_on(check(&small, &mut |_| {})).expect("nothing fails");
    let beyond = MappingFinding::Beyond { lbn: Lbn(first.0 + 10), pbn: shared };
    assert!(report.mappings.first.contains(&beyond), "{:?}", report.mappings.first);
}

#[test]
fn damaged_slabs_are_found() {
    let model = stopped();
    model.media.change((1, 2, 0), |block| block[0] ^= 1);
    model.media.change((1, 4, 1), |block| block[0] ^= 1);
    let volume = model.at_rest();
    let summary = block_on(volume.read_summary(6)).expect("it is good");
    // The summary names a journal block that was never written.
    block_on(volume.write_summary(6, &SlabSummary { tail: summary.tail + 1, ..summary })).expect("nothing fails");
    let report = check_now(&model);
    let found = &report.slabs.first;
    assert!(matches!(found[0], RecoveryError::Summary { slab: 2, .. }), "{found:?}");
    assert!(matches!(found[1], RecoveryError::Slab { slab: 4, .. }), "{found:?}");
    assert!(matches!(found[2], RecoveryError::Slab { slab: 6, .. }), "{found:?}");
    assert_eq!(report.slabs.count, 3);
    assert!(report.mismatches.is_empty(), "of slabs that cannot be read nothing is compared");
}
