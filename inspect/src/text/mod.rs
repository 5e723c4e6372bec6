// SPDX-License-Identifier: BSD-3-Clause

//! The output for people: errors first, then the tree of the report.

mod dump;
mod tree;

use std::io::{self, Write};

use crate::findings::{Findings, Severity};
use crate::report::Report;

pub use dump::dump;

/// Prints the whole report.
///
/// # Errors
/// The output cannot be written.
pub fn report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    findings(out, &report.findings)?;
    let tree = serde_json::to_value(report)?;
    ["drives", "pool"].into_iter().try_for_each(|part| tree::print(out, 0, part, &tree[part]))?;
    verified(out, report)
}

/// Prints the findings, and what was examined.
///
/// # Errors
/// The output cannot be written.
pub fn verdict(out: &mut impl Write, report: &Report) -> io::Result<()> {
    findings(out, &report.findings)?;
    let drives = report.drives.iter().filter(|drive| drive.drive.is_some()).count();
    let (mut containers, mut objects) = (0, 0);
    if let Some(pool) = &report.pool {
        (containers, objects) = (pool.containers.len(), pool.objects.len());
    }
    writeln!(out, "\nLooked at {drives} drives, {containers} metadata containers and {objects} objects.")?;
    verified(out, report)
}

fn verified(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let logs = report.verified_logs.as_ref().filter(|logs| !logs.is_empty());
    logs.map_or(Ok(()), |logs| tree::print(out, 0, "clients' logs, read to their ends", &serde_json::to_value(logs)?))
}

/// Prints the findings, errors first.
///
/// # Errors
/// The output cannot be written.
pub fn findings(out: &mut impl Write, findings: &Findings) -> io::Result<()> {
    match (findings.errors, findings.warnings) {
        (0, 0) => writeln!(out, "No errors, no warnings.")?,
        (errors, warnings) => writeln!(out, "{errors} ERRORS, {warnings} warnings.")?,
    }
    for finding in &findings.list {
        let word = match finding.severity {
            Severity::Error => "ERROR  ",
            Severity::Warning => "warning",
            Severity::Note => "note   ",
        };
        writeln!(out, "  {word}  {}: {}", finding.object, finding.text)?;
    }
    if findings.left_out() > 0 {
        writeln!(out, "  and {} more, which are not listed", findings.left_out())?;
    }
    Ok(())
}
