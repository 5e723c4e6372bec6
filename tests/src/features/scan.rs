// SPDX-License-Identifier: BSD-3-Clause

//! Finds, in a Rust source, the tests that name feature rows. Line by line: rustfmt's layout is enough of a grammar.

/// How much of a row a test shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// All of it.
    Whole,
    /// All that is left of it where this project differs from the specification.
    Adapted,
    /// Some of it.
    Partly,
}

/// A test that names a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The row's number.
    pub row: u32,
    /// How much of it.
    pub extent: Extent,
    /// The source file.
    pub file: String,
    /// The test function.
    pub test: String,
}

/// The claims of one source file.
#[must_use]
pub fn scan_file(file: &str, text: &str) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut named = Vec::new();
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            named.extend(rows_of(doc.trim()));
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]");
            is_ignored |= line.starts_with("#[ignore");
        } else if let Some(test) = function_name(line) {
            if is_test && !is_ignored {
                claims.extend(named.iter().map(|&(row, extent)| Claim {
                    row,
                    extent,
                    file: file.to_owned(),
                    test: test.to_owned(),
                }));
            }
            (is_test, is_ignored) = (false, false);
            named.clear();
        } else if !line.starts_with("//") {
            (is_test, is_ignored) = (false, false);
            named.clear();
        }
    }
    claims
}

/// `vdo-39, vdo-40: text` names two rows; text alone none.
fn rows_of(doc: &str) -> Vec<(u32, Extent)> {
    let Some((head, _)) = doc.split_once(':').filter(|_| doc.starts_with("vdo-")) else {
        return Vec::new();
    };
    let words: Vec<_> = head.split([',', ' ']).filter(|word| !word.is_empty()).collect();
    let extent = if words.contains(&"partly") {
        Extent::Partly
    } else if words.contains(&"adapted") {
        Extent::Adapted
    } else {
        Extent::Whole
    };
    let number = |word: &&str| word.strip_prefix("vdo-")?.parse().ok();
    words.iter().filter_map(number).map(|row| (row, extent)).collect()
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("fn ").or_else(|| line.strip_prefix("pub fn "))?;
    rest.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source as it is scanned, but with `//!` for `///`: this file is scanned too and must claim nothing.
    const SAMPLE: &str = "
        //! vdo-1, vdo-2: both.
        #[test]
        fn two() {}

        //! vdo-3, partly: half of it,
        //! vdo-4, adapted: and what is left.
        //! Not vdo-5: this is prose.
        #[test]
        #[should_panic(expected = \"x\")]
        fn some() {}

        //! vdo-6: not a test.
        fn helper() {}

        //! vdo-7: not run.
        #[test]
        #[ignore = \"slow\"]
        fn ignored() {}

        //! vdo-8: of something else.
        struct X;
        #[test]
        fn unnamed() {}
    ";

    #[test]
    fn only_tests_that_run_claim_rows() {
        let found: Vec<_> = scan_file("a.rs", &SAMPLE.replace("//!", "///"))
            .into_iter()
            .map(|claim| (claim.row, claim.extent, claim.test))
            .collect();
        let expected = [
            (1, Extent::Whole, "two"),
            (2, Extent::Whole, "two"),
            (3, Extent::Partly, "some"),
            (4, Extent::Adapted, "some"),
        ];
        assert_eq!(found, expected.map(|(row, extent, test)| (row, extent, test.to_owned())));
    }
}
