// SPDX-License-Identifier: BSD-3-Clause

//! Allocation of object ids. No id is ever allocated twice, whatever a power cut loses.
//!
//! A container logs every 256th uniquifier before it allocates it. After a load it continues 256 beyond the last logged
//! one, so all ids that were allocated and lost lie below.

use super::container::{Container, UNIQUIFIERS_PER_CHECKPOINT};
use crate::error::{Kind, PoolError, Result};
use crate::format::Record;
use crate::ids::{ObjectId, ObjectType, MAX_UNIQUIFIER};
use crate::Pool;

impl Pool {
    /// Allocates an id in a client container. If its checkpoint cannot be logged, the id is not consumed.
    pub(super) async fn new_id(&self, container: &Container, kind: ObjectType) -> Result<ObjectId> {
        let _alone = container.identifiers.exclusive().await;
        let uniquifier = container.last_uniquifier.get() + 1;
        if uniquifier > MAX_UNIQUIFIER {
            return Err(PoolError::new(Kind::NoSpace, self.subject(), format!("{} has no ids left", container.slot())));
        }
        let id = ObjectId::new(uniquifier, kind, container.slot());
        if uniquifier.is_multiple_of(UNIQUIFIERS_PER_CHECKPOINT) {
            let _rest = container.compaction.exclusive().await;
            self.append_record(container, &Record::IdCheckpoint(id)).await?;
            container.checkpoint.set(Some(id));
        }
        container.last_uniquifier.set(uniquifier);
        Ok(id)
    }
}

impl Container {
    /// Continues where no id can have been allocated before. Called once all records have been read.
    pub(super) fn resume_identifiers(&self) {
        let logged = self.checkpoint.get().map_or(0, ObjectId::uniquifier);
        self.last_uniquifier.set(logged.saturating_add(UNIQUIFIERS_PER_CHECKPOINT - 1));
    }
}
