// SPDX-License-Identifier: BSD-3-Clause

//! What directed tests share: what they hold back, requests for whole blocks, and the audit at the end.

use std::borrow::Borrow;
use std::ops::{Deref, DerefMut};

use engine::request::Operation;
use engine::{Direction, Pbn, RequestError};

use super::audit::audit;
use super::client::{Request, RequestId};
use super::cluster::Cluster;
use super::directed::Pending;

/// Holds nothing back.
#[must_use]
pub const fn nothing(_: &Pending<'_>) -> bool {
    false
}

/// Holds back transfers of data.
#[must_use]
pub const fn transfers(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Transfer(_))
}

/// Holds back reads of data.
#[must_use]
pub fn reads_from_disk(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Transfer(transfer) if transfer.direction == Direction::Read)
}

/// Holds back writes of data.
#[must_use]
pub fn writes_to_disk(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Transfer(transfer) if transfer.direction == Direction::Write)
}

/// Holds back transfers of metadata.
#[must_use]
pub const fn metadata(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Metadata(_))
}

/// Holds back sections of the index's history.
#[must_use]
pub const fn sections(pending: &Pending<'_>) -> bool {
    matches!(pending, Pending::Section(..))
}

/// A cluster that is audited when the test is done with it, so that no test can forget to.
#[derive(Debug)]
pub struct Rig(Cluster);

impl Rig {
    /// Watches over a cluster.
    #[must_use]
    pub const fn new(cluster: Cluster) -> Rig {
        Rig(cluster)
    }
}

impl Deref for Rig {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.0
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A second panic would abort the process, and hide what the first one has to say.
        if !std::thread::panicking() {
            self.save_all();
            audit(&self.0).expect("all is well at rest");
        }
    }
}

impl Cluster {
    /// Quiesces the volume and saves all metadata.
    ///
    /// # Panics
    /// If that is not possible, or something is wrong.
    pub fn save_all(&mut self) {
        self.settle(nothing);
        self.expect_sound();
        self.save();
        self.settle(nothing);
        self.expect_sound();
        assert!(self.is_saved(), "all metadata can be saved");
        self.quiesce();
    }

    /// Writes one block of a value.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&mut self, lbn: u64, value: u64) {
        self.execute(&Request::write(lbn, &[value])).expect("the write succeeds");
    }

    /// Reads one block; the model compares it.
    ///
    /// # Panics
    /// If that fails.
    pub fn read(&mut self, lbn: u64) {
        self.execute(&Request::read(lbn, 1)).expect("the read succeeds");
    }

    /// Unmaps one block.
    ///
    /// # Panics
    /// If that fails.
    pub fn unmap(&mut self, lbn: u64) {
        self.execute_on(Operation::Unmap, lbn, 1).expect("the unmap succeeds");
    }

    /// Begins to write one block of a value.
    pub fn begin_write(&mut self, lbn: u64, value: u64) -> RequestId {
        self.submit(&Request::write(lbn, &[value]))
    }

    /// Writes blocks at once, each value to an LBN.
    ///
    /// # Panics
    /// If one fails, or does not end.
    pub fn write_together(
        &mut self,
        lbns: impl IntoIterator<Item = u64>,
        values: impl IntoIterator<Item = impl Borrow<u64>>,
    ) {
        let blocks = lbns.into_iter().zip(values);
        let requests: Vec<_> = blocks.map(|(lbn, value)| self.begin_write(lbn, *value.borrow())).collect();
        self.settle(nothing);
        assert!(requests.into_iter().all(|id| self.outcome(id) == Some(Ok(()))));
    }

    /// The outcome of a request, once it is over.
    #[must_use]
    pub fn outcome(&self, id: RequestId) -> Option<Result<(), RequestError>> {
        self.world.pieces.outcome(id)
    }

    /// Where a block is stored.
    #[must_use]
    pub fn pbn(&self, lbn: u64) -> Pbn {
        self.mapping(lbn).pbn()
    }

    /// Index queries made so far.
    #[must_use]
    pub fn index_queries(&self) -> u64 {
        let statistics = self.statistics();
        statistics.posts_found + statistics.posts_not_found
    }

    /// Index updates made so far.
    #[must_use]
    pub fn index_updates(&self) -> u64 {
        let statistics = self.statistics();
        statistics.updates_found + statistics.updates_not_found
    }
}
