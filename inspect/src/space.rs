// SPDX-License-Identifier: BSD-3-Clause

//! The owners of a drive's zones: what the pool's space map would be, and what prevents it.

use std::collections::BTreeMap;

use mpool::format::superblock_zones;
use mpool::space_map::DEFAULT_REGIONS;
use mpool::{Extent, ObjectId};
use serde::Serialize;

use crate::drive::Drive;
use crate::findings::Findings;
use crate::shown;

/// What zones are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Superblocks.
    Superblocks,
    /// Logs of MDC0.
    Mdc0Log,
    /// Logs of the other containers.
    MdcLog,
    /// Logs of the root MDC.
    RootLog,
    /// Clients' logs.
    Mlog,
    /// Mblocks.
    Mblock,
    /// Slab objects.
    Slab,
    /// More than one object claims the zones.
    Contested,
    /// No object claims the zones.
    Free,
}

/// Adjacent zones with the same use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// First zone.
    pub first_zone: u64,
    /// Number of zones.
    pub zones: u64,
    /// Their use.
    pub used_by: Use,
    /// Number of objects in the zones.
    pub objects: u64,
}

/// A region of a drive.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// First zone.
    pub first_zone: u64,
    /// Number of zones.
    pub zones: u64,
    /// Free zones.
    pub free_zones: u64,
    /// Free zones in the largest run: an object with more zones does not fit.
    pub largest_free_zones: u64,
    /// Zones of each use.
    pub used_zones: BTreeMap<Use, u64>,
}

/// The space map of a drive.
#[derive(Debug, Serialize)]
pub struct SpaceReport {
    /// Media class of the drive.
    pub class: &'static str,
    /// Number of zones.
    pub zones: u64,
    /// Bytes in a zone.
    pub zone_bytes: u64,
    /// The recorded spare percentage.
    pub spare_percent: Option<u8>,
    /// Zones of each use.
    pub used_zones: BTreeMap<Use, u64>,
    /// The zones of each use, by region.
    pub regions: Vec<Region>,
    /// All zones, in order.
    pub runs: Vec<Run>,
}

/// The zones of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    first: u64,
    end: u64,
    used_by: Use,
    owner: Option<ObjectId>,
}

/// Collects the owners of zones.
#[derive(Debug)]
pub struct Space {
    subject: String,
    class: &'static str,
    zones: u64,
    zone_bytes: u64,
    reserved: u64,
    claims: Vec<Claim>,
}

impl Space {
    /// The space of a drive: only the superblocks' zones have an owner yet.
    #[must_use]
    pub fn of(drive: &Drive) -> Space {
        Space::new(drive.subject(), shown::class(drive.class()), drive.zones(), drive.zone_bytes())
    }

    fn new(subject: String, class: &'static str, zones: u64, zone_bytes: u64) -> Space {
        let reserved = superblock_zones(zone_bytes).min(zones);
        let own = Claim { first: 0, end: reserved, used_by: Use::Superblocks, owner: None };
        Space { subject, class, zones, zone_bytes, reserved, claims: vec![own] }
    }

    /// Adds the zones of an object. Zones outside the drive are an error, and are not added.
    pub fn claim(&mut self, owner: ObjectId, extent: Extent, used_by: Use, findings: &mut Findings) {
        match extent.end().filter(|end| *end <= self.zones && extent.zones > 0) {
            Some(end) => self.claims.push(Claim { first: extent.first, end, used_by, owner: Some(owner) }),
            None => {
                let (zones, all) = (shown::zones(extent), self.zones);
                findings.error(&self.subject, format!("{owner} has the zones {zones}; the drive has {all} zones"));
            }
        }
    }

    /// The map; objects that share zones become findings.
    #[must_use]
    pub fn report(mut self, spare_percent: Option<u8>, findings: &mut Findings) -> SpaceReport {
        self.claims.sort_unstable();
        self.tell_overlaps(findings);
        let runs = self.runs();
        let regions = regions(self.zones, &runs);
        SpaceReport {
            class: self.class,
            zones: self.zones,
            zone_bytes: self.zone_bytes,
            spare_percent,
            used_zones: sum(&runs, 0, self.zones),
            regions,
            runs,
        }
    }

