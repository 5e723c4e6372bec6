// SPDX-License-Identifier: BSD-3-Clause

//! Which of the two copies of a superblock counts.
//!
//! | copy 0 | copy 1 | result |
//! |---|---|---|
//! | good | good, of the same drive, with a higher generation | copy 1: the device lost the last write of copy 0 |
//! | good | anything else | copy 0 |
//! | zeros | any | no pool: it was erased, and so would copy 1 have been |
//! | of newer software | any | refused: the older copy 1 may know less |
//! | damaged | zeros | no pool: a creation or an erasure was cut off |
//! | damaged, unreadable, or foreign bytes | good | copy 1 |
//! | damaged, unreadable, or foreign bytes | anything else | what is wrong with copy 0 |
//!
//! A copy 1 that is not good never changes what copy 0 says. Copy 1 may be older than copy 0 was, when the last write of
//! copy 1 failed; that was logged when it happened.

use crate::pool::error::{Kind, PoolError, Result};
use crate::pool::format::{Superblock, SuperblockError, SuperblockVersion};

/// What one copy holds.
#[derive(Debug, Clone)]
pub enum CopyState {
    /// A superblock.
    Good(Box<Superblock>, SuperblockVersion),
    /// Zeros.
    Erased,
    /// Something that never was a superblock, or whose beginning is gone.
    Foreign,
    /// A superblock that cannot be used.
    Bad(SuperblockError),
    /// It could not be read.
    Unreadable(PoolError),
}

/// A superblock that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The superblock.
    pub superblock: Superblock,
    /// The version that it has on media.
    pub version: SuperblockVersion,
    /// The copy that counts.
    pub copy: usize,
    /// What the operator should know about the copies.
    pub warnings: Vec<String>,
}

impl CopyState {
    /// What these bytes of a copy are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> CopyState {
        match Superblock::decode(bytes) {
            Ok((superblock, version)) => CopyState::Good(Box::new(superblock), version),
            Err(_) if bytes.iter().all(|byte| *byte == 0) => CopyState::Erased,
            Err(SuperblockError::Magic) => CopyState::Foreign,
            Err(error) => CopyState::Bad(error),
        }
    }

    /// What is wrong with it; none when it is good.
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

/// The superblock of `object` out of its two copies.
///
/// # Errors
/// EBADF: no pool. EINVAL: damaged. EPROTONOSUPPORT: newer software wrote it. EIO: unreadable.
pub fn decide(object: &str, copies: [CopyState; 2]) -> Result<Found> {
    let [copy_0, copy_1] = copies;
    match (copy_0, copy_1) {
        (CopyState::Good(zero, _), CopyState::Good(one, version)) if is_newer(&one, &zero) => {
            let lost = format!("copy 1 of the superblock (generation {}) is used: copy 0 is older", one.generation);
            Ok(Found { superblock: *one, version, copy: 1, warnings: vec![lost] })
        }
        (CopyState::Good(zero, version), copy_1) => {
            let warnings = Vec::from_iter(oddity_of_copy_1(&zero, &copy_1));
            Ok(Found { superblock: *zero, version, copy: 0, warnings })
        }
        (CopyState::Erased, _) => Err(SuperblockError::Magic.on(object)),
        (CopyState::Bad(error @ (SuperblockError::Version(_) | SuperblockError::Flags(_))), _) => Err(error.on(object)),
        (CopyState::Bad(error), CopyState::Erased) => {
            // As `is_unfinished` says.
            let reason = format!("no pool: the superblock was being written or erased ({error}, and copy 1 is erased)");
            Err(PoolError::new(Kind::NoPool, object, reason))
        }
        (bad, CopyState::Good(one, version)) => {
            let fault = bad.fault().unwrap_or_default();
            let warning = format!("copy 1 of the superblock is used, for copy 0 cannot be: {fault}");
            Ok(Found { superblock: *one, version, copy: 1, warnings: vec![warning] })
        }
        (CopyState::Bad(error), _) => Err(error.on(object)),
        (CopyState::Unreadable(error), _) => Err(error),
        (CopyState::Foreign, _) => Err(SuperblockError::Magic.on(object)),
    }
}

/// True when the first write of copy 0, or the erasure of it, was cut off: there is no pool.
#[must_use]
pub fn is_unfinished(copies: &[CopyState; 2]) -> bool {
    let CopyState::Bad(error) = &copies[0] else { return false };
    let newer = matches!(error, SuperblockError::Version(_) | SuperblockError::Flags(_));
    !newer && matches!(copies[1], CopyState::Erased)
}

fn is_same_drive(one: &Superblock, zero: &Superblock) -> bool {
    one.pool == zero.pool && one.drive.uuid == zero.drive.uuid
}

fn is_newer(one: &Superblock, zero: &Superblock) -> bool {
    is_same_drive(one, zero) && one.generation > zero.generation
}

/// What is odd about copy 1 when copy 0 is good.
fn oddity_of_copy_1(zero: &Superblock, copy_1: &CopyState) -> Option<String> {
    match copy_1 {
        CopyState::Good(one, _) if **one == *zero => None,
        CopyState::Good(one, _) if is_same_drive(one, zero) => {
            Some(format!("copy 1 of the superblock is older: generation {} < {}", one.generation, zero.generation))
        }
        CopyState::Good(..) => Some("copy 1 of the superblock is of another drive".to_owned()),
        other => other.fault().map(|fault| format!("copy 1 of the superblock cannot be used: {fault}")),
    }
}
