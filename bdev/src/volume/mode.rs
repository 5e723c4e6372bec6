// SPDX-License-Identifier: BSD-3-Clause

//! A volume's condition: its mode and recovery percentage, why it accepts no writes, and the operation in progress.

use crate::spdk::json::Writer;
use crate::volume::{Operation, Volume};

/// Writes the members into the open object.
pub fn write(writer: &mut Writer, volume: &Volume, slabs_unrecovered: u64) {
    let read_only = volume.read_only_reason();
    writer.named_string("mode", mode(read_only.is_some(), slabs_unrecovered));
    if let Some(reason) = read_only {
        writer.named_string("read_only_reason", &reason);
    }
    writer.named_number("recovery_percentage", recovery_percentage(volume.geometry().slabs(), slabs_unrecovered));
    writer.named_number("complete_recoveries", volume.recoveries().complete);
    writer.named_number("read_only_recoveries", volume.recoveries().read_only);
    if let Some(operation) = volume.operation() {
        write_operation(writer, operation);
    }
}

/// Writes the operation in progress as a member of the open object.
pub fn write_operation(writer: &mut Writer, operation: Operation) {
    writer.named_object("operation", |writer| {
        writer.named_string("name", operation.name);
        if let Some(percent) = operation.percent {
            writer.named_number("percent", percent.into());
        }
    });
}

fn mode(read_only: bool, slabs_unrecovered: u64) -> &'static str {
    match (read_only, slabs_unrecovered) {
        (true, _) => "read-only",
        (false, 0) => "normal",
        (false, _) => "recovering",
    }
}

/// Slabs whose reference counts are known, in percent; rounded down, so that 100 means all.
fn recovery_percentage(slabs: u64, unrecovered: u64) -> u64 {
    slabs.saturating_sub(unrecovered) * 100 / slabs.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_recovers_until_all_counts_are_known() {
        assert_eq!((mode(false, 3), mode(false, 0), mode(true, 3)), ("recovering", "normal", "read-only"));
        assert_eq!(recovery_percentage(200, 1), 99);
        assert_eq!(recovery_percentage(200, 200), 0);
        assert_eq!(recovery_percentage(200, 0), 100);
    }
}
