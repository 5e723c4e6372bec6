// SPDX-License-Identifier: BSD-3-Clause

//! Runs the program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::made::Made;

/// What a run has brought.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status; none after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs the program with these options on these images.
pub fn run(options: &[&str], images: &[&Path]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_mpool-inspect"))
        .args(options)
        .args(images)
        .output()
        .expect("the program was built");
    Outcome {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The same on a pool made by hand.
pub fn run_on(made: &Made, options: &[&str]) -> Outcome {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("drive");
    made.write(&path);
    run(options, &[&path])
}

/// The JSON document of a pool made by hand.
pub fn json_of(made: &Made, options: &[&str]) -> (Option<i32>, Value) {
    let options: Vec<_> = options.iter().copied().chain(["--json"]).collect();
    let outcome = run_on(made, &options);
    let document = serde_json::from_str(&outcome.out);
    (outcome.status, document.unwrap_or_else(|error| panic!("{error}: {}{}", outcome.out, outcome.err)))
}

/// The texts of all errors.
pub fn errors(document: &Value) -> Vec<String> {
    texts(document, "error")
}

/// The texts of all findings of a severity, each after its object.
pub fn texts(document: &Value, severity: &str) -> Vec<String> {
    let list = document["findings"]["list"].as_array().expect("a list of findings");
    let wanted = list.iter().filter(|finding| finding["severity"] == severity);
    let part = |finding: &Value, name: &str| finding[name].as_str().expect("a text").to_owned();
    wanted.map(|finding| format!("{}: {}", part(finding, "object"), part(finding, "text"))).collect()
}
