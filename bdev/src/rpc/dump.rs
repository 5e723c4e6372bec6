// SPDX-License-Identifier: BSD-3-Clause

//! The present state of a volume, shard by shard: what it holds, and what waits for what.
//!
//! Each shard answers on its own thread between two polls, so the shards' answers are not of one instant. `max_entries`
//! bounds what a shard lists, and each list comes with its `total`, so no shard is delayed for long.

use std::sync::Arc;

use engine::dump::{
    ByState, DumpScope, HashDump, HashLockDump, JournalDump, Listed, LogicalDump, PbnLockDump, PhysicalDump,
    ScrubberDump, ShardDump, SlabDump, SlabWaiterDump, VioDump,
};
use engine::Pbn;

use crate::rpc::method::Answer;
use crate::spdk::json::Writer;
use crate::volume::administration::find;
use crate::volume::error::VolumeError;
use crate::volume::{for_each_shard, Volume};

/// The answers of a volume's shards.
pub struct Dump {
    volume: Arc<Volume>,
    shards: Vec<Option<ShardDump>>,
}

/// Asks the shards of a volume, each for up to `most` entries of each list.
///
/// # Errors
/// There is no volume of this name.
pub async fn take(name: &str, most: usize, first_slab: Option<u64>) -> Result<Dump, VolumeError> {
    let volume = find(name)?;
    let scope = DumpScope { most, first_slab };
    let shards = for_each_shard(&volume, move |host| host.dump(&scope)).await;
    Ok(Dump { volume, shards })
}

impl Answer for Dump {
    const WORDS: &'static str = "its state, and of each of its `shards` what it holds";
    const TYPE: &'static str = "object";

    fn write(&self, writer: &mut Writer) {
        write(writer, &self.volume, &self.shards);
    }
}

fn write(writer: &mut Writer, volume: &Volume, shards: &[Option<ShardDump>]) {
    writer.object(|writer| {
        writer.named_string("name", volume.name());
        writer.named_string("state", volume.state().name());
        writer.named_array("shards", |writer| {
            for (host, shard) in volume.shards().iter().zip(shards) {
                writer.object(|writer| {
                    writer.named_number("shard", u64::from(host.id.0));
                    writer.named_number("core", u64::from(host.core));
                    shard.iter().for_each(|shard| write_shard(writer, shard));
                });
            }
        });
    });
}

fn write_shard(writer: &mut Writer, shard: &ShardDump) {
    let ShardDump { logical, hash, physical, journal, transfers, transfers_waiting, metadata_transfers_free } = shard;
    writer.named_object("logical_zone", |writer| write_logical(writer, logical));
    writer.named_object("hash_zone", |writer| write_hash(writer, hash));
    writer.named_object("physical_zone", |writer| write_physical(writer, physical));
    writer.named_object("recovery_journal", |writer| write_journal(writer, journal));
    writer.named_object("io", |writer| {
        number(writer, "transfers", *transfers);
        number(writer, "blocks_waiting", *transfers_waiting);
        number(writer, "metadata_transfers_free", *metadata_transfers_free);
    });
}

fn number(writer: &mut Writer, name: &str, value: usize) {
    writer.named_number(name, value as u64);
}

fn write_list<T>(writer: &mut Writer, name: &str, list: &Listed<T>, fields: impl Fn(&mut Writer, &T)) {
    writer.named_object(name, |writer| {
        number(writer, "total", list.total);
        writer.named_array("shown", |writer| {
            list.shown.iter().for_each(|one| writer.object(|writer| fields(writer, one)));
        });
    });
}

fn write_states(writer: &mut Writer, name: &str, states: &ByState) {
    writer.named_object(name, |writer| states.iter().for_each(|(state, count)| writer.named_number(state, *count)));
}

fn optional_pbn(writer: &mut Writer, name: &str, pbn: Option<Pbn>) {
    if let Some(pbn) = pbn {
        writer.named_number(name, pbn.0);
    }
}

fn write_logical(writer: &mut Writer, zone: &LogicalDump) {
    number(writer, "requests", zone.requests);
    number(writer, "requests_waiting", zone.requests_waiting);
    number(writer, "ranges", zone.ranges);
    write_states(writer, "vios_by_stage", &zone.vios_by_stage);
    write_list(writer, "vios", &zone.vios, write_vio);
    number(writer, "waiting_for_memory", zone.waiting_for_memory);
    number(writer, "waiting_for_journal", zone.waiting_for_journal);
    number(writer, "page_allocations", zone.page_allocations);
}

fn write_vio(writer: &mut Writer, vio: &VioDump) {
    writer.named_number("vio", u64::from(vio.index));
    writer.named_string("stage", vio.stage);
    writer.named_string("operation", vio.operation);
    writer.named_number("lbn", vio.lbn.0);
    optional_pbn(writer, "stored_at", vio.stored_at);
    optional_pbn(writer, "new_place", vio.new_place);
}

