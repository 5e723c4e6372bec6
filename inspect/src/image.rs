// SPDX-License-Identifier: BSD-3-Clause

//! A file or block device to inspect: opened read-only, read at offsets, never written.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};

use thiserror::Error;

/// Why an image, or a part of it, cannot be read.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The image cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    /// Neither a file nor a block device.
    #[error("is neither a file nor a block device")]
    Kind,
    /// The image ends before the requested bytes.
    #[error("ends at byte {bytes}; bytes {at} to {end} were wanted")]
    End {
        /// Size of the image.
        bytes: u64,
        /// The first byte requested.
        at: u64,
        /// The byte after the last one requested.
        end: u64,
    },
    /// The medium, or the path to it, failed.
    #[error("cannot be read at byte {at}: {error}")]
    Read {
        /// The first byte requested.
        at: u64,
        /// The failure.
        error: io::Error,
    },
}

/// An open image.
#[derive(Debug)]
pub struct Image {
    path: String,
    file: File,
    bytes: u64,
}

impl Image {
    /// Opens a file or block device for reading.
    ///
    /// # Errors
    /// Open; Kind.
    pub fn open(path: &str) -> Result<Image, ImageError> {
        // Checked before opening: opening a pipe would wait for its writer.
        let kind = fs::metadata(path).map_err(ImageError::Open)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(ImageError::Kind);
        }
        let mut file = File::open(path).map_err(ImageError::Open)?;
        // The metadata of a block device do not have its size.
        let bytes = file.seek(SeekFrom::End(0)).map_err(ImageError::Open)?;
        Ok(Image { path: path.to_owned(), file, bytes })
    }

    /// The path that was opened.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Size when it was opened.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `buffer` from byte `at` on.
    ///
    /// # Errors
    /// End; Read.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let end = at.saturating_add(buffer.len() as u64);
        if end > self.bytes {
            return Err(ImageError::End { bytes: self.bytes, at, end });
        }
        self.file.read_exact_at(buffer, at).map_err(|error| ImageError::Read { at, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stay_within_the_image() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("image");
        fs::write(&path, b"0123456789").expect("a file");
        let image = Image::open(&path.to_string_lossy()).expect("it is there");
        let mut four = [0; 4];
        image.read(6, &mut four).expect("the last four");
        assert_eq!((&four, image.bytes()), (b"6789", 10));
        assert!(matches!(image.read(7, &mut four), Err(ImageError::End { bytes: 10, at: 7, end: 11 })));
        assert!(matches!(image.read(u64::MAX, &mut four), Err(ImageError::End { .. })));
    }

    #[test]
    fn only_files_and_block_devices_are_opened() {
        assert!(matches!(Image::open("/"), Err(ImageError::Kind)));
        assert!(matches!(Image::open("/dev/null"), Err(ImageError::Kind)));
        assert!(matches!(Image::open("/nowhere/at/all"), Err(ImageError::Open(_))));
    }
}
