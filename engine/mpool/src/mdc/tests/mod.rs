// SPDX-License-Identifier: BSD-3-Clause

mod crash;
mod store;

use futures::executor::block_on;

use self::store::{pair, Durable, Store};
use super::*;
use crate::ids::Slot;
use crate::mlog::block::{seal, SetIds, Stamp};
use crate::mlog::record::ChunkType;
use crate::mlog::testing::{chunks, STAMP};
use crate::mlog::LogFormat;

fn open(store: &Rc<Store>) -> Result<Rc<Mdc>> {
    let store: Rc<dyn LogStore> = Rc::<Store>::clone(store);
    block_on(Mdc::open(store, pair(), MdcFlags::default()))
}

fn fresh() -> Rc<Store> {
    Store::of(&Durable::new([0, 0]), 512, true)
}

/// The same pair after a power cut.
fn cut(store: &Store) -> Rc<Store> {
    Store::of(&store.durable(), 512, true)
}

fn append(mdc: &Mdc, record: &[u8]) {
    block_on(mdc.append(record, true)).expect("there is room");
}

fn content(mdc: &Mdc) -> Vec<Vec<u8>> {
    block_on(async {
        mdc.rewind().await.expect("it is open");
        let mut records = Vec::new();
        while let Some(record) = mdc.next_vec(1 << 16).await.expect("it is whole") {
            records.push(record);
        }
        records
    })
}

fn compact(mdc: &Mdc, state: &[&[u8]]) {
    block_on(async {
        mdc.cstart().await.expect("the target is empty");
        for record in state {
            mdc.append(record, false).await.expect("there is room");
        }
        mdc.cend().await.expect("the medium works");
    });
}

/// A block with these markers, as the first of log `side` in generation `generation`.
fn marked(side: usize, generation: u64, kinds: &[ChunkType]) -> Vec<u8> {
    let mut image = vec![0; store::LOG_BYTES];
    for (at, kind) in kinds.iter().enumerate() {
        image[40 + 8 * at + 6] = *kind as u8;
    }
    let uuid = uuid::Uuid::from_u128(STAMP.uuid.as_u128() + side as u128);
    seal(&mut image[..512], LogFormat::V2, Stamp { uuid, generation }, SetIds { previous: 0, current: 1 });
    image
}

const WHOLE: &[ChunkType] = &[ChunkType::CompactionStart, ChunkType::CompactionEnd];
const UNFINISHED: &[ChunkType] = &[ChunkType::CompactionStart];
const EMPTY: &[ChunkType] = &[];

/// A pair with these markers and generations.
fn crafted(generations: [u64; 2], kinds: [&[ChunkType]; 2]) -> Rc<Store> {
    let image = |side: usize| match kinds[side] {
        [] => vec![0; store::LOG_BYTES],
        kinds => marked(side, generations[side], kinds),
    };
    Store::of(&Durable { images: [image(0), image(1)], generations }, 512, true)
}

/// mpool-79: a new pair gets its markers, in the first log; the second is erased.
#[test]
fn a_new_pair_gets_its_markers() {
    let store = fresh();
    let mdc = open(&store).expect("a new pair");
    use ChunkType::{CompactionEnd, CompactionStart};
    assert_eq!(chunks(&store.media[0].image.borrow()[..512]), [(CompactionStart, 0), (CompactionEnd, 0)]);
    assert!(store.media[1].writes.borrow().is_empty());
    assert_eq!(*store.generations.borrow(), [0, 1]);
    assert!(content(&mdc).is_empty());
    // Another open changes nothing.
    let again = cut(&store);
    open(&again).expect("the pair is whole");
    assert!(again.erasures.borrow().is_empty() && again.media[0].writes.borrow().is_empty());
}

