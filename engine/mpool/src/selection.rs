// SPDX-License-Identifier: BSD-3-Clause

//! Chooses the metadata container for each new object, so that all fill at the same rate.
//!
//! A table of 1024 slots is walked cyclically, one entry for each allocation. A container's share of the entries is its
//! share of all free space, and its entries are spread as far as possible. The table is rebuilt as space changes.
//!
//! Invariants: slot 0 is never selected; as long as a client container is open, one is selected.
//!
//! Differs from mpool (its section 13, 10 and 11): the containers near compaction are excluded only while others with
//! space remain, also when there are exactly three; when all are nearly full, the one with most space is selected;
//! before the table is first built there is an error, not slot 0. The "fill bias", which never had an effect, is gone.

use super::error::{Kind, PoolError, Result};
use super::ids::{Slot, SLOTS};

/// The number of entries in the table.
pub const ENTRIES: usize = SLOTS * 4;

/// A container is nearly full with less free space than its capacity divided by this.
const NEARLY_FULL_DIVISOR: u64 = 400;

/// The most containers that follow each other in one column of the table.
const COLUMN_MEMBERS: usize = 16;

/// The space in one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// The container's slot.
    pub slot: Slot,
    /// Free bytes in its active log.
    pub free_bytes: u64,
    /// Bytes in one of its logs; 0 when the container is not open, and then it is not selected.
    pub capacity_bytes: u64,
}

impl Fill {
    const fn is_nearly_full(&self) -> bool {
        self.free_bytes == 0 || self.free_bytes < self.capacity_bytes / NEARLY_FULL_DIVISOR
    }
}

/// Selects containers in turn.
#[derive(Debug, Default)]
pub struct Selector {
    table: Option<Box<[Slot; ENTRIES]>>,
    next: usize,
}

impl Selector {
    /// A selector without a table: it selects nothing.
    #[must_use]
    pub const fn new() -> Selector {
        Selector { table: None, next: 0 }
    }

    /// Rebuilds the table; for the arguments see [`table`]. The walk continues where it was.
    ///
    /// # Errors
    /// NoSpace: there is no open client container. Nothing is selected then.
    pub fn rebuild(&mut self, fills: &[Fill], next_compacted: Option<Slot>, excluded_after: usize) -> Result<()> {
        self.table = None;
        self.table = Some(table(fills, next_compacted, excluded_after)?);
        Ok(())
    }

    /// The container for the next object.
    ///
    /// # Errors
    /// NoSpace: there was no open client container when the table was built, or it has not been built.
    pub fn select(&mut self) -> Result<Slot> {
        let table = self.table.as_ref().ok_or_else(no_container)?;
        let slot = table[self.next];
        self.next = (self.next + 1) % ENTRIES;
        Ok(slot)
    }
}

fn no_container() -> PoolError {
    PoolError::new(Kind::NoSpace, "object metadata", "there is no open client MDC")
}

/// The table for containers of these `fills`, in which each slot occurs at most once.
///
/// `next_compacted` will be compacted next; it and the `excluded_after` that follow it in slot order, cyclically, are
/// excluded while others with space remain. None: no compaction is due.
///
/// # Errors
/// NoSpace: no slot but 0 is open.
pub fn table(fills: &[Fill], next_compacted: Option<Slot>, excluded_after: usize) -> Result<Box<[Slot; ENTRIES]>> {
    let mut open: Vec<Fill> =
        fills.iter().copied().filter(|fill| fill.slot != Slot::ZERO && fill.capacity_bytes > 0).collect();
    open.sort_by_key(|fill| fill.slot);
    let mut eligible = eligible(&open, next_compacted, excluded_after);
    eligible.sort_by(|a, b| b.free_bytes.cmp(&a.free_bytes).then(a.slot.cmp(&b.slot)));
    let credits = credits(&eligible);
    let top = *credits.first().ok_or_else(no_container)?;
    Ok(interleave(&columns(&credits, top.entries)))
}

