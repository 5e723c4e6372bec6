// SPDX-License-Identifier: BSD-3-Clause

//! The order of Debian's version numbers (deb-version(7)): epoch, upstream version, revision; `~` sorts before the end.

use std::cmp::Ordering;

/// Compares two versions as dpkg does.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, rest_a) = split_epoch(a);
    let (epoch_b, rest_b) = split_epoch(b);
    let (upstream_a, revision_a) = rest_a.rsplit_once('-').unwrap_or((rest_a, "0"));
    let (upstream_b, revision_b) = rest_b.rsplit_once('-').unwrap_or((rest_b, "0"));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

fn split_epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// Alternating runs of non-digits (by [`weight`]) and digits (by value).
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(a.find(|c: char| c.is_ascii_digit()).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.find(|c: char| c.is_ascii_digit()).unwrap_or(b.len()));
        let by_text = compare_text(text_a, text_b);
        let (digits_a, rest_a) = rest_a.split_at(rest_a.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest_a.len()));
        let (digits_b, rest_b) = rest_b.split_at(rest_b.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest_b.len()));
        let order = by_text.then_with(|| compare_digits(digits_a, digits_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn compare_text(a: &str, b: &str) -> Ordering {
    let len = a.len().max(b.len());
    let weights = |text: &str| -> Vec<u32> {
        let bytes = text.bytes().map(Some).chain(std::iter::repeat(None));
        bytes.take(len + 1).map(weight).collect()
    };
    weights(a).cmp(&weights(b))
}

fn weight(byte: Option<u8>) -> u32 {
    match byte {
        Some(b'~') => 0,
        None => 1,
        Some(letter) if letter.is_ascii_alphabetic() => 2 + u32::from(letter),
        Some(other) => 1000 + u32::from(other),
    }
}

/// By value, with any number of digits.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let a = a.trim_start_matches('0');
    let b = b.trim_start_matches('0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_dpkg_does() {
        for (less, more) in [
            ("18.2.7+ds-1", "20.2.4+ds-2"),
            ("20.2.4+ds-2", "20.2.10+ds-1"),
            ("20.2.4+ds-2", "20.2.4+ds-10"),
            ("20.2.4+ds~rc1-1", "20.2.4+ds-1"),
            ("20.2.4~rc1-1", "20.2.4-1"),
            ("9.9-1", "1:1.0-1"),
            ("1.0", "1.0a"),
            ("1.0a", "1.0+b"),
            ("3.33-3", "3.33-3+b1"),
        ] {
            assert_eq!(compare(less, more), Ordering::Less, "{less} < {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{more} > {less}");
        }
        assert_eq!(compare("1.0-1", "0:1.00-1"), Ordering::Equal);
        assert_eq!(compare("1.0", "1.0-0"), Ordering::Equal);
    }
}
