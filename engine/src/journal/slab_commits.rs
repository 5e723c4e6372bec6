// SPDX-License-Identifier: BSD-3-Clause

//! Which changes the physical zones have confirmed to be in committed slab journals.
//!
//! Invariant: one request at a time; the next one starts when every zone has answered the last one.

use crate::format::journal_record::Point;
use crate::units::ShardId;

/// The last request, and each zone's latest answer.
#[derive(Debug)]
pub(super) struct SlabCommits {
    asked: Point,
    confirmed: Vec<Point>,
}

impl SlabCommits {
    pub fn new(zones: u16) -> SlabCommits {
        SlabCommits { asked: Point::default(), confirmed: vec![Point::default(); usize::from(zones)] }
    }

    /// The first entry that a zone may still need.
    pub fn head(&self) -> u64 {
        self.confirmed.iter().min().map_or(0, |point| point.entry())
    }

    /// Whether every zone has answered the last request.
    pub fn is_answered(&self) -> bool {
        self.confirmed.iter().all(|&confirmed| confirmed >= self.asked)
    }

    /// The zones are asked to commit everything before `entry`.
    pub fn ask(&mut self, entry: u64) -> Point {
        self.asked = Point::start_of(entry);
        self.asked
    }

    /// A zone needs nothing before `up_to` any more.
    pub fn confirm(&mut self, zone: ShardId, up_to: Point) {
        let confirmed = &mut self.confirmed[zone.index()];
        *confirmed = up_to.max(*confirmed);
    }
}