fn write_hash(writer: &mut Writer, zone: &HashDump) {
    write_states(writer, "locks_by_state", &zone.locks_by_state);
    write_list(writer, "hash_locks", &zone.locks, write_hash_lock);
    number(writer, "members", zone.members);
    number(writer, "arrivals", zone.arrivals);
    number(writer, "waiting_for_memory", zone.waiting_for_memory);
    number(writer, "packer_fragments", zone.parked);
}

fn write_hash_lock(writer: &mut Writer, lock: &HashLockDump) {
    // The first half tells one lock from another; the whole fingerprint stays private.
    writer.named_string("hash_prefix", &format!("{:016x}", (lock.fingerprint >> 64) as u64));
    writer.named_string("state", lock.state);
    writer.named_boolean("registered", lock.registered);
    optional_pbn(writer, "duplicate_pbn", lock.duplicate);
    writer.named_boolean("holds_pbn_lock", lock.holds_duplicate);
    writer.named_number("lease", u64::from(lock.lease));
    if let Some(agent) = lock.agent {
        writer.named_object("agent", |writer| {
            writer.named_number("shard", u64::from(agent.shard.0));
            writer.named_number("vio", u64::from(agent.index));
        });
    }
    writer.named_number("members", u64::from(lock.members));
    number(writer, "waiters", lock.waiters);
    number(writer, "late", lock.late);
}

fn write_physical(writer: &mut Writer, zone: &PhysicalDump) {
    write_list(writer, "pbn_locks", &zone.locks, write_pbn_lock);
    write_list(writer, "slabs", &zone.slabs, write_slab);
    number(writer, "waiting_for_block", zone.waiting_for_block);
    write_list(writer, "waiting_for_slab", &zone.waiting_for_slab, |writer, waiter: &SlabWaiterDump| {
        writer.named_number("shard", u64::from(waiter.shard.0));
        writer.named_number("pbn", waiter.pbn.0);
    });
    number(writer, "waiting_updates", zone.waiting_updates);
    writer.named_object("scrubber", |writer| write_scrubber(writer, &zone.scrubber));
}

fn write_pbn_lock(writer: &mut Writer, lock: &PbnLockDump) {
    writer.named_number("pbn", lock.pbn.0);
    writer.named_string("kind", lock.kind);
    writer.named_number("holders", u64::from(lock.holders));
    writer.named_number("increment_limit", u64::from(lock.increment_limit));
    writer.named_number("leased", u64::from(lock.leased));
    writer.named_boolean("provisional", lock.provisional);
}

fn write_slab(writer: &mut Writer, slab: &SlabDump) {
    writer.named_number("slab", slab.number);
    writer.named_string("status", slab.status);
    writer.named_boolean("open", slab.is_open);
    if let Some(priority) = slab.priority {
        writer.named_number("priority", u64::from(priority));
    }
    writer.named_number("free_blocks", u64::from(slab.free_blocks));
    writer.named_number("journal_head", slab.journal_head);
    writer.named_number("journal_committed", slab.journal_committed);
    writer.named_number("journal_tail", slab.journal_tail);
    number(writer, "dirty_reference_blocks", slab.dirty_reference_blocks);
    number(writer, "waiting_updates", slab.waiting_updates);
    if let Some(obstacle) = slab.obstacle {
        writer.named_string("obstacle", obstacle);
    }
    writer.named_array("awaited_by_shards", |writer| {
        slab.awaited_by.iter().for_each(|shard| writer.number(u64::from(shard.0)));
    });
    number(writer, "lock_waiters", slab.lock_waiters);
}

fn write_scrubber(writer: &mut Writer, scrubber: &ScrubberDump) {
    writer.named_string("stage", scrubber.stage);
    if let Some(slab) = scrubber.slab {
        writer.named_number("slab", slab);
    }
    number(writer, "reads", scrubber.reads);
    number(writer, "awaited", scrubber.awaited);
    number(writer, "urgent", scrubber.urgent);
    number(writer, "queued", scrubber.queued);
    writer.named_number("scrubbed", scrubber.scrubbed);
}

fn write_journal(writer: &mut Writer, journal: &JournalDump) {
    writer.named_number("next_entry", journal.next_entry);
    writer.named_number("committed", journal.committed);
    writer.named_number("applied", journal.applied);
    writer.named_number("map_head", journal.map_head);
    writer.named_number("slab_head", journal.slab_head);
    writer.named_number("free_sectors", journal.free_sectors);
    number(writer, "flush_sets", journal.sets);
    writer.named_boolean("full", journal.full);
    writer.named_boolean("erasing", journal.erasing);
    writer.named_boolean("failed", journal.failed);
}
