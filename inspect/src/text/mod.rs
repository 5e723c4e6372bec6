// SPDX-License-Identifier: BSD-3-Clause

//! The output for people: errors first, columns aligned, units with every number.

mod dump;
mod pool;
mod superblocks;
mod table;

use std::io::{self, Write};

use crate::findings::{Findings, Severity};
use crate::report::Report;
use crate::shown;

pub use dump::dump;

use table::Table;

/// Prints the whole report.
///
/// # Errors
/// The output cannot be written.
pub fn report(out: &mut impl Write, report: &Report) -> io::Result<()> {
    findings(out, &report.findings)?;
    for drive in &report.drives {
        superblocks::drive(out, drive)?;
    }
    if let Some(pool) = &report.pool {
        pool::pool(out, pool)?;
    }
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
    let Some(logs) = report.verified_logs.as_ref().filter(|logs| !logs.is_empty()) else { return Ok(()) };
    writeln!(out, "\nCLIENTS' LOGS, READ TO THEIR ENDS")?;
    let mut table = Table::new(["id", "generation", "blocks used", "of", "state"]);
    for log in logs {
        let fault = log.fault.as_ref().map_or(String::new(), |fault| format!(": {fault}"));
        table.row([
            shown::id(log.id),
            log.generation.to_string(),
            log.used_blocks.to_string(),
            log.blocks.to_string(),
            format!("{}{fault}", log.state),
        ]);
    }
    table.print(out)
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