    /// Reports each claim that begins inside another, once.
    fn tell_overlaps(&self, findings: &mut Findings) {
        let mut reach: Option<Claim> = None;
        for claim in &self.claims {
            if let Some(before) = reach.filter(|before| claim.first < before.end) {
                let shared = Extent { first: claim.first, zones: claim.end.min(before.end) - claim.first };
                let name = |claim: &Claim| claim.owner.map_or("the superblocks".to_owned(), |id| id.to_string());
                let text = format!("{} and {} both have zones {}", name(&before), name(claim), shown::zones(shared));
                findings.error(&self.subject, text);
            }
            if reach.is_none_or(|before| claim.end > before.end) {
                reach = Some(*claim);
            }
        }
        if self.reserved == self.zones {
            findings.error(&self.subject, "its superblocks take all of its zones");
        }
    }

    /// All zones as runs: between two edges of claims the use is constant.
    fn runs(&self) -> Vec<Run> {
        let mut starts: Vec<_> = self.claims.iter().map(|claim| (claim.first, claim.used_by)).collect();
        let mut ends: Vec<_> = self.claims.iter().map(|claim| (claim.end, claim.used_by)).collect();
        starts.sort_unstable();
        ends.sort_unstable();
        let (mut starts, mut ends) = (starts.into_iter().peekable(), ends.into_iter().peekable());
        let (mut runs, mut at, mut open) = (Vec::new(), 0, BTreeMap::<Use, u64>::new());
        while at < self.zones {
            while ends.peek().is_some_and(|(end, _)| *end <= at) {
                if let Some((_, used_by)) = ends.next() {
                    leave(&mut open, used_by);
                }
            }
            let mut begun = 0;
            while let Some((_, used_by)) = starts.next_if(|(first, _)| *first <= at) {
                *open.entry(used_by).or_default() += 1;
                begun += 1;
            }
            let next_start = starts.peek().map_or(self.zones, |(first, _)| *first);
            let next_end = ends.peek().map_or(self.zones, |(end, _)| *end);
            let until = next_start.min(next_end).min(self.zones);
            push(&mut runs, Run { first_zone: at, zones: until - at, used_by: use_of(&open), objects: begun });
            at = until;
        }
        runs
    }
}

fn leave(open: &mut BTreeMap<Use, u64>, used_by: Use) {
    if let Some(count) = open.get_mut(&used_by) {
        *count -= 1;
        if *count == 0 {
            open.remove(&used_by);
        }
    }
}

fn use_of(open: &BTreeMap<Use, u64>) -> Use {
    match open.iter().next() {
        None => Use::Free,
        Some((used_by, 1)) if open.len() == 1 => *used_by,
        Some(_) => Use::Contested,
    }
}

/// Adds a run, or extends the last one if the use is the same.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut().filter(|last| last.used_by == run.used_by) {
        Some(last) => {
            last.zones += run.zones;
            last.objects += run.objects;
        }
        None => runs.push(run),
    }
}

/// Zones of each use in `first..end`.
fn sum(runs: &[Run], first: u64, end: u64) -> BTreeMap<Use, u64> {
    let mut sums = BTreeMap::new();
    for (used_by, zones) in parts(runs, first, end) {
        *sums.entry(used_by).or_default() += zones;
    }
    sums
}

/// The runs, with their numbers of zones in `first..end`.
fn parts(runs: &[Run], first: u64, end: u64) -> impl Iterator<Item = (Use, u64)> + '_ {
    let begin = runs.partition_point(|run| run.first_zone + run.zones <= first);
    let inside = runs[begin..].iter().take_while(move |run| run.first_zone < end);
    inside.map(move |run| (run.used_by, (run.first_zone + run.zones).min(end) - run.first_zone.max(first)))
}

