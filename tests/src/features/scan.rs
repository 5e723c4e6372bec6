// SPDX-License-Identifier: BSD-3-Clause

//! Finds, in a Rust source, the tests that name feature rows. Line by line: rustfmt's layout is enough of a grammar.

use super::specification::PREFIXES;

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
    /// The list that the row is in: one of [`PREFIXES`].
    pub prefix: &'static str,
    /// The row's number.
    pub row: u32,
    /// How much of it.
    pub extent: Extent,
    /// The source file.
    pub file: String,
    /// The test function.
    pub test: String,
}

/// What a doc line that names rows says.
type Named = (&'static str, u32, Extent);

/// The claims of one source file.
///
/// # Errors
/// A doc line of a test begins with a row's name, but is not of the form that counts.
pub fn scan_file(file: &str, text: &str) -> Result<Vec<Claim>, String> {
    let mut claims = Vec::new();
    let (mut named, mut unclear) = (Vec::new(), None);
    let (mut is_test, mut is_ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            match rows_of(doc.trim()) {
                Some(rows) => named.extend(rows),
                None => unclear = Some(line),
            }
            continue;
        }
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]");
            is_ignored |= line.starts_with("#[ignore");
            continue;
        }
        if let Some(test) = function_name(line).filter(|_| is_test && !is_ignored) {
            if let Some(line) = unclear {
                return Err(format!("{file}: {test}: expected 'row[, row...][, partly|adapted]: text', found: {line}"));
            }
            claims.extend(named.iter().map(|&(prefix, row, extent)| {
                let (file, test) = (file.to_owned(), test.to_owned());
                Claim { prefix, row, extent, file, test }
            }));
        } else if line.starts_with("//") {
            continue;
        }
        (is_test, is_ignored, unclear) = (false, false, None);
        named.clear();
    }
    Ok(claims)
}

/// `vdo-39, mpool-40: text` names two rows; text alone none. `None`: it begins with a row, but goes on in another form.
fn rows_of(doc: &str) -> Option<Vec<Named>> {
    if doc.split([',', ':', ' ']).next().and_then(row_name).is_none() {
        return Some(Vec::new());
    }
    let (head, _) = doc.split_once(':')?;
    let (mut rows, mut extent) = (Vec::new(), Extent::Whole);
    for word in head.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word {
            "partly" => extent = extent.max(Extent::Partly),
            "adapted" => extent = extent.max(Extent::Adapted),
            row => rows.push(row_name(row)?),
        }
    }
    Some(rows.into_iter().map(|(prefix, row)| (prefix, row, extent)).collect())
}

/// `mpool-40` is row 40 of the pool's list.
fn row_name(word: &str) -> Option<(&'static str, u32)> {
    let (prefix, number) = word.split_once('-')?;
    let known = PREFIXES.into_iter().find(|&known| known == prefix)?;
    Some((known, number.parse().ok()?))
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
        //! vdo-1, mpool-2: both.
        #[test]
        fn two() {}

        //! vdo-3, partly: half of it,
        //! mpool-4, adapted: and what is left.
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

        //! vdo-9 is prose, too, above what is no test.
        struct Y;
    ";

    #[test]
    fn only_tests_that_run_claim_rows() {
        let found: Vec<_> = scan_file("a.rs", &SAMPLE.replace("//!", "///"))
            .expect("well-formed")
            .into_iter()
            .map(|claim| (claim.prefix, claim.row, claim.extent, claim.test))
            .collect();
        let expected = [
            ("vdo", 1, Extent::Whole, "two"),
            ("mpool", 2, Extent::Whole, "two"),
            ("vdo", 3, Extent::Partly, "some"),
            ("mpool", 4, Extent::Adapted, "some"),
        ];
        assert_eq!(found, expected.map(|(prefix, row, extent, test)| (prefix, row, extent, test.to_owned())));
    }

    #[test]
    fn a_row_that_would_not_count_is_an_error() {
        for doc in ["mpool-7 (partly): x", "mpool-7, in part: x", "mpool-7, mpool-8,", "vdo-7 to 9: x"] {
            let error = scan_file("a.rs", &format!("/// {doc}\n#[test]\nfn t() {{}}\n")).expect_err(doc);
            assert!(error.contains("a.rs: t: expected") && error.ends_with(doc), "{error}");
        }
    }
}
