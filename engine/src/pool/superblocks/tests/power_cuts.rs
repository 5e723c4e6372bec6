// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts at every write of a superblock, with every set of its 512-byte parts on the medium.

use super::*;

/// As much of a device as the copies need.
const HEAD_BYTES: u64 = 16384;

/// The first bytes of a device after a power cut during the last of `writes`: of its 512-byte parts those in `parts` were
/// written.
fn torn(before: &[u8], writes: &[(u64, Vec<u8>)], parts: u8) -> Vec<u8> {
    let mut image = before.to_vec();
    for (number, (at, data)) in writes.iter().enumerate() {
        let torn = number + 1 == writes.len();
        for (part, bytes) in data.chunks(512).enumerate() {
            if !torn || parts >> part & 1 == 1 {
                let at = *at as usize + part * 512;
                image[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
    image
}

/// The writes of an operation on a device whose first bytes are `image`.
fn writes_of(image: &[u8], operation: impl FnOnce(&TestDevice)) -> Vec<(u64, Vec<u8>)> {
    let device = TestDevice::with_image(properties(HEAD_BYTES), image.to_vec());
    operation(&device);
    device.writes()
}

fn found_in(image: &[u8]) -> Result<Found> {
    read_from(&TestDevice::with_image(properties(HEAD_BYTES), image.to_vec()))
}

fn head_of(device: &TestDevice) -> Vec<u8> {
    device.image()[..HEAD_BYTES as usize].to_vec()
}

/// Every way to cut `writes` off, with what the head of the device is then.
fn all_cuts(before: &[u8], writes: &[(u64, Vec<u8>)], mut visit: impl FnMut(&[u8])) {
    for last in 1..=writes.len() {
        for parts in 0..=u8::MAX {
            visit(&torn(before, &writes[..last], parts));
        }
    }
}

/// Cut off anywhere, and the next rewrite cut off anywhere again, there is the superblock before or the one after.
#[test]
fn a_power_cut_leaves_the_old_superblock_or_the_new() {
    for (from, to) in [(V2, V2), (V1, V1), (V1, V2)] {
        let before = head_of(&formatted(&superblock("one"), from));
        let rewriting = |image: &[u8], name: &str| {
            let mut next = found_in(image).expect("one of two").superblock;
            next.name = PoolName::new(name).expect("a name");
            writes_of(image, |device| {
                block_on(rewrite(device, &mut next, to, &LogHost::default())).expect("a good device");
            })
        };
        let writes = rewriting(&before, "two");
        assert_eq!(writes.len(), 2, "one for each copy");
        let mut seen = [0; 2];
        all_cuts(&before, &writes, |image| {
            let old = found_in(image).expect("old or new").superblock.name.to_string();
            seen[["one", "two"].iter().position(|name| *name == old).expect("old or new")] += 1;
            // A second cut: only parts written from the front, from the back, and single ones.
            let again = rewriting(image, "three");
            let second = (0..=8).flat_map(|count| [!(0xff_u16 << count) as u8, (0xff_u16 << count) as u8]);
            for parts in second.chain((0..8).map(|part| 1 << part)) {
                for last in 1..=again.len() {
                    let found = found_in(&torn(image, &again[..last], parts)).map(|found| found.superblock.name);
                    let name = found.as_ref().map(|name| name.as_str());
                    assert!(name == Ok(&old) || name == Ok("three"), "{from:?} to {to:?}: {old}, then {name:?}");
                }
            }
        });
        assert!(seen.iter().all(|count| *count > 1), "{seen:?}");
    }
}

/// Cut off anywhere, an erasure leaves the pool or none, and a creation over an old pool never brings that back.
#[test]
fn a_power_cut_brings_nothing_back() {
    for version in [V1, V2] {
        let before = head_of(&formatted(&superblock("one"), version));
        let erasing = writes_of(&before, |device| block_on(erase(device)).expect("a good device"));
        let mut gone = false;
        all_cuts(&before, &erasing, |image| match found_in(image) {
            Ok(found) => assert_eq!(found.superblock.name.as_str(), "one"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::NoPool, "{error}");
                gone = true;
            }
        });
        assert!(gone);

        let new = Superblock { pool: Uuid::from_u128(0xb002), ..superblock("new") };
        let creating = writes_of(&before, |device| block_on(write_new(device, &new, V2)).expect("a good device"));
        assert_eq!(creating.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [8192, 0, 8192]);
        let copy_1_gone = torn(&before, &creating[..1], u8::MAX);
        all_cuts(&copy_1_gone, &creating[1..], |image| match found_in(image) {
            Ok(found) if found.superblock.name.as_str() == "new" => {}
            // Nothing of copy 0 was changed yet that counts.
            Ok(_) => assert_eq!(image[..296], before[..296]),
            Err(error) => assert_eq!(error.kind(), Kind::NoPool, "{error}"),
        });
    }
}
