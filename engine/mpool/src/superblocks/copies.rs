// SPDX-License-Identifier: BSD-3-Clause

//! Decides which copy of a superblock counts, and whether a newer one may exist that cannot be read.
//!
//! Copies 0 and 1 are at the start of the device, copy 2 is near its end. A rewrite is acknowledged when two of the
//! three have been written. So two good copies of one drive suffice to know the newest: one of them has it. A single
//! one may be the one whose write failed.
//!
//! | copy 0 | copies 1 and 2 | condition |
//! |---|---|---|
//! | good | another good one of the same drive | [`Condition::Sure`]; the highest generation counts |
//! | good | copy 2 erased, copy 1 not good | no pool: a creation or a destruction was interrupted |
//! | good | else | [`Condition::Lone`] |
//! | no superblock begins there: zeros, foreign bytes | a good one | [`Condition::Wiped`]: the device was reused |
//! | the same | none good | no pool |
//! | damaged | copy 2 erased, copy 1 not good | no pool: a creation or a destruction was interrupted |
//! | damaged, unreadable | two good ones | [`Condition::Sure`] |
//! | damaged, unreadable | one good one | [`Condition::Lone`] |
//! | damaged, unreadable | none good | the error of copy 0 |
//! | any of other software | | refused: it may know more |
//!
//! Without force, only a certain superblock is used. Version 1 has no third copy and no count of rewrites: there copy 0
//! is certain, or copy 1 if copy 0 is damaged.

use core::fmt;

use crate::error::{Kind, PoolError, Result};
use crate::format::{Superblock, SuperblockError, SuperblockVersion};

/// The number of copies of a superblock.
pub const COPIES: usize = 3;

/// The content of one copy.
#[derive(Debug, Clone)]
pub enum CopyState {
    /// A valid superblock.
    Good(Box<Superblock>, SuperblockVersion),
    /// Zeros.
    Erased,
    /// Something that never was a superblock, or whose start is gone.
    Foreign,
    /// A superblock that cannot be used.
    Bad(SuperblockError),
    /// The copy could not be read.
    Unreadable(PoolError),
}

/// How far a superblock can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is the newest acknowledged superblock.
    Sure,
    /// It is the only copy left, and a newer one may have been lost.
    Lone,
    /// Copy 0 was overwritten or wiped: the device may be used for something else.
    Wiped,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Sure => "sure",
            Condition::Lone => "only one copy of its superblock is left, and it may not be the newest",
            Condition::Wiped => "the first copy of its superblock was wiped or overwritten",
        })
    }
}

/// The superblock that counts, and the state of its copies.
#[derive(Debug, Clone)]
pub struct Found {
    /// The superblock that counts.
    pub superblock: Superblock,
    /// Its version on media.
    pub version: SuperblockVersion,
    /// The number of the copy that counts.
    pub copy: usize,
    /// How far it can be trusted.
    pub condition: Condition,
    /// All copies that should exist hold this superblock.
    pub is_whole: bool,
    /// Irregularities of the copies, for the operator.
    pub warnings: Vec<String>,
}

impl CopyState {
    /// Classifies the bytes of a copy.
    #[must_use]
    pub fn of(bytes: &[u8]) -> CopyState {
        match Superblock::decode(bytes) {
            Ok((superblock, version)) => CopyState::Good(Box::new(superblock), version),
            Err(_) if bytes.iter().all(|byte| *byte == 0) => CopyState::Erased,
            Err(SuperblockError::Magic) => CopyState::Foreign,
            Err(error) => CopyState::Bad(error),
        }
    }

    /// The superblock, if the copy is good.
    #[must_use]
    pub fn superblock(&self) -> Option<&Superblock> {
        match self {
            CopyState::Good(superblock, _) => Some(superblock),
            _ => None,
        }
    }

    fn other_software(&self) -> Option<SuperblockError> {
        match self {
            CopyState::Bad(error) if error.is_other_software() => Some(*error),
            _ => None,
        }
    }

    /// The fault of the copy; none when it is good.
    fn fault(&self) -> Option<String> {
        match self {
            CopyState::Good(..) => None,
            CopyState::Erased => Some("it was erased".to_owned()),
            CopyState::Foreign => Some(SuperblockError::Magic.to_string()),
            CopyState::Bad(error) => Some(error.to_string()),
            CopyState::Unreadable(error) => Some(error.to_string()),
        }
    }
}

