// SPDX-License-Identifier: BSD-3-Clause

//! Names and labels of pools: their allowed characters and lengths.
//!
//! Invariant: the results of these functions are ASCII, do not start with `-`, and fit their field on media with a NUL.
//! Differs from mpool: a character outside ASCII becomes one `_`, not one for each of its bytes.

use super::error::{Kind, PoolError, Result};
use super::format::POOL_NAME_BYTES;

/// Bytes in the field of a name, including the NUL.
pub const NAME_FIELD_BYTES: usize = POOL_NAME_BYTES;

/// Bytes in the field of a label, including the NUL.
pub const LABEL_FIELD_BYTES: usize = 64;

/// The label of a pool that is created without one.
pub const DEFAULT_LABEL: &str = "raw";

/// Converts a client's pool name to the stored form.
///
/// # Errors
/// Invalid when the name is empty, NameTooLong when it has 256 characters or more.
pub fn pool_name(given: &str) -> Result<String> {
    if given.is_empty() {
        return Err(PoolError::invalid("pool name", "it is empty"));
    }
    sanitise("pool name", given, NAME_FIELD_BYTES)
}

/// Converts a client's label to the stored form; none when it is empty, which means "not given".
///
/// # Errors
/// NameTooLong when the label has 64 characters or more.
pub fn label(given: &str) -> Result<Option<String>> {
    if given.is_empty() {
        return Ok(None);
    }
    sanitise("label", given, LABEL_FIELD_BYTES).map(Some)
}

fn sanitise(what: &str, given: &str, field_bytes: usize) -> Result<String> {
    // The text may be very long: the message shows only its start.
    if given.chars().nth(field_bytes - 1).is_some() {
        let start: String = given.chars().take(field_bytes).collect();
        let reason = format!("it has more than {} characters", field_bytes - 1);
        return Err(PoolError::new(Kind::NameTooLong, format!("{what} '{}...'", start.escape_debug()), reason));
    }
    Ok(given.chars().enumerate().map(|(at, character)| if is_kept(at, character) { character } else { '_' }).collect())
}

const fn is_kept(at: usize, character: char) -> bool {
    match character {
        '-' => at > 0,
        '_' | '.' => true,
        _ => character.is_ascii_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mpool-19: characters that are not allowed become '_', a '-' is not allowed in front.
    #[test]
    fn other_characters_become_underscores() {
        for (given, stored) in [
            ("-a/b", "_a_b"),
            ("a-b_c.D9", "a-b_c.D9"),
            ("--", "_-"),
            (".", "."),
            ("_x", "_x"),
            ("a b\0c\n@[`{:", "a_b_c______"),
            ("\u{e9}", "_"),
        ] {
            assert_eq!(pool_name(given).unwrap(), stored, "{given:?}");
            assert_eq!(label(given).unwrap().as_deref(), Some(stored), "{given:?}");
        }
    }

    /// mpool-19, adapted: an empty name is invalid, 255 characters fit, as in a volume's name, 256 do not.
    #[test]
    fn names_have_1_to_255_characters() {
        assert_eq!(pool_name("").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(pool_name(&"n".repeat(255)).unwrap(), "n".repeat(255));
        assert_eq!(pool_name(&"n".repeat(256)).unwrap_err().kind(), Kind::NameTooLong);
        assert_eq!(pool_name(&"\u{e9}".repeat(255)).unwrap(), "_".repeat(255));
        let error = pool_name(&"n".repeat(100_000)).unwrap_err();
        assert_eq!(error.kind(), Kind::NameTooLong);
        assert!(error.to_string().len() < 500, "a long name makes no long message");
    }

    /// mpool-19: an empty label is not given, 63 characters fit, 64 do not.
    #[test]
    fn labels_have_at_most_63_characters() {
        assert_eq!(label("").unwrap(), None);
        assert_eq!(label(&"l".repeat(63)).unwrap(), Some("l".repeat(63)));
        assert_eq!(label(&"l".repeat(64)).unwrap_err().kind(), Kind::NameTooLong);
        assert_eq!(label(DEFAULT_LABEL).unwrap().as_deref(), Some("raw"));
    }
}