/// The regions into which the pool divides the drive: equal ones; the last one takes the rest.
fn regions(zones: u64, runs: &[Run]) -> Vec<Region> {
    let size = zones / DEFAULT_REGIONS;
    if size == 0 {
        return Vec::new();
    }
    let region = |number: u64| {
        let first = number * size;
        let end = if number + 1 == DEFAULT_REGIONS { zones } else { first + size };
        let free = |(used_by, zones)| if used_by == Use::Free { zones } else { 0 };
        Region {
            first_zone: first,
            zones: end - first,
            free_zones: parts(runs, first, end).map(free).sum(),
            largest_free_zones: parts(runs, first, end).map(free).max().unwrap_or(0),
            used_zones: sum(runs, first, end),
        }
    };
    (0..DEFAULT_REGIONS).map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpool::{ObjectType, Slot};

    fn id(number: u64) -> ObjectId {
        ObjectId::new(number, ObjectType::Mblock, Slot(1))
    }

    fn map(claims: &[(u64, u64, Use)]) -> (SpaceReport, Vec<String>) {
        let mut findings = Findings::default();
        let mut space = Space::new("drive".to_owned(), "CAPACITY", 20, 1 << 20);
        for ((first, zones, used_by), number) in claims.iter().zip(2..) {
            space.claim(id(number), Extent { first: *first, zones: *zones }, *used_by, &mut findings);
        }
        let report = space.report(None, &mut findings);
        (report, findings.list.into_iter().map(|finding| finding.text).collect())
    }

    fn runs(report: &SpaceReport) -> Vec<(u64, u64, Use, u64)> {
        report.runs.iter().map(|run| (run.first_zone, run.zones, run.used_by, run.objects)).collect()
    }

    #[test]
    fn neighbours_of_one_use_are_one_run() {
        let (report, faults) =
            map(&[(4, 2, Use::Mblock), (3, 1, Use::Mblock), (1, 2, Use::Mdc0Log), (9, 11, Use::Slab)]);
        assert_eq!(faults, [""; 0]);
        let expected = [
            (0, 1, Use::Superblocks, 1),
            (1, 2, Use::Mdc0Log, 1),
            (3, 3, Use::Mblock, 2),
            (6, 3, Use::Free, 0),
            (9, 11, Use::Slab, 1),
        ];
        assert_eq!(runs(&report), expected);
        let free: Vec<_> = report.regions.iter().map(|region| (region.first_zone, region.free_zones)).collect();
        assert_eq!(free, [(0, 0), (5, 3), (10, 0), (15, 0)]);
        assert_eq!(report.used_zones.values().sum::<u64>(), 20);
        assert_eq!(report.regions[1].used_zones[&Use::Mblock], 1);
    }

    #[test]
    fn the_last_region_takes_what_is_left_over() {
        let regions = regions(11, &[Run { first_zone: 0, zones: 11, used_by: Use::Free, objects: 0 }]);
        assert_eq!(regions.iter().map(|region| region.zones).collect::<Vec<_>>(), [2, 2, 2, 5]);
        assert!(super::regions(3, &[]).is_empty());
    }

    #[test]
    fn overlaps_and_extents_outside_are_told() {
        let all =
            [(5, 3, Use::Mblock), (6, 4, Use::Slab), (0, 1, Use::Mlog), (19, 2, Use::Mblock), (u64::MAX, 2, Use::Mlog)];
        let (report, faults) = map(&all);
        let expected = [
            "mblock 0x5101 has the zones 19-20; the drive has 20 zones".to_owned(),
            format!("mblock 0x6101 has the zones {} and 1 more; the drive has 20 zones", u64::MAX),
            "the superblocks and mblock 0x4101 both have zones 0".to_owned(),
            "mblock 0x2101 and mblock 0x3101 both have zones 6-7".to_owned(),
        ];
        assert_eq!(faults, expected);
        let expected = [
            (0, 1, Use::Contested, 2),
            (1, 4, Use::Free, 0),
            (5, 1, Use::Mblock, 1),
            (6, 2, Use::Contested, 1),
            (8, 2, Use::Slab, 0),
            (10, 10, Use::Free, 0),
        ];
        assert_eq!(runs(&report), expected);
    }
}
