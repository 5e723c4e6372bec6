// SPDX-License-Identifier: BSD-3-Clause

//! How the pool's names and numbers are shown, in text and in JSON alike.

use std::fmt::Write;

use mpool::{Extent, MediaClass, ObjectId, ObjectType};
use serde::Serializer;

/// An object's id: hexadecimal, so that slot and type are visible, and so that JSON readers keep all bits.
#[must_use]
pub fn id(id: ObjectId) -> String {
    format!("{:#x}", id.0)
}

/// An object's kind.
#[must_use]
pub fn kind(id: ObjectId) -> &'static str {
    match id.kind() {
        Some(ObjectType::Mblock) => "mblock",
        Some(ObjectType::Mlog) => "mlog",
        Some(ObjectType::Slab) => "slab",
        None => "none",
    }
}

/// A media class.
#[must_use]
pub fn class(class: MediaClass) -> &'static str {
    match class {
        MediaClass::Staging => "STAGING",
        MediaClass::Capacity => "CAPACITY",
    }
}

/// Zones, from the first to the last.
#[must_use]
pub fn zones(extent: Extent) -> String {
    match (extent.zones, extent.first.checked_add(extent.zones)) {
        (0, _) => format!("{} (none)", extent.first),
        (1, _) => extent.first.to_string(),
        (_, Some(end)) => format!("{}-{}", extent.first, end - 1),
        (zones, None) => format!("{} and {} more", extent.first, zones - 1),
    }
}

/// A size in the largest binary unit that needs at most one decimal; also exact, where that is short.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let size = 1_u64 << shift;
        if bytes >= size {
            let (whole, rest) = (bytes >> shift, bytes & (size - 1));
            return match (rest, rest * 10 / size) {
                (0, _) => format!("{whole} {unit}"),
                (_, 0) => format!("{whole} {unit} and {rest} B"),
                (_, tenths) => format!("{whole}.{tenths} {unit}"),
            };
        }
    }
    format!("{bytes} B")
}

/// Text from media for a terminal: whatever could move the cursor, or do worse, is escaped.
#[must_use]
pub fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// For serde: an id as a string.
///
/// # Errors
/// The serializer's.
pub fn serialize_id<S: Serializer>(object: &ObjectId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id(*object))
}

/// A switch.
#[must_use]
pub const fn on(on: bool) -> &'static str {
    if on {
        "on"
    } else {
        "off"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_not_wrong() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(32 << 20), "32 MiB");
        assert_eq!(bytes((3 << 20) / 2), "1.5 MiB");
        assert_eq!(bytes((1 << 20) + 512), "1 MiB and 512 B");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }

    #[test]
    fn zones_are_shown_whatever_they_are() {
        assert_eq!(zones(Extent { first: 7, zones: 1 }), "7");
        assert_eq!(zones(Extent { first: 7, zones: 3 }), "7-9");
        assert_eq!(zones(Extent { first: u64::MAX, zones: 3 }), format!("{} and 2 more", u64::MAX));
        assert_eq!(zones(Extent { first: 7, zones: 0 }), "7 (none)");
    }

    #[test]
    fn terminals_are_spared() {
        assert_eq!(text("a\u{1b}[2Jb\u{e9}"), "a\\u{1b}[2Jb\u{e9}");
    }
}