/// mpool-78: which log is in use, and which one is erased to what generation.
#[test]
fn the_log_in_use_is_that_of_the_smaller_generation() {
    for (generations, kinds, active, erased) in [
        ([0, 0], [EMPTY, EMPTY], 0, Some((1, 1))),
        ([0, 0], [WHOLE, EMPTY], 0, Some((1, 1))),
        ([0, 1], [WHOLE, EMPTY], 0, None),
        ([0, 1], [EMPTY, EMPTY], 0, None),
        ([2, 1], [EMPTY, WHOLE], 1, None),
        ([0, 1], [WHOLE, WHOLE], 0, Some((1, 2))),
        ([2, 1], [WHOLE, WHOLE], 1, Some((0, 3))),
        ([0, 5], [WHOLE, WHOLE], 0, Some((1, 6))),
        ([0, 1], [WHOLE, UNFINISHED], 0, Some((1, 2))),
        ([2, 1], [UNFINISHED, WHOLE], 1, Some((0, 3))),
        ([4, 4], [WHOLE, UNFINISHED], 0, Some((1, 5))),
        ([0, 1], [UNFINISHED, EMPTY], 1, Some((0, 2))),
        ([0, 0], [UNFINISHED, EMPTY], 1, Some((0, 1))),
    ] {
        let store = crafted(generations, kinds);
        let mdc = open(&store).expect("one log is valid");
        assert_eq!(mdc.active().expect("open").id(), pair()[active], "{generations:?} {kinds:?}");
        assert_eq!(store.erasures.borrow().first().copied(), erased, "{generations:?} {kinds:?}");
        let after = *store.generations.borrow();
        assert!(after[active] < after[1 - active]);
        let logs = mdc.pair().expect("open");
        assert!(!logs[active].is_empty() && logs[1 - active].is_empty());
        block_on(mdc.close()).expect("the medium works");
        assert_eq!(store.open_logs(), 0);
        // When quiesced nothing is left to repair.
        let again = cut(&store);
        assert_eq!(open(&again).expect("whole").active().expect("open").id(), pair()[active]);
        assert!(again.erasures.borrow().is_empty());
    }
}

/// mpool-82: a pair in which neither log is known to be valid is refused, and stays unchanged.
#[test]
fn a_bad_pair_is_refused() {
    for (generations, kinds, error) in [
        ([0, 1], [UNFINISHED, UNFINISHED], Kind::Invalid),
        ([3, 3], [WHOLE, WHOLE], Kind::Invalid),
        ([3, 3], [WHOLE, EMPTY], Kind::Invalid),
        ([0, 1], [WHOLE, &[ChunkType::CompactionEnd]], Kind::CorruptLog),
        ([0, 1], [&[ChunkType::CompactionEnd], WHOLE], Kind::CorruptLog),
    ] {
        let store = crafted(generations, kinds);
        assert_eq!(open(&store).map_err(|error| error.kind()).err(), Some(error), "{generations:?} {kinds:?}");
        assert!(store.erasures.borrow().is_empty() && store.open_logs() == 0);
    }
}

#[test]
fn a_pair_is_two_logs_that_exist() {
    let store: Rc<dyn LogStore> = fresh();
    let opened = |ids| block_on(Mdc::open(Rc::clone(&store), ids, MdcFlags::default())).map(|_| ());
    let [first, second] = pair();
    assert_eq!(opened([first, first]).map_err(|error| error.kind()), Err(Kind::Invalid));
    let strange = ObjectId::mdc_logs(Slot(9))[0];
    assert_eq!(opened([strange, second]).map_err(|error| error.kind()), Err(Kind::NotFound));
    assert_eq!(opened([first, strange]).map_err(|error| error.kind()), Err(Kind::NotFound));
}

/// mpool-80: mpool's generations, for a client's pair and for MDC0's; the content is the compacted state.
#[test]
fn compactions_change_sides_and_lift_generations() {
    for (generations, expected) in [
        ([0, 0], [[0, 1], [2, 1], [2, 3], [4, 3], [4, 5], [6, 5], [6, 7]]),
        ([1, 2], [[1, 2], [3, 2], [3, 4], [5, 4], [5, 6], [7, 6], [7, 8]]),
    ] {
        let store = Store::of(&Durable::new(generations), 512, true);
        let mdc = open(&store).expect("a new pair");
        for (round, expected) in expected.into_iter().enumerate() {
            assert_eq!(*store.generations.borrow(), expected);
            let state = format!("state {round}");
            append(&mdc, b"garbage");
            compact(&mdc, &[state.as_bytes(), b"and more"]);
            append(&mdc, b"later");
            assert_eq!(content(&mdc), [state.as_bytes(), b"and more", b"later"]);
            assert_eq!(content(&open(&cut(&store)).expect("whole")), [state.as_bytes(), b"and more", b"later"]);
            let logs = mdc.pair().expect("open");
            assert_eq!(logs.iter().filter(|log| log.is_empty()).count(), 1);
        }
    }
}

