// SPDX-License-Identifier: BSD-3-Clause

//! What is wrong, odd or worth knowing about a pool.
//!
//! A hostile image can be wrong in as many places as it has bytes, so the number of texts kept is bounded; all findings
//! are counted.

use std::fmt::Display;

use serde::Serialize;

/// Findings of each severity whose texts are kept.
const MOST_KEPT: usize = 1000;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is broken: data is lost or in danger, or the pool does not activate as it is.
    Error,
    /// Something is not as it should be, and the next activation handles it; or something could not be checked.
    Warning,
    /// Something that explains the state.
    Note,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much the finding matters.
    pub severity: Severity,
    /// The object that the finding is about.
    pub object: String,
    /// What was found.
    pub text: String,
}

/// All findings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Number of errors, including those not in the list.
    pub errors: u64,
    /// Number of warnings, likewise.
    pub warnings: u64,
    /// Number of notes, likewise.
    pub notes: u64,
    /// Errors first, then warnings, then notes; each in the order of discovery.
    pub list: Vec<Finding>,
}

impl Findings {
    /// Adds an error: something is broken.
    pub fn error(&mut self, object: &(impl Display + ?Sized), text: impl Into<String>) {
        self.add(Severity::Error, object.to_string(), text.into());
    }

    /// Adds a warning: something is not as it should be.
    pub fn warning(&mut self, object: &(impl Display + ?Sized), text: impl Into<String>) {
        self.add(Severity::Warning, object.to_string(), text.into());
    }

    /// Adds a note.
    pub fn note(&mut self, object: &(impl Display + ?Sized), text: impl Into<String>) {
        self.add(Severity::Note, object.to_string(), text.into());
    }

    fn add(&mut self, severity: Severity, object: String, text: String) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        };
        *count += 1;
        if *count <= MOST_KEPT as u64 {
            let place = self.list.partition_point(|finding| finding.severity <= severity);
            self.list.insert(place, Finding { severity, object, text });
        }
    }

    /// Findings that are counted but not in the list.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        (self.errors + self.warnings + self.notes).saturating_sub(self.list.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_first() {
        let mut findings = Findings::default();
        findings.note("a", "1");
        findings.error("b", "2");
        findings.warning("c", "3");
        findings.error("d", "4");
        let order: Vec<_> = findings.list.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(order, ["2", "4", "3", "1"]);
        assert_eq!((findings.errors, findings.warnings, findings.notes), (2, 1, 1));
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut findings = Findings::default();
        for number in 0..5000 {
            findings.error(&number, "broken");
        }
        findings.warning("last", "odd");
        assert_eq!((findings.errors, findings.list.len(), findings.left_out()), (5000, MOST_KEPT + 1, 4000));
        assert_eq!(findings.list.last().map(|finding| finding.object.as_str()), Some("last"));
    }
}
