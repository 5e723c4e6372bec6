// SPDX-License-Identifier: BSD-3-Clause

//! What the product name of a bdev says about the bdev.
//!
//! A name that is not in the tables, from a module that is not SPDK's, counts as layered on another bdev, with a UUID
//! that does not last. So a pool is never taken from a bdev underneath without an explicit order.

/// Products of bdevs that are not layered on another bdev.
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

/// Products whose UUID is stored on media, or derived from what identifies the medium. Others get a new one at each
/// start unless a configuration has it.
const LASTING: &[&str] = &["FTL disk", "GPT Disk", "Logical Volume", "dedupe"];

/// NVMe products: SPDK derives a UUID from the serial number if the namespace has none (since about the release that
/// introduced claim types).
const NVME: &[&str] = &["NVMe Passthrough disk", "NVMe ZNS disk", "NVMe disk"];

/// True when a bdev of this product is, or may be, layered on another bdev.
pub fn is_layered(product: &str) -> bool {
    !LEAVES.contains(&product)
}

/// True when the UUID of a bdev of this product survives a restart.
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
