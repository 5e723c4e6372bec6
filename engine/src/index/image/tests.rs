// SPDX-License-Identifier: BSD-3-Clause

use mpool::testing::Random;

use super::super::testing::{at, content};
use super::super::Update;
use super::*;

const OF: ImageOf = ImageOf { nonce: 0x1122_3344_5566_7788, generation: 0x0102_0304_0506_0708, shard: 3, shards: 8 };

fn image(index: &mut Index) -> Vec<u8> {
    index.save(OF).flatten().collect()
}

/// Writes the check codes of changed pages.
fn seal(image: &mut [u8]) {
    for page in image.as_chunks_mut::<PAGE_BYTES>().0 {
        let code = check_code(OF.nonce, &page[4..]);
        page[..4].copy_from_slice(&code.to_le_bytes());
    }
}

fn filled(bytes: usize, records: u64) -> Index {
    let mut index = Index::new(bytes);
    for n in 0..records {
        index.update(content(n), at(n + 1));
    }
    index
}

/// A head page made by another implementation of the layout above.
#[test]
fn golden_bytes() {
    let mut index = Index::new(0);
    let empty = image(&mut index);
    assert_eq!(empty.len(), 2 * PAGE_BYTES);
    assert_eq!(empty[..8], [0x72, 0x1b, 0xf5, 0x2d, 0, 0, 0, 0]);
    assert_eq!(empty[8..26], [8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 8, 0, b'D', b'D', b'I', b'X', 1, 0]);
    assert_eq!(empty[64..92], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0]);
    index.update(content(1), at(0x9_8765_4321));
    let one = image(&mut index);
    let bucket = one[PAGE_BYTES + 64..].as_chunks::<64>().0.iter().find(|bucket| bucket.iter().any(|&byte| byte > 0));
    let bucket = bucket.expect("a record lies somewhere");
    assert_eq!(
        (bucket[32..36].to_vec(), bucket[16], bucket[18..32].to_vec()),
        (vec![0x21, 0x43, 0x65, 0x87], 0x19, vec![0; 14])
    );
}

/// vdo-115, partly: a clean restart finds every record, and they age as they would have.
#[test]
fn what_was_saved_is_there_again() {
    for bytes in [0, 1 << 12, 1 << 16, 100 * 4096, 3 << 20] {
        let mut index = Index::new(bytes);
        let records = index.capacity() * 8 / 10;
        for n in 0..records {
            index.update(content(n), at(n + 1));
        }
        let pieces: Vec<Vec<u8>> = index.save(OF).collect();
        assert!(pieces.iter().all(|piece| piece.len() % PAGE_BYTES == 0 && piece.len() <= 1 << 20), "{bytes} bytes");
        let mut loaded = Index::load(bytes, OF, &pieces.concat()).unwrap();
        assert_eq!((loaded.len(), loaded.capacity()), (index.len(), index.capacity()));
        for n in 0..records {
            assert_eq!(loaded.lookup(content(n)), index.lookup(content(n)), "{bytes} bytes");
        }
        assert_eq!(image(&mut loaded).len(), pieces.concat().len());
    }
}

/// Records used last before the stop stay longest after it.
#[test]
fn recency_is_saved() {
    let mut index = filled(1 << 18, (1 << 15) * 9 / 10);
    let held: Vec<u64> = (0..1 << 12).filter(|&n| index.lookup(content(n)).is_some()).collect();
    assert!(held.len() > 3500);
    for n in 0..1 << 13 {
        index.update(content(1 << 40 | n), at(n + 1));
    }
    let image = image(&mut index);
    let mut loaded = Index::load(1 << 18, OF, &image).unwrap();
    for n in 0..1 << 13 {
        loaded.update(content(1 << 41 | n), at(n + 1));
    }
    let kept = held.iter().filter(|&&n| loaded.lookup(content(n)) == Some(at(n + 1))).count();
    assert!(kept as f64 > 0.99 * held.len() as f64, "{kept} of {}", held.len());
}

/// A resize in progress is completed, whatever the sizes.
#[test]
fn a_resize_is_completed_first() {
    for (before, after) in [(1 << 16, 1 << 18), (1 << 18, 1 << 16)] {
        let mut index = filled(before, before as u64 / 16);
        index.resize(after);
        index.migrate(3);
        let image = image(&mut index);
        let mut loaded = Index::load(after, OF, &image).unwrap();
        assert_eq!(loaded.len(), index.len());
        let newest = before as u64 / 16 - 1;
        assert_eq!(loaded.lookup(content(newest)), Some(at(newest + 1)));
        assert!(matches!(Index::load(before, OF, &image), Err(ImageError::Shape { .. })));
        // Keys that a smaller table has left can still move on.
        loaded.resize(before);
        while loaded.migrate(1) {}
        assert_eq!(loaded.lookup(content(newest)), Some(at(newest + 1)));
    }
}