/// The containers that get entries. `open` is in slot order.
fn eligible(open: &[Fill], next_compacted: Option<Slot>, excluded_after: usize) -> Vec<Fill> {
    let roomy: Vec<Fill> = open.iter().copied().filter(|fill| !fill.is_nearly_full()).collect();
    if roomy.is_empty() {
        // All are nearly full. Commits will compact; the least full one has most time left.
        return open.iter().copied().min_by_key(|fill| (u64::MAX - fill.free_bytes, fill.slot)).into_iter().collect();
    }
    let excluded = excluded(open, next_compacted, excluded_after);
    let rest: Vec<Fill> = roomy.iter().copied().filter(|fill| !excluded.contains(&fill.slot)).collect();
    if rest.is_empty() {
        roomy
    } else {
        rest
    }
}

fn excluded(open: &[Fill], next_compacted: Option<Slot>, excluded_after: usize) -> Vec<Slot> {
    let Some(next) = next_compacted else { return Vec::new() };
    let first = open.partition_point(|fill| fill.slot < next);
    let count = excluded_after.saturating_add(1).min(open.len());
    open.iter().cycle().skip(first).take(count).map(|fill| fill.slot).collect()
}

/// The number of entries of a container in the table, or in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Credit {
    slot: Slot,
    entries: usize,
}

/// Divides the table by free space: integer shares first, then the remaining entries one each from the top. `eligible`
/// is sorted by free space, most first.
fn credits(eligible: &[Fill]) -> Vec<Credit> {
    let total: u128 = eligible.iter().map(|fill| u128::from(fill.free_bytes)).sum();
    let share = |fill: &Fill| (ENTRIES as u128 * u128::from(fill.free_bytes)).checked_div(total).unwrap_or(0) as usize;
    let mut credits: Vec<Credit> =
        eligible.iter().map(|fill| Credit { slot: fill.slot, entries: share(fill) }).collect();
    // With no free space at all there is one container, the least full, and it gets all entries.
    let mut left = ENTRIES - credits.iter().map(|credit| credit.entries).sum::<usize>();
    while left > 0 && !credits.is_empty() {
        for credit in &mut credits {
            let more = left.min(1);
            credit.entries += more;
            left -= more;
        }
    }
    credits
}

/// Groups containers into columns of `height` entries, with at most 16 members in a column. The top container is a
/// column by itself; entries of a container that do not fit go to the next column.
fn columns(credits: &[Credit], height: usize) -> Vec<Vec<Credit>> {
    let mut columns: Vec<Vec<Credit>> = Vec::new();
    let mut room = 0;
    for credit in credits {
        let mut entries = credit.entries;
        while entries > 0 {
            match columns.last_mut() {
                Some(column) if room > 0 && column.len() < COLUMN_MEMBERS => {
                    let placed = entries.min(room);
                    column.push(Credit { slot: credit.slot, entries: placed });
                    entries -= placed;
                    room -= placed;
                }
                _ => {
                    columns.push(Vec::new());
                    room = height;
                }
            }
        }
    }
    columns
}

