// SPDX-License-Identifier: BSD-3-Clause

//! Reading of structures that have changed over time: mpool's upgrade framework.
//!
//! The history of a structure is a chain of types, one for each change. A read takes the last type that is not newer
//! than the media, unpacks the bytes as that type, and converts step by step to the newest:
//! ```text
//! media version:   1        2        3
//!                  |                 |
//! types:           V1 --convert--> V3          (version 2 did not change this structure)
//! ```
//! Differs from mpool: the history is a chain of types instead of a table of sizes and untyped functions, so a
//! converter of the wrong type does not compile.

/// A structure that can be read from media of any version of its history.
pub trait Structure<Version>: Sized {
    /// Why bytes are not this structure.
    type Error;

    /// Reads `bytes` as media of `version` hold them. The first type of a history implements this itself, and ignores
    /// the version; later types implement [`Revision`].
    ///
    /// # Errors
    /// The bytes are not what media of that version hold.
    fn read(version: Version, bytes: &[u8]) -> Result<Self, Self::Error>;
}

/// A later type of a history.
pub trait Revision<Version>: Sized {
    /// The previous type.
    type Earlier: Structure<Version>;

    /// The first version whose media hold this type.
    const SINCE: Version;

    /// Unpacks the bytes of this type.
    ///
    /// # Errors
    /// The bytes are not what media hold since [`Revision::SINCE`].
    fn unpack(bytes: &[u8]) -> Result<Self, <Self::Earlier as Structure<Version>>::Error>;

    /// Converts the previous type to this one.
    fn convert(earlier: Self::Earlier) -> Self;
}

impl<Version: PartialOrd, T: Revision<Version>> Structure<Version> for T {
    type Error = <T::Earlier as Structure<Version>>::Error;

    fn read(version: Version, bytes: &[u8]) -> Result<Self, Self::Error> {
        if version >= T::SINCE {
            T::unpack(bytes)
        } else {
            T::Earlier::read(version, bytes).map(T::convert)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1: a length in MiB, one byte.
    #[derive(Debug, PartialEq)]
    struct LengthV1 {
        mib: u8,
    }

    /// Version 2: in KiB, two bytes.
    #[derive(Debug, PartialEq)]
    struct LengthV2 {
        kib: u16,
    }

    /// Version 4 (version 3 did not change it): in bytes, and sealed or not.
    #[derive(Debug, PartialEq)]
    struct LengthV4 {
        bytes: u32,
        sealed: bool,
    }

    impl Structure<u16> for LengthV1 {
        type Error = usize;

        fn read(_version: u16, bytes: &[u8]) -> Result<LengthV1, usize> {
            <[u8; 1]>::try_from(bytes).map(|[mib]| LengthV1 { mib }).map_err(|_| bytes.len())
        }
    }

    impl Revision<u16> for LengthV2 {
        type Earlier = LengthV1;
        const SINCE: u16 = 2;

        fn unpack(bytes: &[u8]) -> Result<LengthV2, usize> {
            bytes.try_into().map(|bytes| LengthV2 { kib: u16::from_le_bytes(bytes) }).map_err(|_| bytes.len())
        }

        fn convert(earlier: LengthV1) -> LengthV2 {
            LengthV2 { kib: u16::from(earlier.mib) << 10 }
        }
    }

    impl Revision<u16> for LengthV4 {
        type Earlier = LengthV2;
        const SINCE: u16 = 4;

        fn unpack(bytes: &[u8]) -> Result<LengthV4, usize> {
            let [a, b, c, d, sealed] = bytes.try_into().map_err(|_| bytes.len())?;
            Ok(LengthV4 { bytes: u32::from_le_bytes([a, b, c, d]), sealed: sealed != 0 })
        }

        fn convert(earlier: LengthV2) -> LengthV4 {
            LengthV4 { bytes: u32::from(earlier.kib) << 10, sealed: false }
        }
    }

    /// mpool-91: media of each version of a history are read as the newest type; a version between two changes is read
    /// as the earlier of them.
    #[test]
    fn old_media_are_read_as_the_newest_structure() {
        assert_eq!(LengthV4::read(1, &[3]), Ok(LengthV4 { bytes: 3 << 20, sealed: false }));
        assert_eq!(LengthV4::read(2, &[1, 1]), Ok(LengthV4 { bytes: 257 << 10, sealed: false }));
        assert_eq!(LengthV4::read(3, &[1, 1]), Ok(LengthV4 { bytes: 257 << 10, sealed: false }));
        assert_eq!(LengthV4::read(4, &[1, 0, 1, 0, 9]), Ok(LengthV4 { bytes: 65537, sealed: true }));
        assert_eq!(LengthV4::read(7, &[1, 0, 1, 0, 0]), Ok(LengthV4 { bytes: 65537, sealed: false }));
        assert_eq!(LengthV4::read(1, &[1, 1]), Err(2), "bytes of version 2 are not version 1");
    }
}
