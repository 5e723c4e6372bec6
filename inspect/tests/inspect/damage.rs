// SPDX-License-Identifier: BSD-3-Clause

//! Broken and hostile pools: what is wrong is told, and nothing makes the program fail.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::volume::inventory::{InventoryRecord, VolumeConfig};
use inspect::content::Content;
use inspect::dump::Dump;
use inspect::image::Image;
use inspect::report::Inspection;
use inspect::{json, text};
use mpool::format::Record;
use mpool::testing::Random;
use mpool::{Extent, MediaClass, ObjectId};
use serde_json::{json, Value};

use crate::made::{config, object, Made, ZONE};
use crate::run::{errors, json_of, run, texts};

/// Changes an image and returns the JSON document.
fn changed(options: &[&str], change: impl FnOnce(&mut Vec<u8>)) -> (Option<i32>, Value) {
    let mut image = Made::good().image();
    change(&mut image);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("drive");
    std::fs::write(&path, &image).expect("a file");
    let options: Vec<_> = options.iter().copied().chain(["--json"]).collect();
    let outcome = run(&options, &[&path]);
    (outcome.status, serde_json::from_str(&outcome.out).expect("a document"))
}

#[test]
fn a_damaged_copy_0_is_told_and_copy_1_used() {
    let (status, document) = changed(&[], |image| image[200] ^= 1);
    assert_eq!((status, texts(&document, "warning").len()), (Some(0), 1));
    let copies = &document["drives"][0]["superblocks"];
    assert_eq!((&copies[0]["state"], &copies[0]["counts"]), (&json!("damaged"), &json!(false)));
    assert_eq!(copies[0]["checksums"][2]["good"], false);
    assert_eq!((&copies[0]["fields"]["name"], &copies[1]["counts"]), (&json!("mp1"), &json!(true)));
    assert_eq!(document["pool"]["name"], "mp1");
}

#[test]
fn an_image_without_a_pool_is_an_error() {
    for image in [vec![], vec![0; 100], vec![0xff; 1 << 20]] {
        let (status, document) = changed(&[], |old| *old = image);
        assert_eq!((status, errors(&document).len(), &document["pool"]), (Some(1), 1, &Value::Null));
    }
}

#[test]
fn truncated_images_are_told_and_read_as_far_as_they_go() {
    let (status, document) = changed(&[], |image| image.truncate(9 * ZONE));
    assert_eq!(status, Some(1));
    let errors = errors(&document);
    assert!(errors[0].ends_with("the image has 589824 bytes, its superblock says 2686976"), "{errors:?}");
    assert!(
        errors.iter().any(|error| error.starts_with("volume 'D0', log mlog 0x2201: the image ends at byte 589824")),
        "{errors:?}"
    );
    assert_eq!(document["pool"]["containers"][1]["objects"], 12);
}

#[test]
fn overlaps_duplicates_and_strays_are_told_together() {
    let mut made = Made::good();
    made.mdc1.push(Record::ObjectCreate(object(0x9101, 12, 3)));
    made.mdc1.push(Record::ObjectCreate(object(0xa101, 39, 2)));
    made.mdc1.push(Record::ObjectCreate(object(0x5101, 30, 1)));
    made.mdc1.push(Record::ObjectDelete(ObjectId(0xb101)));
    made.mdc2.push(Record::ObjectCreate(object(0x200_102, 33, 1)));
    made.mdc2.push(Record::IdCheckpoint(ObjectId(0x100_102)));
    let mut long = object(0xc101, 32, 1);
    long.written_bytes = 1 << 40;
    made.mdc1.push(Record::ObjectCreate(long));
    let (status, document) = json_of(&made, &[]);
    let errors = errors(&document);
    assert_eq!(status, Some(1));
    for expected in [
        "MDC1: record 19: mblock 0x5101 is created twice",
        "MDC1: record 20: mblock 0xb101 is deleted, but was not created",
        "MDC2: record 3: mblock 0x200102 has a uniquifier above 511, the last that was checkpointed",
        "MDC2: record 4: the checkpoint 0x100102 is not after the one before, 0x100102",
        "mblock 0xc101: 1099511627776 bytes are written, but it has room for 65536",
        "mblock 0xa101 has the zones 39-40; the drive has 40 zones",
        "mblock 0x9101 and slab object 0x7301 both have zones 13-14",
    ] {
        assert!(errors.iter().any(|error| error.ends_with(expected)), "no '{expected}' in {errors:#?}");
    }
}

#[test]
fn a_log_that_goes_on_behind_a_damaged_block_is_told() {
    // A byte of the second block of the client's second record: its check code does not match any more.
    let (status, document) = changed(&["--verify"], |image| image[12 * ZONE + 2 * 512 + 46] ^= 0x7f);
    let fault = "mlog 0x6201: block 2 is damaged";
    assert_eq!((status, errors(&document).len()), (Some(1), 1));
    assert!(errors(&document)[0].starts_with(fault), "{:?}", errors(&document));
    let (_, document) = changed(&["--log", "0x6201"], |image| image[12 * ZONE + 2 * 512 + 46] ^= 0x7f);
    let items = document["items"].as_array().expect("items");
    let end = items.iter().find(|item| item["item"] == "end").expect("an end");
    assert_eq!(end["block"], 2);
    let what = "a torn or damaged block of the log: its check code is wrong";
    assert!(items.contains(&json!({"item": "foreign", "block": 2, "blocks": 1, "what": what})), "{items:#?}");
    assert_eq!(items.iter().filter(|item| item["item"] == "stale").count(), 2, "the blocks behind it");
}

