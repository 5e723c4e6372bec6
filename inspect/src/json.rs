// SPDX-License-Identifier: BSD-3-Clause

//! The output as one JSON document. A dump is written while it is generated, so its length is not limited.

use std::cell::Cell;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use crate::dump::Item;
use crate::findings::Findings;
use crate::log::LogReport;
use crate::report::Report;

/// Prints the whole report.
///
/// # Errors
/// The output cannot be written.
pub fn report(mut out: impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)
}

/// Prints a dump.
///
/// # Errors
/// The output cannot be written.
pub fn dump(
    mut out: impl Write,
    findings: &Findings,
    log: &LogReport,
    items: impl Iterator<Item = Item>,
) -> io::Result<()> {
    let items = Streamed(Cell::new(Some(items)));
    serde_json::to_writer_pretty(&mut out, &Document { findings, log, items })?;
    writeln!(out)
}

#[derive(Serialize)]
#[serde(bound = "")]
struct Document<'a, I: Iterator<Item = Item>> {
    findings: &'a Findings,
    log: &'a LogReport,
    items: Streamed<I>,
}

/// An array that is generated while it is written.
struct Streamed<I>(Cell<Option<I>>);

impl<I: Iterator<Item = Item>> Serialize for Streamed<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}
