// SPDX-License-Identifier: BSD-3-Clause

use futures::executor::block_on;

use super::*;
use crate::format::area::AreaLayout;
use crate::format::testing::Numbers;
use crate::format::{Mapped, Mapping};
use crate::units::Pbn;
use crate::volume::recovery::testing::{Model, Shape};
use crate::volume::recovery::{load_summaries, recover};

const SMALL: Shape = Shape { slab_blocks: 64, slabs: 8 };

fn model(seed: u64, steps: u64) -> Model {
    let mut model = Model::new(seed, SMALL, 3);
    model.holes = false;
    model.run(steps, u64::MAX >> 1);
    model
}

/// Rebuilds; then the power is cut: all of it must be durable.
fn rebuild_now(model: &Model) -> RebuildReport {
    let report = block_on(rebuild(&model.media, &model.config(), &mut |_| {})).expect("nothing fails");
    model.media.cut(&mut Numbers::new(model.media.operations()));
    report
}

/// Asserts that the volume is consistent and loads clean, whatever it has lost.
fn assert_sound(model: &Model, report: &RebuildReport, what: &str) {
    let checked = block_on(crate::volume::check::check(&model.at_rest(), &mut |_| {})).expect("nothing fails");
    assert!(checked.is_clean(), "{what}: {checked:?}");
    assert_eq!(checked.logical_blocks_used, report.logical_blocks_used, "{what}");
    assert_eq!(checked.map_pages, report.map_pages, "{what}");
    assert_eq!(checked.blocks_used, report.blocks_used, "{what}");
    let config = model.config();
    let summaries = block_on(load_summaries(&model.media, config.geometry, config.nonce));
    assert_eq!(summaries.as_ref(), Ok(&report.summaries), "{what}");
}

/// vdo-66, vdo-68: a rebuild of a volume without damage keeps everything: mappings are those of journals and block map,
/// counts are made from them alone, slab journals are zeros, and the volume goes on.
#[test]
fn nothing_is_lost_without_damage() {
    for seed in 0..8 {
        let mut model = model(seed, 200);
        for slab in 0..8 {
            // Counts are not even read.
            model.media.change((1, slab, 1), |block| block.fill(0x77));
        }
        let mut steps = Vec::new();
        let report = block_on(rebuild(&model.media, &model.config(), &mut |progress| steps.push(progress.done)));
        let report = report.expect("nothing fails");
        assert_eq!(steps, (1..=128).collect::<Vec<_>>(), "60 trees, twice, and 8 slabs");
        assert_eq!(report.lost, Lost::default());
        model.forget_holes();
        model.verify("rebuilt");
        assert_sound(&model, &report, "rebuilt");
        let layout = AreaLayout::of(64);
        for slab in 0..8 {
            for block in layout.journal_block(0)..layout.blocks() {
                assert!(model.media.block((1, slab, u64::from(block))) == [0; 4096], "slab {slab}, block {block}");
            }
        }
        model.load(report.summaries, 2);
        model.run(100, u64::MAX >> 1);
        block_on(recover(&model.media, &model.config())).expect("nothing fails");
        model.verify("after the rebuild");
    }
}

/// Damages media at random. Returns what it did.
fn damage(model: &Model, numbers: &mut Numbers) -> Vec<String> {
    let mut done = Vec::new();
    let pages: Vec<_> = model.pages.values().map(|link| link.pbn()).collect();
    for _ in 0..1 + numbers.below(6) {
        let flip = |numbers: &mut Numbers, key| {
            let (byte, all) = (numbers.below(4096) as usize, numbers.below(4) == 0);
            model.media.change(key, |block| if all { block.fill(1) } else { block[byte] ^= 4 });
        };
        match numbers.below(6) {
            0 | 1 => {
                let pbn = pages[numbers.below(pages.len() as u64) as usize];
                flip(numbers, (0, 0, pbn.0));
                done.push(format!("page in {pbn}"));
            }
            2 => {
                let tree = [0, 1, 2][numbers.below(3) as usize];
                flip(numbers, (2, 0, tree));
                done.push(format!("root {tree}"));
            }
            3 => {
                let (slab, block) = (numbers.below(8), numbers.below(34));
                flip(numbers, (1, slab, block));
                done.push(format!("block {block} of slab {slab}"));
            }
            4 => {
                let segment = numbers.below(12) as u32;
                model.media.lost_segments.borrow_mut().push(segment);
                done.push(format!("segment {segment}"));
            }
            _ => {
                let mut segments = model.media.segments.borrow_mut();
                let segment = numbers.below(12) as usize;
                if let Some(record) = segments[segment].last_mut() {
                    let at = numbers.below(record.len() as u64) as usize;
                    record[at] ^= 1 << numbers.below(8);
                    done.push(format!("record of segment {segment}"));
                }
            }
        }
    }
    done
}