#[test]
fn a_log_may_end_in_a_torn_block() {
    // The last block.
    let (status, document) = changed(&["--log", "0x6201"], |image| image[12 * ZONE + 4 * 512 + 300] ^= 0x7f);
    assert_eq!(status, Some(0));
    let items = document["items"].as_array().expect("items");
    let why = "a torn or damaged block of the log: its check code is wrong";
    assert!(items.contains(&json!({"item": "end", "block": 4, "why": why})), "{items:#?}");
}

#[test]
fn malformed_records_of_a_log_are_an_error_of_it() {
    // Blocks of version 1 have no check code: the parser sees what stands there.
    let made = Made::original();
    let mut image = made.image();
    image[12 * ZONE + 46] = 3;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("drive");
    std::fs::write(&path, &image).expect("a file");
    let outcome = run(&["--verify"], &[&path]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.out.contains("1 ERRORS, 0 warnings."), "{}", outcome.out);
    assert!(
        outcome.out.contains("mlog 0x6201: block 0 has a chunk without the start of its record"),
        "{}",
        outcome.out
    );
    let outcome = run(&["--log", "0x6201"], &[&path]);
    assert!(outcome.out.contains("END OF LOG: DAMAGED: block 0 has a chunk"), "{}", outcome.out);
}

#[test]
fn objects_that_do_not_fit_their_volume_are_told() {
    let mut made = Made::good();
    let other = VolumeConfig { slab_blocks: 64, metadata_class: MediaClass::Staging, ..config() };
    made.volume[6] = InventoryRecord::Config(Box::new(other)).encode();
    made.volume.push(b"DINV???".to_vec());
    let missing = InventoryRecord::Slab { number: 2, object: ObjectId(0xf301) };
    made.volume.push(missing.encode());
    let (_, document) = json_of(&made, &[]);
    let errors = errors(&document);
    for error in [
        "slab 0: slab object 0x7301 has 131072 bytes instead of 262144",
        "metadata object 1: slab object 0xa301 lies on CAPACITY instead of STAGING",
        "roots 0: slab object 0xb301 lies on CAPACITY instead of STAGING",
        "segment 0: mlog 0xc201 lies on CAPACITY instead of STAGING",
    ] {
        assert!(errors.contains(&format!("volume 'D0': {error}")), "no '{error}' in {errors:?}");
    }
    assert!(errors.iter().any(|error| error.contains("a record of its inventory is malformed")), "{errors:?}");
    assert!(errors.iter().all(|error| !error.contains("0xf301")), "it does not count: {errors:?}");
}

#[test]
fn a_volume_that_is_not_whole_is_noted() {
    let mut made = Made::good();
    made.volume.pop();
    let (status, document) = json_of(&made, &["--verify"]);
    let note = "volume 'D0': its creation or deletion was cut short; deleting it does the rest";
    assert_eq!((status, texts(&document, "note")), (Some(0), vec![note.to_owned()]));
    let volume = &document["pool"]["root"]["volumes"][0];
    assert_eq!((&volume["whole"], &volume["slabs"]), (&json!(false), &json!([])));
    assert_eq!(volume["uncounted"].as_array().map(Vec::len), Some(5), "two slabs, two areas, a segment");
    let mut made = Made::good();
    made.mdc1.retain(|record| !matches!(record, Record::ObjectCreate(object) if object.id == ObjectId(0x9301)));
    let (status, document) = json_of(&made, &[]);
    let error = "volume 'D0': metadata object 0: its object 0x9301 does not exist";
    assert_eq!((status, errors(&document)), (Some(1), vec![error.to_owned()]));
}

/// Flush sets of a journal may have been in flight together, so a hole in a segment is its end.
#[test]
fn a_hole_in_a_journal_segment_is_no_damage() {
    let made = Made::good();
    let mut image = made.image();
    for (zone, faults) in [(31, 0), (12, 1)] {
        image[zone * ZONE + 512 + 100] ^= 1;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("drive");
        std::fs::write(&path, &image).expect("a file");
        let outcome = run(&["--verify", "--json"], &[&path]);
        let document: serde_json::Value = serde_json::from_str(&outcome.out).expect("a document");
        assert_eq!(errors(&document).len(), faults, "zone {zone}");
    }
}

#[test]
fn containers_half_made_or_missing_are_told() {
    let mut made = Made::good();
    made.mdc0.pop();
    let (status, document) = json_of(&made, &[]);
    let note = "MDC2: it has one log: its creation was cut short; the next activation removes it";
    assert_eq!((status, texts(&document, "note")), (Some(0), vec![note.to_owned()]));
    let mut made = Made::good();
    made.mdc0
        .retain(|record| !matches!(record, Record::ObjectCreate(log) if log.extent == Extent { first: 3, zones: 1 }));
    let (status, document) = json_of(&made, &[]);
    assert_eq!(status, Some(1));
    assert!(errors(&document).contains(&"MDC1: it has one log instead of two".to_owned()));
}

