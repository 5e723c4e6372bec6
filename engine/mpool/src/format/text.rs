// SPDX-License-Identifier: BSD-3-Clause

//! Names and labels on media: restricted ASCII, closed by a NUL, the rest zero. [`crate::names`] converts client input
//! to such texts.

use core::fmt;

use thiserror::Error;

/// Why a text cannot be a name or label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// The text is too long for its field.
    #[error("longer than the {0} bytes that fit")]
    TooLong(usize),
    /// The field on media has no closing NUL.
    #[error("not closed by a NUL")]
    NotClosed,
    /// The field on media has a byte that no name has.
    #[error("contains the byte {0:#04x}, which a sanitised text never has")]
    Byte(u8),
}

/// A text of at most `N - 1` bytes out of `A-Z a-z 0-9 _ . -`, not beginning with `-`. It may be empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    field: [u8; N],
}

/// Bytes of the field of a pool's name, including the NUL: as long as a volume's name can be.
pub const POOL_NAME_BYTES: usize = 256;

/// The name of a pool.
pub type PoolName = Text<POOL_NAME_BYTES>;

/// The label of a pool: 63 bytes and a NUL.
pub type Label = Text<64>;

impl<const N: usize> Text<N> {
    /// A text without bytes.
    pub const EMPTY: Text<N> = Text { field: [0; N] };

    /// Makes a text of a sanitised string.
    ///
    /// # Errors
    /// It is longer than `N - 1` bytes, or has a byte outside the allowed set.
    pub fn new(text: &str) -> Result<Text<N>, TextError> {
        let mut field = [0; N];
        let to = field.get_mut(..text.len()).filter(|_| text.len() < N).ok_or(TextError::TooLong(N - 1))?;
        to.copy_from_slice(text.as_bytes());
        match text.bytes().enumerate().find(|(at, byte)| !allowed(*at, *byte)) {
            Some((_, byte)) => Err(TextError::Byte(byte)),
            None => Ok(Text { field }),
        }
    }

    /// Decodes a field on media. Bytes behind the NUL are ignored.
    ///
    /// # Errors
    /// The field has no NUL, or a byte that no sanitised text has.
    pub fn decode(mut field: [u8; N]) -> Result<Text<N>, TextError> {
        let length = field.iter().position(|byte| *byte == 0).ok_or(TextError::NotClosed)?;
        let (text, rest) = field.split_at_mut(length);
        if let Some((_, byte)) = text.iter().enumerate().find(|(at, byte)| !allowed(*at, **byte)) {
            return Err(TextError::Byte(*byte));
        }
        rest.fill(0);
        Ok(Text { field })
    }

    /// The encoding on media.
    #[must_use]
    pub fn field(&self) -> &[u8; N] {
        &self.field
    }

    /// The text without the NUL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.field.iter().position(|byte| *byte == 0).unwrap_or(N);
        // Only ASCII ever enters the field.
        core::str::from_utf8(&self.field[..length]).unwrap_or_default()
    }

    /// True for a text without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

fn allowed(at: usize, byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || (byte == b'-' && at > 0)
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sanitised_texts_that_fit_are_taken() {
        assert_eq!(PoolName::new("a-b_c.D9").map(|name| name.to_string()), Ok("a-b_c.D9".to_owned()));
        for (text, byte) in [("-a", b'-'), ("a/b", b'/'), ("a\0b", 0), ("\u{e9}", 0xc3)] {
            assert_eq!(PoolName::new(text), Err(TextError::Byte(byte)));
        }
        assert_eq!(PoolName::new(&"x".repeat(255)).map(|name| name.as_str().len()), Ok(255));
        assert_eq!(PoolName::new(&"x".repeat(256)), Err(TextError::TooLong(255)));
        assert_eq!(Label::new(&"x".repeat(64)), Err(TextError::TooLong(63)));
    }

    #[test]
    fn a_field_decodes_to_its_text_or_an_error() {
        let mut field = [0; POOL_NAME_BYTES];
        field[..4].copy_from_slice(b"mp1\0");
        field[9] = 7;
        let name = PoolName::decode(field).expect("closed by a NUL");
        assert_eq!((name.as_str(), name), ("mp1", PoolName::new("mp1").expect("short")), "the rest is not text");
        assert_eq!(Text::decode([b'a'; 32]), Err(TextError::NotClosed));
        field[0] = b'-';
        assert_eq!(Text::decode(field), Err(TextError::Byte(b'-')));
        field[0] = 0xff;
        assert_eq!(Text::decode(field), Err(TextError::Byte(0xff)));
        assert!(Text::decode([0; 32]).is_ok_and(|text| text.is_empty()));
    }
}