/// vdo-104: pages, roots, counts, slab journals, summaries, records and segments are damaged at random. The rebuilt
/// volume is consistent, and each mapping is one that was written at some time, or none.
#[test]
fn a_damaged_volume_becomes_consistent() {
    let mut kept = 0;
    for seed in 0..25 {
        let model = model(200 + seed, 250);
        let what = format!("seed {seed}: {:?}", damage(&model, &mut Numbers::new(seed)));
        let report = rebuild_now(&model);
        assert_sound(&model, &report, &what);
        kept += report.logical_blocks_used;
    }
    assert!(kept > 25 * 10, "{kept} mappings survived: a rebuild is to keep what it can");
}

/// A rebuild that is cut at any of its writes and flushes is repeated, and ends consistent.
#[test]
fn a_rebuild_can_be_cut_anywhere() {
    for seed in 0..2 {
        let mut model = model(300 + seed, 150);
        damage(&model, &mut Numbers::new(seed));
        let before = model.media.clone();
        rebuild_now(&model);
        let operations = model.media.operations() - before.operations();
        for cut in (0..operations).step_by(3) {
            model.media = before.clone();
            model.media.fail_after(cut);
            let failed = block_on(rebuild(&model.media, &model.config(), &mut |_| {}));
            assert!(matches!(failed, Err(RecoveryError::Pool(_))));
            model.media.cut(&mut Numbers::new(cut));
            let report = rebuild_now(&model);
            assert_sound(&model, &report, &format!("seed {seed}, cut at {cut} of {operations}"));
        }
    }
}

/// vdo-104: mappings beyond the references that a block can have, to pages, and to no block at all are unmapped.
#[test]
fn impossible_mappings_are_unmapped() {
    let model = model(7, 100);
    block_on(recover(&model.media, &model.config())).expect("nothing fails");
    let (&page, &link) = model.pages.iter().next().expect("there are leaf pages");
    let place = link.pbn();
    // No journal, so that only the pages count.
    model.media.segments.borrow_mut().iter_mut().for_each(Vec::clear);
    let free = model.references.iter().position(|&count| count == 0).expect("there is a free block");
    let pbn = Pbn(free as u64 + 1);
    let to = |pbn| Mapping::new(Mapped::uncompressed(pbn), 0).to_raw();
    let mut entries = [to(pbn); 504];
    entries[0] = to(place);
    entries[1] = to(Pbn(1 << 35));
    block_on(model.at_rest().write_page(page, link, &entries)).expect("nothing fails");
    let (parent, slot) = page.parent().expect("a leaf has one");
    let mut links = model.entries_of(parent);
    links[slot + 1] = to(place);
    block_on(model.at_rest().write_page(parent, model.pages[&parent], &links)).expect("nothing fails");

    let report = rebuild_now(&model);
    assert_eq!((report.lost.mappings, report.lost.pages), (504 - 254, 1), "{report:?}");
    assert_sound(&model, &report, "rebuilt");
    let (_, entries) = block_on(model.at_rest().salvage_page(page, link)).expect("nothing fails");
    assert_eq!(entries.iter().filter(|&&raw| raw == to(pbn)).count(), 254);
    assert_eq!((entries[0], entries[1], entries[2]), (0, 0, to(pbn)));
    let links = block_on(model.at_rest().salvage_page(parent, model.pages[&parent])).expect("nothing fails").1;
    assert_eq!((links[slot], links[slot + 1]), (link.to_raw(), 0), "the first to claim a block has it");
}
