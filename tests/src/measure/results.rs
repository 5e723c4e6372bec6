// SPDX-License-Identifier: BSD-3-Clause

//! All that a program has measured.

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::table::{table, Column};

/// Rows, and words about them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// What was measured on.
    pub head: Vec<String>,
    /// The rows.
    pub records: Vec<Record>,
    /// What stands below the tables.
    pub notes: Vec<String>,
    /// What failed.
    pub failures: Vec<String>,
}

impl Results {
    /// Adds what another process has measured on the same machine.
    pub fn add(&mut self, other: Results) {
        self.head = other.head;
        self.records.extend(other.records);
        self.notes.extend(other.notes);
        self.failures.extend(other.failures);
    }

    /// Everything for people.
    #[must_use]
    pub fn text(&self, tables: &[&[Column]]) -> String {
        let lines = |lines: &[String], before: &str| lines.iter().map(|line| format!("{before}{line}\n")).collect();
        let tables = tables.iter().map(|columns| table(columns, &self.records)).filter(|table| !table.is_empty());
        let (head, notes): (String, String) = (lines(&self.head, ""), lines(&self.notes, ""));
        head + &tables.collect::<Vec<_>>().join("\n") + &notes + &lines(&self.failures, "FAILED: ")
    }

    /// Prints everything, and writes the rows as JSON if there is a path for that. The program has failed if something has.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(&self, tables: &[&[Column]], json: Option<&Path>) -> Result<ExitCode, String> {
        print!("{}", self.text(tables));
        if let Some(path) = json {
            self.write(path).map_err(|error| format!("writing {}: {error}", path.display()))?;
        }
        Ok(if self.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(path, serde_json::to_string_pretty(&self.records)? + "\n")?;
        log::info!("results: {}", path.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::column;

    #[test]
    fn the_file_is_an_array_of_rows() {
        let dir = std::env::temp_dir().join(format!("measure-{}", std::process::id()));
        let mut results = Results::default();
        let one = Results { records: vec![Record::new("case", "a")], head: vec!["SPDK".into()], ..Results::default() };
        results.add(one);
        results.add(Results { failures: vec!["b".into()], head: vec!["SPDK".into()], ..Results::default() });
        results.write(&dir.join("rows.json")).expect("a directory for it is made");
        let text = fs::read_to_string(dir.join("rows.json")).expect("written");
        fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(serde_json::from_str::<Vec<Record>>(&text).ok(), Some(results.records.clone()));
        let shown = results.text(&[&[column("case", "case", 0)]]);
        assert_eq!(shown, "SPDK\n| case |\n|------|\n| a    |\nFAILED: b\n");
    }
}
