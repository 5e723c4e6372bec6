// SPDX-License-Identifier: BSD-3-Clause

//! A metadata container's two logs, and which of them is in use.
//!
//! Nothing is repaired; what the next opening would repair is reported.

use mpool::mdc::choose_active;
use mpool::mlog::scan::ScanError;
use serde::Serialize;

use crate::findings::Findings;
use crate::log::{Log, LogFault, LogReport, Scanned};

/// The report on a pair.
#[derive(Debug, Serialize)]
pub struct PairReport {
    /// Both logs.
    pub logs: [LogReport; 2],
    /// Which log is in use, 0 or 1; none if neither is known to be valid.
    pub active: Option<usize>,
    /// The reason for that choice.
    pub why: String,
    /// Which log's records are shown. If none is in use, that may be an unused one.
    pub shown: Option<usize>,
    /// Bytes in use of the log that is shown, in whole blocks.
    pub used_bytes: u64,
    /// Capacity of the log that is shown.
    pub capacity_bytes: u64,
}

/// A pair that was examined.
#[derive(Debug)]
pub struct Pair<'a> {
    logs: [Log<'a>; 2],
    scanned: [Scanned; 2],
    /// The report on the pair.
    pub report: PairReport,
}

impl<'a> Pair<'a> {
    /// Recovers both logs and chooses one as the engine does. `object` is the container's name in messages.
    pub fn look(object: &str, logs: [Log<'a>; 2], findings: &mut Findings) -> Pair<'a> {
        let scanned = logs.map(|log| log.scan(true));
        for (log, scanned) in logs.iter().zip(&scanned) {
            if let Some(fault) = scanned.fault.as_ref().filter(|fault| !is_unfinished(fault)) {
                findings.error(&format!("{object}, log {}", log.id), fault.to_string());
            }
        }
        let generations = logs.map(|log| log.stamp.generation);
        let (active, why) = choose(object, &generations, &scanned, findings);
        if let Some(active) = active {
            tell_leftovers(object, active, &logs, &scanned, findings);
        }
        let shown = active.or_else(|| (0..2).find(|side| scanned[*side].found.blocks > 0));
        let filled = shown.unwrap_or(0);
        let block_bytes = logs[filled].geometry().sector_bytes as u64;
        let report = PairReport {
            active,
            why,
            shown,
            used_bytes: scanned[filled].found.blocks.saturating_mul(block_bytes),
            capacity_bytes: logs[filled].geometry().capacity_bytes(),
            logs: [logs[0].report(&scanned[0]), logs[1].report(&scanned[1])],
        };
        Pair { logs, scanned, report }
    }

    /// Passes the records of the log that is shown to `each`, each of at most `max_bytes`.
    ///
    /// # Errors
    /// The log cannot be read to its end.
    pub fn records(&self, max_bytes: usize, each: impl FnMut(&[u8])) -> Result<(), LogFault> {
        match self.report.shown {
            Some(side) => self.logs[side].records(&self.scanned[side], max_bytes, each),
            None => Ok(()),
        }
    }
}

fn is_unfinished(fault: &LogFault) -> bool {
    matches!(fault, LogFault::Scan(ScanError::Unfinished))
}

fn choose(
    object: &str,
    generations: &[u64; 2],
    scanned: &[Scanned; 2],
    findings: &mut Findings,
) -> (Option<usize>, String) {
    let damaged = |side: usize| scanned[side].fault.as_ref().is_some_and(|fault| !is_unfinished(fault));
    if let Some(side) = (0..2).find(|side| damaged(*side)) {
        return (None, format!("log {side} is damaged, so the container does not open"));
    }
    let whole = [scanned[0].fault.is_none(), scanned[1].fault.is_none()];
    match choose_active(*generations, whole) {
        Ok(side) => (Some(side), reason(side, generations, whole)),
        Err(reason) => {
            findings.error(object, reason);
            (None, reason.to_owned())
        }
    }
}

fn reason(active: usize, generations: &[u64; 2], whole: [bool; 2]) -> String {
    let other = 1 - active;
    let (mine, theirs) = (generations[active], generations[other]);
    if !whole[other] {
        format!("a compaction into log {other} was interrupted")
    } else if mine == theirs {
        "the pair is new: both generations are 0".to_owned()
    } else {
        format!("its generation is the smaller: {mine} < {theirs}")
    }
}

/// Reports what the next opening erases or adds.
fn tell_leftovers(object: &str, active: usize, logs: &[Log<'_>; 2], scanned: &[Scanned; 2], findings: &mut Findings) {
    let other = 1 - active;
    let name = logs[other].id;
    if scanned[other].fault.is_some() {
        findings.note(object, format!("a compaction into {name} was interrupted; the next opening erases that log"));
    } else if !scanned[other].found.is_empty() {
        findings.note(object, format!("a compaction into {name} had not returned; the next opening erases that log"));
    }
    if scanned[active].found.is_empty() {
        findings.note(object, "it was never opened: the next opening writes its markers");
    }
}