#[test]
fn an_image_fits_only_what_it_was_made_for() {
    let image = image(&mut filled(1 << 14, 1000));
    let load = |bytes, of| Index::load(bytes, of, &image).map(|_| ()).unwrap_err();
    assert_eq!(load(1 << 14, ImageOf { nonce: 1, ..OF }), ImageError::Damaged(0));
    for of in [ImageOf { generation: 1, ..OF }, ImageOf { shard: 4, ..OF }, ImageOf { shards: 9, ..OF }] {
        assert_eq!(load(1 << 14, of), ImageError::Elsewhere(0));
    }
    assert_eq!(load(1 << 15, OF), ImageError::Shape { buckets: 256, key_bits: 24, wanted: 512 });
    for bytes in [0, 1, 4095, 4096, image.len() - 1] {
        let short = Index::load(1 << 14, OF, &image[..bytes]).map(|_| ()).unwrap_err();
        assert_eq!(short, ImageError::Size { pages: 6, bytes });
    }
    let mut swapped = image.clone();
    swapped.copy_within(2 * PAGE_BYTES..3 * PAGE_BYTES, PAGE_BYTES);
    assert_eq!(Index::load(1 << 14, OF, &swapped).map(|_| ()), Err(ImageError::Elsewhere(1)));
}

/// vdo-115, partly: a damaged image is refused, wherever the damage is.
#[test]
fn damage_is_found() {
    let image = image(&mut filled(1 << 14, 1000));
    let mut random = Random::new(1);
    for _ in 0..300 {
        let mut bad = image.clone();
        let place = random.below(image.len() as u64) as usize;
        bad[place] ^= 1 << random.below(8);
        let page = (place / PAGE_BYTES) as u32;
        assert_eq!(Index::load(1 << 14, OF, &bad).map(|_| ()), Err(ImageError::Damaged(page)));
    }
}

/// Pages with valid check codes but any content: an error, or an index that works, including resizes.
#[test]
fn any_bytes_survive() {
    let mut index = filled(1 << 12, 200);
    let good = image(&mut index);
    let mut random = Random::new(2);
    let mut served = 0;
    for round in 0..600 {
        let mut bad = good.clone();
        for _ in 0..1 + random.below(3) {
            let reach = if round % 3 == 0 { 128 } else { bad.len() as u64 };
            bad[random.below(reach) as usize] = random.below(256) as u8;
        }
        seal(&mut bad);
        let Ok(mut index) = Index::load(1 << 12, OF, &bad) else { continue };
        served += 1;
        for n in 0..300 {
            index.lookup(content(n));
            assert!(matches!(
                index.update(content(1 << 30 | n), at(1)),
                Update::Added | Update::Changed | Update::Replaced(_)
            ));
        }
        index.resize(1 << 13);
        while index.migrate(1) {}
        assert!(index.len() <= index.capacity());
    }
    assert!(served > 0);
}

#[test]
fn a_record_that_cannot_be_is_refused() {
    let mut index = filled(1 << 12, 200);
    let good = image(&mut index);
    let slots = good[PAGE_BYTES + CONTENT..].as_chunks::<64>().0;
    let (bucket, _) = slots.iter().enumerate().find(|(_, bucket)| bucket[16..18] != [0, 0]).expect("200 records");
    let place = PAGE_BYTES + CONTENT + bucket * 64;
    let load = |bad: &mut Vec<u8>| {
        seal(bad);
        Index::load(1 << 12, OF, bad).map(|_| ()).unwrap_err()
    };
    let mut zero = good.clone();
    zero[place + 32..place + 36].fill(0);
    zero[place + 16] &= 0xf0;
    assert_eq!(load(&mut zero), ImageError::Records(1), "PBN 0");
    let mut unmapped = good.clone();
    unmapped[place + 16] &= 0x0f;
    unmapped[place + 17] |= 1;
    assert_eq!(load(&mut unmapped), ImageError::Records(1), "unmapped");
    let mut lost = good.clone();
    lost[place..place + 2].fill(0);
    lost[place + 16..place + 18].fill(0);
    lost[place + 32..place + 36].fill(0);
    assert_eq!(load(&mut lost), ImageError::Count { saved: index.len(), found: index.len() - 1 });
    let mut key = good;
    key[CONTENT + 24] = 30;
    assert_eq!(load(&mut key), ImageError::Shape { buckets: 64, key_bits: 30, wanted: 64 });
}
