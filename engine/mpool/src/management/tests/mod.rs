// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of the operations on whole pools, on disks in memory.

pub(super) mod activation;
mod control;
mod creation;
mod drive_growth;
mod ending;
mod importing;
mod membership;
mod parameters;
mod usage;

use super::*;
use crate::error::{Kind, PoolError};
use crate::ids::{MediaClass, ObjectId, ObjectType, Slot};

/// The kind of an expected failure.
fn kind<T>(outcome: Result<T, PoolError>) -> Kind {
    match outcome {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.kind(),
    }
}

/// A slot's two logs, as ids.
fn logs_of(slot: u8) -> [ObjectId; 2] {
    ObjectId::mdc_logs(Slot(slot))
}
