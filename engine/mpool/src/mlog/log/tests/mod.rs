// SPDX-License-Identifier: BSD-3-Clause

mod append;
mod group;
mod read;

use std::rc::Rc;

use futures::executor::block_on;

use super::*;
use crate::ids::{ObjectType, Slot};
use crate::mlog::testing::{record, MemoryMedia, STAMP};

pub(super) const CSEM: OpenFlags = OpenFlags { compact_sem: true, skip_ser: false };
pub(super) const PLAIN: OpenFlags = OpenFlags { compact_sem: false, skip_ser: false };

pub(super) fn identity(generation: u64) -> LogIdentity {
    LogIdentity { id: ObjectId::new(7, ObjectType::Mlog, Slot(1)), uuid: STAMP.uuid, generation }
}

pub(super) fn try_open(media: &Rc<MemoryMedia>, flags: OpenFlags) -> Result<Rc<Mlog>> {
    let media: Rc<dyn LogMedia> = Rc::<MemoryMedia>::clone(media);
    block_on(Mlog::open(media, identity(STAMP.generation), flags, LogFormat::V2, false))
}

pub(super) fn open(media: &Rc<MemoryMedia>) -> Rc<Mlog> {
    try_open(media, PLAIN).expect("the log is whole")
}

/// All records from the first one on.
pub(super) fn read_all(log: &Mlog) -> Vec<Vec<u8>> {
    block_on(async {
        log.rewind().await.expect("the log is open");
        rest(log).await
    })
}

pub(super) async fn rest(log: &Mlog) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(record) = log.next_vec(usize::MAX).await.expect("the log is whole") {
        records.push(record);
    }
    records
}

pub(super) fn append(log: &Mlog, record: &[u8], sync: bool) {
    block_on(log.append(record, sync)).expect("there is room");
}

/// Media of both sector sizes, with and without torn sectors.
pub(super) fn all_media(bytes: usize) -> Vec<Rc<MemoryMedia>> {
    let kinds = [(512, true), (512, false), (4096, true), (4096, false)];
    kinds.into_iter().map(|(sector, whole)| MemoryMedia::new(sector, bytes, whole)).collect()
}

/// mpool-71, adapted: an open log is shared only by callers whose flags the first open had.
#[test]
fn a_log_is_shared_with_the_flags_it_was_opened_with() {
    let both = OpenFlags { compact_sem: true, skip_ser: true };
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = try_open(&media, CSEM).expect("an empty log");
    assert!(log.check_flags(PLAIN).is_ok() && log.check_flags(CSEM).is_ok());
    for more in [both, OpenFlags { skip_ser: true, ..PLAIN }] {
        assert_eq!(log.check_flags(more).map_err(|error| error.kind()), Err(Kind::Invalid));
    }
}

/// mpool-65: a corrupt log is refused with ENODATA, an interrupted compaction with EMSGSIZE.
#[test]
fn a_log_that_cannot_be_used_says_why() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    append(&open(&media), b"no marker", true);
    assert_eq!(try_open(&media, CSEM).map_err(|error| error.kind()).err(), Some(Kind::CorruptLog));

    let media = MemoryMedia::new(512, 1 << 16, true);
    block_on(try_open(&media, CSEM).expect("empty").append_cstart()).expect("the first of all");
    assert_eq!(try_open(&media, CSEM).map_err(|error| error.kind()).err(), Some(Kind::Unfinished));
    assert_eq!(try_open(&media, PLAIN).map_err(|error| error.kind()).err(), Some(Kind::CorruptLog));
}

#[test]
fn sectors_of_another_size_are_refused() {
    let media = MemoryMedia::new(1024, 1 << 16, true);
    assert_eq!(try_open(&media, PLAIN).map_err(|error| error.kind()).err(), Some(Kind::Invalid));
}

/// mpool-75: closing writes buffered records; a closed log does nothing more.
#[test]
fn closing_flushes() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"later", false);
        assert!(media.writes.borrow().is_empty());
        block_on(log.close()).expect("the medium works");
        block_on(log.close()).expect("closing again does nothing");
        assert_eq!(log.fill(), (0, 0));
        let closed = |outcome: Result<()>| assert_eq!(outcome.map_err(|error| error.kind()), Err(Kind::NotFound));
        closed(block_on(log.append(b"too late", true)));
        closed(block_on(log.sync()));
        closed(block_on(log.rewind()));
        assert_eq!(read_all(&open(&media.cut())), [b"later"]);
    }
}

#[test]
fn what_is_abandoned_is_not_written() {
    let media = MemoryMedia::new(512, 1 << 16, true);
    let log = open(&media);
    append(&log, b"never", false);
    block_on(log.abandon());
    assert!(media.writes.borrow().is_empty() && !log.is_open());
}

/// mpool-72, partly: after its erasure a log is empty, at once and after a reopen.
#[test]
fn an_erased_log_is_empty() {
    for media in all_media(1 << 16) {
        let log = open(&media);
        append(&log, b"old", true);
        append(&log, b"old and not on media", false);
        log.reset(10);
        assert!(log.is_empty());
        assert_eq!((log.generation(), read_all(&log).len()), (10, 0));
        append(&log, b"new", true);
        assert_eq!(read_all(&log), [b"new"]);
        let reopen = |generation| {
            let media: Rc<dyn LogMedia> = media.cut();
            block_on(Mlog::open(media, identity(generation), PLAIN, LogFormat::V2, false)).expect("the log is whole")
        };
        assert_eq!(read_all(&reopen(10)), [b"new"]);
        assert!(reopen(11).is_empty());
    }
}

/// A later write in its place could complete what is left of a torn block: its header is gone before there is one. Where blocks
/// are never torn, such a block is damaged, and stays as it is.
#[test]
fn what_is_left_of_a_torn_block_is_wiped_out() {
    for whole in [true, false] {
        let media = MemoryMedia::new(4096, 1 << 16, whole);
        let log = open(&media);
        for number in [1, 2] {
            append(&log, &record(number, 4048), true);
        }
        let mut image = media.image.borrow().clone();
        image[4096 + 1024..2 * 4096].fill(0);
        let torn = MemoryMedia::of(4096, image.clone(), whole);
        let log = open(&torn);
        assert_eq!(read_all(&log), [record(1, 4048)]);
        if !whole {
            image[4096..4096 + 512].fill(0);
        }
        assert!(*torn.image.borrow() == image, "whole blocks: {whole}");
        append(&log, &record(3, 4048), true);
        assert_eq!(read_all(&open(&torn.cut())), [record(1, 4048), record(3, 4048)]);
    }
}

#[test]
fn fill_counts_headers_and_descriptors() {
    let media = MemoryMedia::new(4096, 1 << 16, true);
    let log = open(&media);
    assert_eq!(log.fill(), (40, 1 << 16));
    append(&log, &[0; 100], true);
    assert_eq!(log.fill(), (148, 1 << 16));
    append(&log, &[0; 4048], true);
    assert_eq!(log.fill(), (4096 + 40 + 8 + 4048 - 3940, 1 << 16));
}