/// Fills the table with one entry of each column in turn. The columns have [`ENTRIES`] entries together.
fn interleave(columns: &[Vec<Credit>]) -> Box<[Slot; ENTRIES]> {
    let mut walks: Vec<_> = columns
        .iter()
        .map(|column| column.iter().flat_map(|credit| core::iter::repeat_n(credit.slot, credit.entries)))
        .collect();
    let mut table = Box::new([Slot::ZERO; ENTRIES]);
    let mut filled = 0;
    while filled < ENTRIES {
        let before = filled;
        for slot in walks.iter_mut().filter_map(Iterator::next) {
            table[filled] = slot;
            filled += 1;
        }
        assert!(filled > before, "the credits add up to the table");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 32 << 20;

    fn fill(slot: u8, free_bytes: u64) -> Fill {
        Fill { slot: Slot(slot), free_bytes, capacity_bytes: CAPACITY }
    }

    fn count(table: &[Slot], slot: u8) -> usize {
        table.iter().filter(|entry| entry.0 == slot).count()
    }

    /// mpool-102: mpool's worked example, entry by entry.
    #[test]
    fn credits_of_the_worked_example() {
        let mib = 1 << 20;
        // In another order than by space, so that sorting matters: Y = 1, X = 2, Z = 3.
        let table = table(&[fill(1, 20 * mib), fill(2, 30 * mib), fill(3, 10 * mib)], None, 2).unwrap();
        let expected: Vec<u8> = [2, 1]
            .into_iter()
            .cycle()
            .take(2 * 341)
            .chain([2, 3].into_iter().cycle().take(2 * 170))
            .chain([2, 2])
            .collect();
        assert_eq!(table.iter().map(|slot| slot.0).collect::<Vec<_>>(), expected);
    }

    /// mpool-102: shares follow free space to within one entry, for the full number of containers.
    #[test]
    fn shares_are_proportional_to_free_space() {
        let fills: Vec<Fill> = (1..=255).map(|slot| fill(slot, 1_000_000 + u64::from(slot) * 50_000)).collect();
        let total: u64 = fills.iter().map(|fill| fill.free_bytes).sum();
        let table = table(&fills, None, 2).unwrap();
        for fill in &fills {
            let share = (1024 * fill.free_bytes / total) as usize;
            assert!((share..=share + 1).contains(&count(&*table, fill.slot.0)), "{}", fill.slot);
        }
    }

    /// mpool-102: equal containers take strict turns, so that no two entries of one are near each other.
    #[test]
    fn entries_of_a_container_are_spread() {
        let fills: Vec<Fill> = (1..=16).map(|slot| fill(slot, CAPACITY / 2)).collect();
        let table = table(&fills, None, 2).unwrap();
        for window in table.windows(16) {
            let mut slots: Vec<u8> = window.iter().map(|slot| slot.0).collect();
            slots.sort_unstable();
            assert_eq!(slots, (1..=16).collect::<Vec<u8>>());
        }
    }

    /// mpool-102: many small containers share columns of at most 16 beside a large one; surplus moves on.
    #[test]
    fn columns_have_at_most_16_members() {
        let credit = |slot, entries| Credit { slot: Slot(slot), entries };
        let mut credits = vec![credit(1, 100), credit(2, 90), credit(3, 20)];
        credits.extend((4..24).map(|slot| credit(slot, 1)));
        let columns = columns(&credits, 100);
        assert_eq!(columns[0], [credit(1, 100)]);
        assert_eq!(columns[1], [credit(2, 90), credit(3, 10)]);
        assert_eq!(columns[2].len(), 16);
        assert_eq!(columns[2][0], credit(3, 10));
        assert_eq!(columns[3].len(), 5);
        assert_eq!(columns.len(), 4);
    }

    /// mpool-102: the next to be compacted and those after it get nothing, cyclically.
    #[test]
    fn containers_near_compaction_are_left_out() {
        let fills: Vec<Fill> = (1..=5).map(|slot| fill(slot, 1 << 20)).collect();
        let table = table(&fills, Some(Slot(4)), 2).unwrap();
        assert_eq!([1, 2, 3, 4, 5].map(|slot| count(&*table, slot)), [0, 512, 512, 0, 0]);
        // The next one may have no metadata yet or no longer: then it is the one after it.
        let table = super::table(&fills[..4], Some(Slot(9)), 1).unwrap();
        assert_eq!([1, 2, 3, 4].map(|slot| count(&*table, slot)), [0, 0, 512, 512]);
        assert_eq!(count(&*super::table(&fills, None, 2).unwrap(), 4), 205);
    }

    /// mpool-102: with one, two or three containers none is left out for a compaction (defect 10).
    #[test]
    fn the_last_containers_are_not_left_out() {
        for slots in 1..=3_u8 {
            for next in 0..=4 {
                let fills: Vec<Fill> = (1..=slots).map(|slot| fill(slot, 1 << 20)).collect();
                let table = table(&fills, Some(Slot(next)), 2).unwrap();
                assert!((1..=slots).all(|slot| count(&*table, slot) >= 1024 / usize::from(slots)), "{slots} {next}");
            }
        }
        let fills: Vec<Fill> = (1..=4).map(|slot| fill(slot, 1 << 20)).collect();
        assert_eq!(count(&*table(&fills, Some(Slot(1)), 2).unwrap(), 4), 1024);
    }

    /// mpool-102: below 0.25 % of free space a container gets nothing, unless the others are excluded and it is not.
    #[test]
    fn nearly_full_containers_are_left_out() {
        let limit = CAPACITY / 400;
        let table = table(&[fill(1, limit), fill(2, limit - 1), fill(3, limit)], None, 2).unwrap();
        assert_eq!([1, 2, 3].map(|slot| count(&*table, slot)), [512, 0, 512]);
        let fills = [fill(1, CAPACITY), fill(2, 5), fill(3, 5), fill(4, 5)];
        assert_eq!(count(&*super::table(&fills, Some(Slot(1)), 0).unwrap(), 1), 1024, "space is more than exclusion");
    }

    /// mpool-102: when all are nearly full, the one with most space is selected (defect 10).
    #[test]
    fn of_full_containers_the_least_full_is_selected() {
        let table = table(&[fill(1, 0), fill(2, 7), fill(3, 9), fill(4, 9)], Some(Slot(3)), 2).unwrap();
        assert_eq!(count(&*table, 3), 1024);
        let table = super::table(&[fill(1, 0), fill(2, 0)], Some(Slot(1)), 2).unwrap();
        assert_eq!(count(&*table, 1), 1024);
    }

    /// mpool-102: slot 0 and containers that are not open are never selected; with no other there is an error.
    #[test]
    fn slot_0_is_never_selected() {
        let closed = Fill { slot: Slot(2), free_bytes: 9, capacity_bytes: 0 };
        let table = table(&[fill(0, CAPACITY), fill(1, 1), closed], None, 2).unwrap();
        assert_eq!(count(&*table, 1), 1024);
        for fills in [&[][..], &[fill(0, CAPACITY)], &[closed]] {
            assert_eq!(super::table(fills, Some(Slot(1)), 2).unwrap_err().kind(), Kind::NoSpace);
        }
    }

    /// mpool-102: the table is walked in turn; before it is built nothing is selected (defect 11).
    #[test]
    fn the_selector_goes_round() {
        let mut selector = Selector::new();
        assert_eq!(selector.select().unwrap_err().kind(), Kind::NoSpace);
        selector.rebuild(&[fill(1, 1 << 20), fill(2, 1 << 20)], None, 2).unwrap();
        let picked: Vec<u8> = (0..2050).map(|_| selector.select().unwrap().0).collect();
        assert!(picked.chunks(2).all(|pair| pair == [1, 2]));
        selector.select().unwrap();
        selector.rebuild(&[fill(3, 1 << 20), fill(4, 1 << 20)], None, 2).unwrap();
        assert_eq!(selector.select().unwrap(), Slot(4), "the turn goes on");
        selector.rebuild(&[], None, 2).unwrap_err();
        assert_eq!(selector.select().unwrap_err().kind(), Kind::NoSpace);
    }

    #[test]
    fn extreme_sizes_do_not_overflow() {
        let huge = |slot| Fill { slot: Slot(slot), free_bytes: u64::MAX, capacity_bytes: u64::MAX };
        let table = table(&[huge(1), huge(2)], Some(Slot(255)), usize::MAX).unwrap();
        assert_eq!(count(&*table, 1), 512);
    }
}
