// SPDX-License-Identifier: BSD-3-Clause

//! Power cuts at every write of a superblock, with every set of its 512-byte parts on the medium.

use super::*;

/// The places of the copies on a device, so that nothing else need be copied.
const AREAS: usize = 3 * SUPERBLOCK_BYTES;

/// The content of the copies after a power cut during the last of `writes`: of its 512-byte parts those in `parts` were
/// written.
fn torn(before: &[u8], writes: &[(usize, Vec<u8>)], parts: u8) -> Vec<u8> {
    let mut areas = before.to_vec();
    for (number, (copy, data)) in writes.iter().enumerate() {
        let torn = number + 1 == writes.len();
        for (part, bytes) in data.chunks(512).enumerate() {
            if !torn || parts >> part & 1 == 1 {
                let at = copy * SUPERBLOCK_BYTES + part * 512;
                areas[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
    areas
}

/// The writes of an operation on a device whose copies hold `areas`, each with the number of its copy.
fn writes_of(areas: &[u8], operation: impl FnOnce(&TestDevice)) -> Vec<(usize, Vec<u8>)> {
    let device = new_device();
    for copy in 0..COPIES {
        device.poke(place(copy), &areas[copy * SUPERBLOCK_BYTES..(copy + 1) * SUPERBLOCK_BYTES]);
    }
    operation(&device);
    let number = |at: u64| PLACES.iter().position(|place| *place == at).expect("the place of a copy");
    device.writes().into_iter().map(|(at, data)| (number(at), data)).collect()
}

/// The superblock that is used without force.
fn found_in(areas: &[u8]) -> Result<Superblock> {
    let state = |copy: usize| CopyState::of(&areas[copy * SUPERBLOCK_BYTES..(copy + 1) * SUPERBLOCK_BYTES]);
    let found = decide("drive", &[state(0), state(1), state(2)])?;
    match found.condition {
        Condition::Sure => Ok(found.superblock),
        condition => Err(PoolError::invalid("drive", condition.to_string())),
    }
}

fn areas_of(device: &TestDevice) -> Vec<u8> {
    let image = device.image();
    (0..COPIES).flat_map(|copy| image[place(copy)..place(copy) + SUPERBLOCK_BYTES].to_vec()).collect()
}

/// Visits every way to cut `writes` off, with the resulting content of the copies.
fn all_cuts(before: &[u8], writes: &[(usize, Vec<u8>)], mut visit: impl FnMut(&[u8])) {
    for last in 1..=writes.len() {
        for parts in 0..=u8::MAX {
            visit(&torn(before, &writes[..last], parts));
        }
    }
}

/// Cut off anywhere, and the next rewrite cut off anywhere again, the result is the superblock before or the one after.
#[test]
fn a_power_cut_leaves_the_old_superblock_or_the_new() {
    for (from, to) in [(V3, V3), (V1, V1), (V1, V3)] {
        let before = areas_of(&formatted(&superblock("one"), from));
        assert_eq!(before.len(), AREAS);
        let rewriting = |areas: &[u8], name: &str| {
            let mut next = found_in(areas).expect("one of two");
            next.name = PoolName::new(name).expect("a name");
            writes_of(areas, |device| {
                block_on(rewrite(device, &mut next, to, &LogHost::default())).expect("a good device");
            })
        };
        let writes = rewriting(&before, "two");
        assert_eq!(writes.len(), if to == V1 { 2 } else { 3 }, "one for each copy");
        let mut seen = [0; 2];
        all_cuts(&before, &writes, |areas| {
            let old = found_in(areas).expect("old or new").name.to_string();
            let which = ["one", "two"].iter().position(|name| *name == old).expect("old or new");
            seen[which] += 1;
            // Of states that are equal to the next rewrite, 1/37 are cut off a second time.
            if seen[which] % 37 != 1 {
                return;
            }
            // Only parts written from the front, from the back, and single ones.
            let again = rewriting(areas, "three");
            let second = (0..=8).flat_map(|count| [!(0xff_u16 << count) as u8, (0xff_u16 << count) as u8]);
            for parts in second.chain((0..8).map(|part| 1 << part)) {
                for last in 1..=again.len() {
                    let found = found_in(&torn(areas, &again[..last], parts)).map(|found| found.name);
                    let name = found.as_ref().map(|name| name.as_str());
                    assert!(name == Ok(&old) || name == Ok("three"), "{from:?} to {to:?}: {old}, then {name:?}");
                }
            }
        });
        assert!(seen.iter().all(|count| *count > 1), "{seen:?}");
    }
}

/// Cut off anywhere, an erasure leaves the pool or none, and a creation over an old pool never brings the old one back.
#[test]
fn a_power_cut_brings_nothing_back() {
    for version in [V1, V3] {
        let before = areas_of(&formatted(&superblock("one"), version));
        let erasing = writes_of(&before, |device| block_on(erase(device)).expect("a good device"));
        assert_eq!(erasing.iter().map(|(copy, _)| *copy).collect::<Vec<_>>(), [2, 1, 0]);
        let mut gone = false;
        all_cuts(&before, &erasing, |areas| match found_in(areas) {
            Ok(found) => assert_eq!(found.name.as_str(), "one"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::NoPool, "{error}");
                gone = true;
            }
        });
        assert!(gone);

        let new = Superblock { pool: Uuid::from_u128(0xb002), ..superblock("new") };
        let creating = writes_of(&before, |device| block_on(write_new(device, &new, V3)).expect("a good device"));
        let copies: Vec<_> = creating.iter().map(|(copy, _)| *copy).collect();
        assert_eq!(copies, if version == V1 { vec![1, 0, 1, 2] } else { vec![2, 1, 0, 1, 2] });
        let erased = copies.len() - 3;
        let old_is_gone = torn(&before, &creating[..erased], u8::MAX);
        all_cuts(&old_is_gone, &creating[erased..], |areas| match found_in(areas) {
            Ok(found) if found.name.as_str() == "new" => {}
            // Nothing of copy 0 that counts was changed yet; the original's has no more.
            Ok(_) => assert_eq!((version, &areas[..296]), (V1, &before[..296])),
            Err(error) => assert_eq!(error.kind(), Kind::NoPool, "{error}"),
        });
    }
}
