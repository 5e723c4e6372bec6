// SPDX-License-Identifier: BSD-3-Clause

//! `FEATURES.md`: which features of the specifications are shown by which test: those of dm-vdo's engine and those of the media pool.
//!
//! A test says so in its doc lines: `/// vdo-37: an exhausted pool answers an error.` right above `#[test]`. Several
//! rows may stand before the colon; a word after a row (`mpool-97, partly: ...`) qualifies that line. Each table has
//! every row of its list, whether tested or not, so that it tells what is missing as well. Ignored tests do not
//! count.

mod scan;
mod specification;
mod table;

use std::path::{Path, PathBuf};

pub use scan::{scan_file, Claim, Extent};
pub use specification::{Row, Specification, PREFIXES};
pub use table::render;

/// Packages whose tests count, those that do not exist yet among them.
const PACKAGES: [&str; 6] = ["bdev", "engine", "fuzz", "inspect", "spdk-sys-build", "tests"];

/// Where the tables are.
#[must_use]
pub fn table_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("FEATURES.md")
}

/// The tables as they should be.
///
/// # Errors
/// A source file cannot be read, a list of rows is malformed, or a test names a row in a way that does not count.
pub fn table() -> Result<String, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = tests.parent().unwrap_or(tests);
    let specifications = specification::all()?;
    let mut claims = Vec::new();
    for name in PACKAGES {
        for path in source_files(&workspace.join(name))? {
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
            let shown = path.strip_prefix(workspace).unwrap_or(&path);
            claims.extend(scan_file(&shown.to_string_lossy(), &text)?);
        }
    }
    render(&specifications, &claims)
}

/// All Rust sources below a directory, in a fixed order; none if there is no such directory.
fn source_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        if !dir.is_dir() {
            continue;
        }
        let failed = |error| format!("reading {}: {error}", dir.display());
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
