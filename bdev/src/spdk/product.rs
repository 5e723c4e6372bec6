// SPDX-License-Identifier: BSD-3-Clause

//! What the product name of a bdev says about it.
//!
//! A name that is not in the tables, of a module that is not SPDK's, counts as standing on another bdev, with an identity
//! that does not last: so a pool is never taken from what may be beneath it without being told to.

/// Products of bdevs that stand on no other bdev.
const LEAVES: &[&str] = &[
    "AIO disk",
    "Ceph Rbd Disk",
    "DAOS bdev",
    "Malloc disk",
    "NVMe Passthrough disk",
    "NVMe ZNS disk",
    "NVMe disk",
    "Null disk",
    "URING bdev",
    "Virtio SCSI Disk",
    "VirtioBlk Disk",
    "iSCSI LUN",
    "pmemblk disk",
    "xNVMe bdev",
];

/// Products whose UUID is kept on media, or follows from what identifies the medium. Others are given a new one at each
/// start unless a configuration has it.
const LASTING: &[&str] = &["FTL disk", "GPT Disk", "Logical Volume", "dedupe"];

/// Those of NVMe, where SPDK makes a UUID of the serial number if the namespace has none (since about when it has types of
/// claims).
const NVME: &[&str] = &["NVMe Passthrough disk", "NVMe ZNS disk", "NVMe disk"];

/// True when a bdev of this product stands on another bdev, or may.
pub fn is_layered(product: &str) -> bool {
    !LEAVES.contains(&product)
}

/// True when the UUID of a bdev of this product is the same after a restart.
pub fn has_lasting_uuid(product: &str) -> bool {
    LASTING.contains(&product) || (cfg!(spdk_has_claim_type) && NVME.contains(&product))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_known_or_taken_for_layered() {
        for product in ["Split Disk", "Raid Volume", "passthru", "GPT Disk", "Logical Volume", "somebody else's"] {
            assert!(is_layered(product), "{product}");
        }
        for product in ["AIO disk", "Malloc disk", "NVMe disk"] {
            assert!(!is_layered(product), "{product}");
        }
        assert!(has_lasting_uuid("Logical Volume") && !has_lasting_uuid("AIO disk") && !has_lasting_uuid("Split Disk"));
    }
}