/// Chooses the superblock of `object` from its copies.
///
/// # Errors
/// EBADF: no pool. EINVAL: damaged. EPROTONOSUPPORT: other software wrote it. EIO: unreadable.
pub fn decide(object: &str, copies: &[CopyState; COPIES]) -> Result<Found> {
    if let Some((copy, error)) =
        copies.iter().enumerate().find_map(|(copy, state)| Some((copy, state.other_software()?)))
    {
        return Err(PoolError::new(error.kind(), object, format!("copy {copy} of the superblock: {error}")));
    }
    if is_unfinished(copies) {
        let fault = copies[0].fault().unwrap_or_else(|| "copy 0 is good".to_owned());
        let reason = format!("no pool: the superblock was being written or erased ({fault}, and copy 2 is erased)");
        return Err(PoolError::new(Kind::NoPool, object, reason));
    }
    let Some(first) = copies.iter().find_map(CopyState::superblock) else {
        return Err(fault_of_copy_0(object, &copies[0]));
    };
    let mut good = 0;
    let mut newest: Option<(usize, &Superblock, SuperblockVersion)> = None;
    for (copy, state) in copies.iter().enumerate() {
        let CopyState::Good(superblock, version) = state else { continue };
        if !is_same_drive(superblock, first) {
            continue;
        }
        good += 1;
        if newest.is_none_or(|(_, newest, _)| superblock.generation > newest.generation) {
            newest = Some((copy, superblock, *version));
        }
    }
    let Some((copy, superblock, version)) = newest else { return Err(fault_of_copy_0(object, &copies[0])) };
    let is_first_version = version == SuperblockVersion::V1;
    let condition = match &copies[0] {
        CopyState::Erased | CopyState::Foreign => Condition::Wiped,
        _ if good >= 2 || is_first_version => Condition::Sure,
        _ => Condition::Lone,
    };
    let expected = if is_first_version { COPIES - 1 } else { COPIES };
    let warnings: Vec<_> =
        (0..expected).filter_map(|number| oddity((copy, superblock), number, &copies[number])).collect();
    let is_whole = warnings.is_empty();
    Ok(Found { superblock: superblock.clone(), version, copy, condition, is_whole, warnings })
}

/// True when a creation or a destruction was interrupted: there is no pool.
#[must_use]
pub fn is_unfinished(copies: &[CopyState; COPIES]) -> bool {
    let [zero, one, two] = copies;
    let begun = match zero {
        // Version 1 has no copy 2.
        CopyState::Good(_, version) => *version != SuperblockVersion::V1,
        CopyState::Bad(error) => !error.is_other_software(),
        _ => false,
    };
    begun && matches!(two, CopyState::Erased) && !matches!(one, CopyState::Good(..) | CopyState::Unreadable(_))
}

fn fault_of_copy_0(object: &str, copy_0: &CopyState) -> PoolError {
    match copy_0 {
        CopyState::Bad(error) => error.on(object),
        CopyState::Unreadable(error) => error.clone(),
        _ => SuperblockError::Magic.on(object),
    }
}

fn is_same_drive(one: &Superblock, other: &Superblock) -> bool {
    // An interrupted import leaves copies from before it.
    (one.pool == other.pool && one.drive.uuid == other.drive.uuid) || one.origin() == other.origin()
}

/// The irregularity of a copy, given the copy that counts; none if both are equal.
fn oddity((copy, counts): (usize, &Superblock), number: usize, state: &CopyState) -> Option<String> {
    match state {
        CopyState::Good(superblock, _) if **superblock == *counts => None,
        CopyState::Good(superblock, _) if is_same_drive(superblock, counts) => {
            let (older, newer) = (superblock.generation, counts.generation);
            Some(format!("copy {number} of the superblock is older than copy {copy}: generation {older}, not {newer}"))
        }
        CopyState::Good(..) => Some(format!("copy {number} of the superblock is of another drive")),
        other => other.fault().map(|fault| format!("copy {number} of the superblock cannot be used: {fault}")),
    }
}