#[test]
fn one_log_named_by_many_is_read_once() {
    let mut made = Made::good();
    // All client containers lie where MDC1 does.
    for slot in 3..=255_u64 {
        made.mdc0.push(Record::ObjectCreate(object(slot << 13 | 0x200, 3, 1)));
        made.mdc0.push(Record::ObjectCreate(object(slot << 13 | 0x1200, 4, 1)));
    }
    // The log of MDC0 has too few blocks of its own for that.
    let fits = 110;
    made.mdc0.truncate(fits);
    let (status, document) = json_of(&made, &[]);
    assert_eq!(status, Some(1));
    let shared = errors(&document).iter().filter(|error| error.contains("were read as another log's")).count();
    assert_eq!(shared, (fits - 7).div_ceil(2));
}

/// Places that hold something: superblocks, and the first blocks of each log.
fn place(random: &mut Random) -> usize {
    match random.below(4) {
        0 => random.below(300) + 8192 * random.below(2),
        _ => (1 + random.below(12)) * ZONE + random.below(8 * 512),
    }
}

/// Writes `image` with some changes over `file`; returns what is to be undone.
fn spoil(file: &File, image: &[u8], random: &mut Random) -> Vec<usize> {
    let mut places = Vec::new();
    for _ in 0..1 + random.below(6) {
        let at = place(random);
        let bytes = match random.below(3) {
            0 => vec![image[at] ^ 1 << random.below(8)],
            1 => vec![[0, 1, 0x7f, 0xff][random.below(4)]; 1 + random.below(8)],
            _ => random.draw().to_le_bytes()[..1 + random.below(6)].to_vec(),
        };
        file.write_all_at(&bytes, at as u64).expect("the file can be written");
        places.push(at);
    }
    places
}

fn restore(file: &File, image: &[u8], places: &[usize]) {
    for at in places {
        file.write_all_at(&image[*at..*at + 8], *at as u64).expect("the file can be written");
    }
}

/// All that the program can print of an image. Returns the number of errors.
fn print_everything(path: &Path) -> u64 {
    let image = Image::open(&path.to_string_lossy()).expect("it is there");
    Inspection::new(vec![image]).look(true, |report, logs| {
        let mut out = Vec::new();
        text::report(&mut out, &report).expect("memory takes everything");
        json::report(&mut out, &report).expect("memory takes everything");
        if let (Some(pool), Some(logs)) = (&report.pool, logs) {
            for id in [0x200, 0x2200, 0x201, 0x2201, 0x6201].map(ObjectId) {
                let Ok(log) = logs.find(id) else { continue };
                let scanned = log.scan_any();
                let dump = || Dump::new(log, &scanned, Content::of(id, pool), false);
                text::dump(&mut out, &log.report(&scanned), dump()).expect("memory takes everything");
                json::dump(&mut out, &report.findings, &log.report(&scanned), dump()).expect("memory takes everything");
            }
        }
        assert!(out.len() < 4 << 20, "what is printed of a small image is bounded");
        report.findings.errors
    })
}

/// In the current format most changes break a check code; in the original one they reach the decoders.
#[test]
fn any_change_is_survived() {
    let began = Instant::now();
    for made in [Made::good(), Made::original()] {
        let image = made.image();
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&image).expect("the file can be written");
        let (path, mut random, mut wrong) = (file.path().to_owned(), Random::new(1), 0_u64);
        for _ in 0..400 {
            let places = spoil(file.as_file(), &image, &mut random);
            wrong += u64::from(print_everything(&path) > 0);
            restore(file.as_file(), &image, &places);
        }
        assert!(wrong > 50, "changes are noticed: {wrong} of 400");
        assert_eq!(print_everything(&path), 0, "the last change was undone");
    }
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
}

#[test]
fn the_program_ends_well_on_any_change_and_length() {
    let image = Made::original().image();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&image).expect("the file can be written");
    let (path, mut random) = (file.path().to_owned(), Random::new(2));
    for round in 0..60 {
        let places = spoil(file.as_file(), &image, &mut random);
        if round % 3 == 0 {
            let length = [random.below(image.len()), random.below(14 * ZONE), random.below(16384)][random.below(3)];
            file.as_file().set_len(length as u64).expect("the file can be cut");
        }
        let options: &[&[&str]] =
            &[&["--verify"], &["--json"], &["--log", "0x2200"], &["--log", "0x6201", "--json", "--raw"]];
        let outcome = run(options[round % options.len()], &[&path]);
        assert!(matches!(outcome.status, Some(0 | 1)), "round {round}: {outcome:?}");
        if round % 3 == 0 {
            file.as_file().write_all_at(&image, 0).expect("the file can be written");
        }
        restore(file.as_file(), &image, &places);
    }
}
