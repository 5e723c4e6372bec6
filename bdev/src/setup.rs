// SPDX-License-Identifier: BSD-3-Clause

//! What a new volume is made from: its cores, shards and plans, and the reasons not to make it.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;

use engine::hash::Fingerprinter;
use engine::volume::Geometry;
use engine::ShardId;

use crate::error::CreateError;
use crate::ffi;
use crate::mail;
use crate::memory;
use crate::params::CreateParams;
use crate::placement::Placement;
use crate::pool::storage::Storage;
use crate::registry;
use crate::shard_host::{Peers, Plan, ShardHost};
use crate::sizing::{Memory, Sizes};
use crate::thread::{self, Thread};

/// Refuses a name that a bdev has.
///
/// # Errors
/// It has.
pub fn refuse_taken_name(name: &str) -> Result<(), CreateError> {
    let c_name = CString::new(name).unwrap_or_default();
    // SAFETY: the name is a C string; the result is only compared with null.
    let taken = !unsafe { ffi::spdk_bdev_get_by_name(c_name.as_ptr()) }.is_null();
    if taken || registry::find(name).is_some() {
        return Err(CreateError::Exists { name: name.to_owned() });
    }
    Ok(())
}

/// The cores to run on: those asked for, or all (at most 32, the most that a volume can use).
///
/// # Errors
/// The application does not have one of the cores.
pub fn choose_cores(params: &CreateParams) -> Result<Vec<u32>, CreateError> {
    let mut available = thread::cores();
    match params.cores() {
        Ok(Some(asked)) => match asked.iter().find(|core| !available.contains(core)) {
            Some(&core) => Err(CreateError::Core { core, available }),
            None => Ok(asked),
        },
        // The mask was checked when the parameters were read.
        Ok(None) | Err(_) => {
            available.truncate(engine::units::MAX_SHARDS);
            Ok(available)
        }
    }
}

/// Refuses a volume that would not fit into memory, and warns of one that may not.
///
/// # Errors
/// It would not.
pub fn refuse_too_large(name: &str, memory: &Memory) -> Result<(), CreateError> {
    let Some(machine) = memory::machine() else { return Ok(()) };
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let refuse = |needed: u64, available: u64| {
        Err(CreateError::Memory { name: name.to_owned(), needed_mib: mib(needed), available_mib: mib(available) })
    };
    if memory.certain() > machine.available {
        return refuse(memory.certain(), machine.available);
    }
    // Taken from the system as it is used, but asked for in one piece, which the system refuses beyond its total.
    if memory.at_most() > machine.total {
        return refuse(memory.at_most(), machine.total);
    }
    if memory.at_most() > machine.available {
        log::warn!(
            "{name}: when all of it is written it needs {} MiB of memory, but {} MiB are available now",
            mib(memory.at_most()),
            mib(machine.available)
        );
    }
    Ok(())
}

/// A fingerprinter with a secret that nobody knows.
///
/// # Errors
/// The operating system has no random bytes.
pub fn random_fingerprinter(name: &str) -> Result<Fingerprinter, CreateError> {
    let mut secret = [0; _];
    getrandom::fill(&mut secret)
        .map_err(|error| CreateError::Random { name: name.to_owned(), reason: error.to_string() })?;
    Ok(Fingerprinter::new(secret))
}

/// A shard for each core: on the owner's thread for the core that it runs on, else on a thread of its own.
///
/// # Errors
/// SPDK has no memory for a thread.
pub fn make_shards(name: &str, cores: &[u32], owner: Thread) -> Result<Arc<[ShardHost]>, CreateError> {
    let own_core = thread::current_core();
    let mut shards = Vec::with_capacity(cores.len());
    for (index, &core) in cores.iter().enumerate() {
        let id = ShardId(index as u16);
        if Some(core) == own_core {
            shards.push(ShardHost::new(id, core, owner, false));
            continue;
        }
        let Some(thread) = Thread::create(&format!("dedupe_{name}_{core}"), core) else {
            for shard in shards.iter().filter(|shard: &&ShardHost| shard.thread != owner) {
                shard.thread.post(Thread::exit_current);
            }
            return Err(CreateError::Thread { name: name.to_owned(), core });
        };
        shards.push(ShardHost::new(id, core, thread, true));
    }
    Ok(Arc::from(shards))
}

/// What each shard is started with, and the rings between them.
pub fn make_plans(
    name: &str,
    storage: &Storage,
    sizes: &Sizes,
    fingerprinter: &Fingerprinter,
    shards: &Arc<[ShardHost]>,
) -> VecDeque<Plan> {
    let geometry: Geometry = sizes.geometry;
    let count = shards.len();
    let placement = Placement::new(geometry, Arc::clone(&storage.slab_places));
    let (ring, outbox) = mail::capacities(count);
    let mut plans: VecDeque<Plan> = (0..count)
        .map(|_| Plan {
            geometry,
            base: storage.handle,
            placement: placement.clone(),
            index_bytes: (sizes.index_bytes / count as u64) as usize,
            fingerprinter: fingerprinter.clone(),
            volume_name: Arc::from(name),
            outgoing: (0..count).map(|_| None).collect(),
            incoming: (0..count).map(|_| None).collect(),
            peers: Peers::of(shards),
        })
        .collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let (sender, receiver) = mail::ring(ring, outbox);
            plans[from].outgoing[to] = Some(sender);
            plans[to].incoming[from] = Some(receiver);
        }
    }
    plans
}
