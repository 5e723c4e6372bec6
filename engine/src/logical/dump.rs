// SPDX-License-Identifier: BSD-3-Clause

//! The logical zone's part of a dump.

use super::data_vio::{DataVio, Stage};
use super::LogicalZone;
use crate::dump::{DumpScope, Listed, LogicalDump, VioDump};
use crate::env::Env;
use crate::format::Mapping;
use crate::request::Operation;

impl Stage {
    /// All stages, in the order of a write's life.
    const ALL: [Stage; 9] = [
        Stage::LbnLock,
        Stage::MapPage,
        Stage::Mapped,
        Stage::Reading,
        Stage::Fingerprinting,
        Stage::NewPage,
        Stage::Deduping,
        Stage::Journaling,
        Stage::Incrementing,
    ];

    const fn name(self) -> &'static str {
        match self {
            Stage::LbnLock => "lbn_lock",
            Stage::MapPage => "map_page",
            Stage::Mapped => "mapped",
            Stage::Reading => "reading",
            Stage::Fingerprinting => "fingerprinting",
            Stage::NewPage => "new_page",
            Stage::Deduping => "deduping",
            Stage::Journaling => "journaling",
            Stage::Incrementing => "incrementing",
        }
    }
}

const fn operation_name<Buf>(vio: &DataVio<Buf>) -> &'static str {
    match vio.operation {
        _ if vio.is_relocation() => "relocation",
        Operation::Read => "read",
        Operation::Write => "write",
        Operation::Unmap => "unmap",
        Operation::WriteZeroes => "write_zeroes",
        Operation::Flush => "flush",
    }
}

fn dump_vio<Buf>(index: u32, vio: &DataVio<Buf>) -> VioDump {
    let place = |mapping: Mapping| mapping.has_block().then(|| mapping.pbn());
    // The new place of a relocation is known when it is remapped; until then the field is the location to move from.
    let is_placed = matches!(vio.stage, Stage::Journaling | Stage::Incrementing);
    VioDump {
        index,
        stage: vio.stage.name(),
        operation: operation_name(vio),
        lbn: vio.lbn,
        stored_at: place(vio.old),
        new_place: is_placed.then(|| place(vio.new)).flatten(),
    }
}

impl<E: Env> LogicalZone<E> {
    /// Dumps the zone.
    pub fn dump(&self, scope: &DumpScope) -> LogicalDump {
        let of_stage = |stage| self.vios.iter().filter(|(_, vio)| vio.stage == stage).count() as u64;
        LogicalDump {
            requests: self.pieces.in_use(),
            requests_waiting: self.waiting.len() + self.waiting_discards.len(),
            ranges: self.ranges.in_use(),
            vios_by_stage: Stage::ALL.map(|stage| (stage.name(), of_stage(stage))).to_vec(),
            vios: Listed::of(self.vios.in_use(), self.vios.iter().map(|(index, vio)| dump_vio(index, vio)), scope),
            waiting_for_memory: self.bounce_waiters.len(&self.vios),
            waiting_for_journal: self.journal_waiters.len(),
            page_allocations: self.page_allocations.len(),
        }
    }
}
