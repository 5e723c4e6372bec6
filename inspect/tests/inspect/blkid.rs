// SPDX-License-Identifier: BSD-3-Clause

//! What other tools of the operating system see.

use std::path::Path;
use std::process::Command;

use mpool::format::MediaFormat;

use crate::made::Made;

/// libblkid, which reads bytes 0 to 65: magic, label, UUID, and a CRC32C of the first 62 bytes.
fn blkid(path: &Path) -> String {
    let find = |program: &str| Command::new(program).args(["-p", "-o", "udev"]).arg(path).output().ok();
    let output = find("blkid").or_else(|| find("/usr/sbin/blkid")).or_else(|| find("/sbin/blkid"));
    let output = output.expect("blkid is there: Debian's package util-linux, which every system has, brings it");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// mpool-136: blkid knows a drive of a pool, its name and its UUID, in every version; not once its head is damaged.
#[test]
fn blkid_recognises_a_drive() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("drive");
    for format in [MediaFormat::CURRENT, MediaFormat::ORIGINAL] {
        let mut image = Made { format, ..Made::good() }.image();
        // What libblkid looks at, byte by byte.
        assert_eq!((&image[..8], &image[8..12]), (&b"mpoolDev"[..], &b"mp1\0"[..]));
        assert_eq!(image[40..56], *Made::good().superblock.pool.as_bytes());
        let crc = crc_of_head(&image);
        assert_eq!(image[62..66], crc.to_le_bytes());

        std::fs::write(&path, &image).expect("a file");
        let known = blkid(&path);
        for line in ["ID_FS_TYPE=mpool", "ID_FS_LABEL=mp1", "ID_FS_UUID=00010203-0405-0607-0809-0a0b0c0d0e0f"] {
            assert!(known.lines().any(|found| found == line), "no '{line}' in\n{known}");
        }
        image[20] ^= 1;
        std::fs::write(&path, &image).expect("a file");
        assert!(!blkid(&path).contains("mpool"), "the checksum does not match");
    }
}

/// CRC32C of the first 62 bytes, bit by bit.
fn crc_of_head(image: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !image[..62].iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
