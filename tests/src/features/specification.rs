// SPDX-License-Identifier: BSD-3-Clause

//! The lists of features that the tables are made of.

/// What rows are called: `vdo-1`, `mpool-1`.
pub const PREFIXES: [&str; 2] = ["vdo", "mpool"];

/// A list of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    /// What stands before the number of a row; one of [`PREFIXES`].
    pub prefix: &'static str,
    /// Heading of its table.
    pub title: &'static str,
    /// Its rows; row 1 is the first.
    pub rows: Vec<Row>,
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub feature: String,
    /// Why no test shows all of it; empty where one does.
    pub reason: String,
}

/// The project's specifications.
///
/// # Errors
/// A list is malformed.
pub(super) fn all() -> Result<[Specification; 2], String> {
    let [vdo, mpool] = PREFIXES;
    Ok([
        Specification::parse(vdo, "The engine", include_str!("../../features.txt"))?,
        Specification::parse(mpool, "The media pool", include_str!("../../features-mpool.txt"))?,
    ])
}

impl Specification {
    /// Reads a list: `number | feature | reason` a line; lines that begin with `#` are comments.
    ///
    /// # Errors
    /// A line is malformed, or the numbers are not 1, 2, 3, ...
    pub fn parse(prefix: &'static str, title: &'static str, text: &str) -> Result<Specification, String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut rows = Vec::new();
        for (line, number) in lines.zip(1..) {
            let mut parts = line.splitn(3, '|').map(str::trim);
            let mut part = || parts.next().unwrap_or_default().to_owned();
            let (found, feature, reason) = (part(), part(), part());
            if found.parse() != Ok(number) || feature.is_empty() {
                return Err(format!("list of the features of {prefix}: expected row {number}, found: {line}"));
            }
            rows.push(Row { number, feature, reason });
        }
        Ok(Specification { prefix, title, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole() {
        let counts = all().expect("well-formed").map(|specification| specification.rows.len());
        assert_eq!(counts, [118, 136]);
    }

    #[test]
    fn gaps_are_refused() {
        assert!(Specification::parse("vdo", "", "1 | one |\n3 | three |\n").is_err());
        assert!(Specification::parse("vdo", "", "1 | |\n").is_err());
    }
}
