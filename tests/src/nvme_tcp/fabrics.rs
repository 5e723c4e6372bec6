// SPDX-License-Identifier: BSD-3-Clause

//! The commands that set a controller up over fabrics (NVMe base specification, section 6), and identify.

use super::command::Entry;

const FABRICS: u8 = 0x7f;
const PROPERTY_SET: u32 = 0x00;
const CONNECT: u32 = 0x01;
const PROPERTY_GET: u32 = 0x04;
const IDENTIFY: u8 = 0x06;

const CONNECT_BYTES: usize = 1024;
const SUBSYSTEM_AT: usize = 256;
const HOST_AT: usize = 512;
/// Longest qualified name, without the zero that ends it.
pub(super) const NQN_BYTES: usize = 223;
/// No controller yet: the target is to choose one.
pub(super) const ANY_CONTROLLER: u16 = 0xffff;
/// The completions carry no head of the submission queue: as many commands as the queue has entries may be under way.
const NO_FLOW_CONTROL: u32 = 1 << 18;

/// Bytes of an identify structure.
pub(super) const IDENTIFY_BYTES: usize = 4096;

/// Controller configuration.
pub(super) const CONFIGURATION: u32 = 0x14;
/// Enabled, with submission entries of 2^6 and completion entries of 2^4 bytes.
pub(super) const ENABLE: u32 = 1 | 6 << 16 | 4 << 20;
/// Controller status.
pub(super) const STATUS: u32 = 0x1c;
/// Controller status: ready.
pub(super) const READY: u64 = 1;

/// Connects queue `queue` with `depth` commands under way at a time; 0 is the admin queue.
pub(super) fn connect(queue: u16, depth: u16) -> Entry {
    // One entry stays free, and the size counts from 0.
    let size = u32::from(depth);
    // Format 0 and queue; size and attributes; no keep-alive.
    fabrics(CONNECT).dwords(&[u32::from(queue) << 16, size | NO_FLOW_CONTROL, 0])
}

/// What goes with [`connect`]: names of the host and of the subsystem. The names are cut to what is allowed.
pub(super) fn connect_data(host: &[u8; 16], controller: u16, subsystem: &str, host_nqn: &str) -> Vec<u8> {
    let mut data = vec![0; CONNECT_BYTES];
    data[..16].copy_from_slice(host);
    data[16..18].copy_from_slice(&controller.to_le_bytes());
    for (at, name) in [(SUBSYSTEM_AT, subsystem), (HOST_AT, host_nqn)] {
        let name = &name.as_bytes()[..name.len().min(NQN_BYTES)];
        data[at..at + name.len()].copy_from_slice(name);
    }
    data
}

/// Sets a property of four bytes.
pub(super) fn set_property(offset: u32, value: u32) -> Entry {
    fabrics(PROPERTY_SET).dwords(&[0, offset, value])
}

/// Gets a property of four bytes.
pub(super) fn get_property(offset: u32) -> Entry {
    fabrics(PROPERTY_GET).dwords(&[0, offset])
}

/// Identifies the controller.
pub(super) fn identify_controller() -> Entry {
    Entry::new(IDENTIFY, 0).dwords(&[1])
}

/// Identifies a namespace.
pub(super) fn identify_namespace(namespace: u32) -> Entry {
    Entry::new(IDENTIFY, namespace).dwords(&[0])
}

/// The type stands where other commands have their namespace.
fn fabrics(kind: u32) -> Entry {
    Entry::new(FABRICS, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_has_golden_bytes() {
        let entry = connect(2, 63);
        assert_eq!(entry.bytes()[..5], [0x7f, 64, 0, 0, 1]);
        assert_eq!(entry.bytes()[40..52], [0, 0, 2, 0, 63, 0, 4, 0, 0, 0, 0, 0]);
        let data = connect_data(&[7; 16], 0x0102, "nqn.a", &"h".repeat(300));
        assert_eq!((data.len(), &data[15..19], &data[256..262]), (1024, &[7, 2, 1, 0][..], &b"nqn.a\0"[..]));
        assert_eq!((data[512 + 222], data[512 + 223]), (b'h', 0));
    }

    #[test]
    fn properties_have_golden_bytes() {
        let entry = set_property(CONFIGURATION, ENABLE);
        assert_eq!((entry.bytes()[4], &entry.bytes()[40..52]), (0, &[0, 0, 0, 0, 0x14, 0, 0, 0, 1, 0, 0x46, 0][..]));
        let entry = get_property(STATUS);
        assert_eq!((entry.bytes()[4], &entry.bytes()[40..48]), (4, &[0, 0, 0, 0, 0x1c, 0, 0, 0][..]));
        assert_eq!(identify_namespace(1).bytes()[..5], [6, 64, 0, 0, 1]);
        assert_eq!(identify_controller().bytes()[40], 1);
    }
}