/// mpool-83: append, read, rewind, and a buffer that is too small.
#[test]
fn an_mdc_is_read_like_its_log() {
    let store = fresh();
    let mdc = open(&store).expect("a new pair");
    append(&mdc, b"one");
    block_on(mdc.append(b"two", false)).expect("there is room");
    let mut buffer = [0; 8];
    assert!(matches!(block_on(mdc.next(&mut buffer[..2])), Err(NextError::TooSmall { needed: 3, .. })));
    for _ in 0..2 {
        assert_eq!(block_on(mdc.next(&mut buffer)), Ok(Some(3)));
        assert_eq!(&buffer[..3], b"one");
        assert_eq!(block_on(mdc.next(&mut buffer)), Ok(Some(3)));
        assert_eq!(block_on(mdc.next(&mut buffer)), Ok(None));
        block_on(mdc.rewind()).expect("it is open");
    }
    assert_eq!(mdc.fill(), (40 + 16 + 2 * 11, store::LOG_BYTES as u64));
    block_on(mdc.close()).expect("the medium works");
    block_on(mdc.close()).expect("closing again does nothing");
    assert_eq!((mdc.fill(), mdc.is_alive(), store.open_logs()), ((0, 0), false, 0));
    assert_eq!(block_on(mdc.append(b"late", true)).map_err(|error| error.kind()), Err(Kind::NotFound));
    assert_eq!(content(&open(&store).expect("whole")), [b"one", b"two"]);
}

/// A failed compaction closes the MDC; the state before it is found when it is reopened.
#[test]
fn a_failed_compaction_closes_and_loses_nothing() {
    for step in ["cstart", "cend", "erase"] {
        let store = fresh();
        let mdc = open(&store).expect("a new pair");
        append(&mdc, b"state");
        if step == "cstart" {
            store.media[1].fail(1);
            assert!(block_on(mdc.cstart()).is_err());
        } else {
            block_on(mdc.cstart()).expect("the target is empty");
            block_on(mdc.append(b"state", false)).expect("there is room");
            match step {
                "cend" => store.media[1].fail(1),
                _ => store.failing_erasures.set(1),
            }
            assert!(block_on(mdc.cend()).is_err());
        }
        assert!(!mdc.is_alive() && store.open_logs() == 0, "{step}");
        assert_eq!(block_on(mdc.append(b"late", true)).map_err(|error| error.kind()), Err(Kind::NotFound));
        assert!(block_on(mdc.cstart()).is_err() && block_on(mdc.cend()).is_err());
        let again = open(&store).expect("whole");
        assert_eq!(content(&again), [b"state"], "{step}");
        append(&again, b"more");
        assert_eq!(content(&again), [&b"state"[..], b"more"]);
    }
}

/// An abandoned compaction leaves the state before it.
#[test]
fn an_abandoned_compaction_does_not_count() {
    let store = fresh();
    let mdc = open(&store).expect("a new pair");
    append(&mdc, b"state");
    block_on(mdc.cstart()).expect("the target is empty");
    assert_eq!(block_on(mdc.cstart()).map_err(|error| error.kind()), Err(Kind::Invalid));
    assert!(mdc.is_alive(), "asking twice is no failure");
    block_on(mdc.append(b"half", false)).expect("there is room");
    block_on(mdc.abandon());
    assert_eq!(content(&open(&store).expect("whole")), [b"state"]);
}

#[test]
fn a_compaction_is_ended_only_when_begun() {
    let mdc = open(&fresh()).expect("a new pair");
    assert_eq!(block_on(mdc.cend()).map_err(|error| error.kind()), Err(Kind::Invalid));
    assert!(mdc.is_alive());
}
