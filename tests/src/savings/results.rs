// SPDX-License-Identifier: BSD-3-Clause

//! What was measured, as a file.

use std::path::Path;

use serde_json::{json, Value};

use super::Outcome;

/// Rows in the order in which they were measured.
#[derive(Debug)]
pub struct Results {
    spdk: String,
    rows: Vec<Value>,
}

impl Results {
    /// No rows yet, on this version of SPDK.
    pub fn new(spdk: &str) -> Results {
        Results { spdk: spdk.to_owned(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Value) {
        self.rows.push(row);
    }

    /// Writes them as JSON.
    pub fn write(&self, path: &Path) -> Outcome<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, format!("{:#}\n", json!({"spdk": self.spdk, "rows": self.rows})))?;
        eprintln!("results: {}", path.display());
        Ok(())
    }
}
