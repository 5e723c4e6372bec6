// SPDX-License-Identifier: BSD-3-Clause

//! What one logical block of the namespace may hold.
//!
//! Requests that overlap in time may take effect in any order, whatever the order of their answers. So a value stays
//! possible until a request is acknowledged that was submitted after the value's own request had ended: that one is
//! newer for certain. A request that is never answered has an effect or none; it ends with the target, and what is
//! submitted later is newer. Once a value was read while nothing else was under way, it is the only one.

use super::content::Content;

/// Where the request of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not answered yet.
    UnderWay,
    /// Answered at this time.
    Acknowledged(u64),
    /// The target died, or failed it, at this time: it may have had an effect.
    Doubtful(u64),
}

/// A possible content, and the request that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub content: Content,
    /// Number of the request; 0: what was there in the beginning.
    pub request: u64,
    submitted: u64,
    pub standing: Standing,
}

impl Value {
    const fn ended(&self) -> Option<u64> {
        match self.standing {
            Standing::UnderWay => None,
            Standing::Acknowledged(time) | Standing::Doubtful(time) => Some(time),
        }
    }

    /// Whether its request had ended when that of the other was submitted.
    pub(super) fn precedes(&self, other: &Value) -> bool {
        self.ended().is_some_and(|ended| ended < other.submitted)
    }
}

/// One logical block.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    values: Vec<Value>,
    /// When a request that writes it was last submitted or ended.
    changed: u64,
}

impl Unit {
    /// A block that holds zeros.
    pub(super) fn new() -> Unit {
        let zero = Value { content: Content::Zero, request: 0, submitted: 0, standing: Standing::Acknowledged(0) };
        Unit { values: vec![zero], changed: 0 }
    }

    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// A request that writes `content` is submitted.
    pub(super) fn begin(&mut self, request: u64, content: Content, now: u64) {
        self.values.push(Value { content, request, submitted: now, standing: Standing::UnderWay });
        self.changed = now;
    }

    /// A request that writes the block is acknowledged.
    pub(super) fn acknowledge(&mut self, request: u64, now: u64) {
        let Some(value) = self.end(request, Standing::Acknowledged(now)) else {
            return;
        };
        self.values.retain(|old| !old.precedes(&value));
        self.changed = now;
    }

    /// A request that writes the block will never be answered, or has failed.
    pub(super) fn doubt(&mut self, request: u64, now: u64) {
        self.end(request, Standing::Doubtful(now));
        self.changed = now;
    }

    fn end(&mut self, request: u64, standing: Standing) -> Option<Value> {
        let value = self.values.iter_mut().find(|value| value.request == request)?;
        value.standing = standing;
        Some(*value)
    }

    /// Whether nothing wrote the block since `since`, nor does now.
    pub(super) fn is_quiet_since(&self, since: u64) -> bool {
        self.changed < since && self.values.iter().all(|value| value.standing != Standing::UnderWay)
    }

    /// Whether a content is possible.
    pub(super) fn allows(&self, content: Content) -> bool {
        self.values.iter().any(|value| value.content == content)
    }

    /// A content was read while the block was quiet: it will not change by itself any more.
    pub(super) fn settle(&mut self, content: Content) {
        self.values.retain(|value| value.content == content);
        // Of equal values, any will do; the newest is the most useful in a report.
        let settled = self.values.pop();
        self.values.clear();
        self.values.extend(settled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(generation: u64) -> Content {
        Content::Unique { generation }
    }

    fn contents(unit: &Unit) -> Vec<Content> {
        unit.values().iter().map(|value| value.content).collect()
    }

    #[test]
    fn an_acknowledged_write_replaces_what_ended_before_it_began() {
        let mut unit = Unit::new();
        unit.begin(1, unique(1), 1);
        assert!(unit.allows(Content::Zero) && unit.allows(unique(1)) && !unit.is_quiet_since(2));
        unit.acknowledge(1, 2);
        assert_eq!(contents(&unit), [unique(1)]);
        assert!(unit.is_quiet_since(3) && !unit.is_quiet_since(2));
    }

    #[test]
    fn of_writes_at_the_same_time_any_may_be_the_last() {
        let mut unit = Unit::new();
        unit.begin(1, unique(1), 1);
        unit.begin(2, unique(2), 2);
        unit.acknowledge(2, 3);
        unit.acknowledge(1, 4);
        assert_eq!(contents(&unit), [unique(1), unique(2)]);
        unit.begin(3, unique(3), 5);
        unit.acknowledge(3, 6);
        assert_eq!(contents(&unit), [unique(3)]);
    }

    #[test]
    fn what_was_not_answered_stays_in_doubt_until_it_is_seen_or_replaced() {
        let mut unit = Unit::new();
        unit.begin(1, unique(1), 1);
        unit.doubt(1, 2);
        assert_eq!(contents(&unit), [Content::Zero, unique(1)]);
        let mut seen = unit.clone();
        seen.settle(Content::Zero);
        assert_eq!(contents(&seen), [Content::Zero]);
        assert!(!seen.allows(unique(1)), "it may not come back");
        unit.begin(2, unique(2), 3);
        unit.acknowledge(2, 4);
        assert_eq!(contents(&unit), [unique(2)]);
    }
}
