// SPDX-License-Identifier: BSD-3-Clause

//! Opens an MDC: finds out which log of the pair is in use, and repairs the other.
//!
//! ```text
//!  found                                            outcome
//!  one log Unfinished (CSTART without CEND)         the other is in use; this one is erased
//!  both fine, generations differ                    the smaller generation is in use; the other is erased if not empty
//!  both fine, generations 0 and 0 (a new pair)      the first is in use; the other is erased
//!  both fine, equal generations                     refused
//!  both Unfinished                                  refused
//!  anything else                                    that failure
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::lock::Mutex;

use super::{LogStore, Mdc, MdcFlags};
use crate::error::{Kind, PoolError, Result};
use crate::ids::ObjectId;
use crate::mlog::{Mlog, OpenFlags};

/// A usable log; none when a compaction into it was interrupted.
type Found = Option<Rc<Mlog>>;

impl Mdc {
    /// Opens the MDC of two logs, whose order matters only for a new pair. Erases what an interrupted compaction has
    /// left.
    ///
    /// # Errors
    /// Invalid: the same log twice, or a pair of which neither is valid. NotFound. CorruptLog. Io.
    pub async fn open(store: Rc<dyn LogStore>, ids: [ObjectId; 2], flags: MdcFlags) -> Result<Rc<Mdc>> {
        if ids[0] == ids[1] {
            return Err(PoolError::invalid(ids[0].to_string(), "an MDC consists of two logs"));
        }
        let generations = [store.generation(ids[0])?, store.generation(ids[1])?];
        let found = open_both(&*store, ids, flags.of_logs()).await?;
        match prepare(&*store, ids, flags.of_logs(), generations, found).await {
            Ok((logs, active)) => Ok(Rc::new(Mdc {
                store,
                ids,
                logs: RefCell::new(Some(logs)),
                active: Cell::new(active),
                compacting: Cell::new(false),
                changing: Mutex::new(()),
            })),
            Err(error) => Err(error),
        }
    }
}

/// Opens both logs. If one fails for another reason than an interrupted compaction, neither stays open.
async fn open_both(store: &dyn LogStore, ids: [ObjectId; 2], flags: OpenFlags) -> Result<[Found; 2]> {
    let mut found = [None, None];
    for side in 0..2 {
        match store.open(ids[side], flags).await {
            Ok(log) => found[side] = Some(log),
            Err(error) if error.kind() == Kind::Unfinished => {}
            Err(error) => {
                close_found(store, ids, &found).await;
                return Err(error);
            }
        }
    }
    Ok(found)
}

/// Chooses the log in use and empties the other one. On failure neither stays open.
async fn prepare(
    store: &dyn LogStore,
    ids: [ObjectId; 2],
    flags: OpenFlags,
    generations: [u64; 2],
    mut found: [Found; 2],
) -> Result<([Rc<Mlog>; 2], usize)> {
    let outcome = repair(store, ids, flags, generations, &mut found).await;
    match (outcome, found) {
        (Ok(active), [Some(first), Some(second)]) => Ok(([first, second], active)),
        (outcome, found) => {
            close_found(store, ids, &found).await;
            let both = || PoolError::invalid(ids[0].to_string(), "a log of the pair is not open after its repair");
            Err(outcome.err().unwrap_or_else(both))
        }
    }
}

async fn repair(
    store: &dyn LogStore,
    ids: [ObjectId; 2],
    flags: OpenFlags,
    generations: [u64; 2],
    found: &mut [Found; 2],
) -> Result<usize> {
    let active = choose(ids, generations, found)?;
    let other = 1 - active;
    let spent = found[other].as_ref().is_none_or(|log| !log.is_empty());
    if spent || generations[0] == generations[1] {
        let above = generations[active].saturating_add(1);
        if found[other].is_none() {
            store.erase(ids[other], above).await?;
            found[other] = Some(store.open(ids[other], flags).await?);
        } else {
            // The erasure empties an open log.
            store.erase(ids[other], above).await?;
        }
    }
    if let Some(log) = &found[active] {
        if log.is_empty() {
            log.append_cstart().await?;
            log.append_cend().await?;
        }
    }
    Ok(active)
}

/// The index of the log in use.
fn choose(ids: [ObjectId; 2], generations: [u64; 2], found: &[Found; 2]) -> Result<usize> {
    choose_active(generations, found.each_ref().map(Option::is_some))
        .map_err(|reason| PoolError::invalid(format!("MDC of {} and {}", ids[0], ids[1]), reason))
}

/// The index of the log in use. Of each log its generation is given, and whether it is whole: no compaction into it was
/// interrupted.
///
/// # Errors
/// Why neither is known to be valid.
pub fn choose_active(generations: [u64; 2], whole: [bool; 2]) -> core::result::Result<usize, &'static str> {
    match whole {
        [true, true] if generations[0] == generations[1] && generations[0] != 0 => {
            Err("both logs have the same generation, so neither is known to be the valid one")
        }
        [true, true] => Ok(usize::from(generations[1] < generations[0])),
        [true, false] => Ok(0),
        [false, true] => Ok(1),
        [false, false] => Err("compactions into both logs were interrupted"),
    }
}

async fn close_found(store: &dyn LogStore, ids: [ObjectId; 2], found: &[Found; 2]) {
    for side in 0..2 {
        if found[side].is_some() {
            // Report the failure that led here.
            let _ = store.close(ids[side]).await;
        }
    }
}

/// Closes both logs, the second also when the first fails. Returns the last failure.
pub(super) async fn close_both(store: &dyn LogStore, ids: [ObjectId; 2]) -> Result<()> {
    let first = store.close(ids[0]).await;
    let second = store.close(ids[1]).await;
    second.and(first)
}
