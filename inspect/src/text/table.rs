// SPDX-License-Identifier: BSD-3-Clause

//! Aligned columns: numbers right-aligned, words left-aligned.

use std::io::{self, Write};

/// A table of `N` columns.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(super) fn new(headings: [&str; N]) -> Table<N> {
        Table { rows: vec![headings.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Prints the table, with two spaces at the margin and between columns.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(width);
        let right: [bool; N] = std::array::from_fn(|column| self.is_numeric(column));
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(widths).zip(right) {
                let padded = if right { format!("  {cell:>width$}") } else { format!("  {cell:<width$}") };
                line.push_str(&padded);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Whether all cells below the heading begin with a digit, or are empty or a dash.
    fn is_numeric(&self, column: usize) -> bool {
        let numeric =
            |cell: &str| cell.is_empty() || cell == "-" || cell.starts_with(|first: char| first.is_ascii_digit());
        self.rows.len() > 1
            && self.rows.iter().skip(1).all(|row| numeric(&row[column]) && !row[column].starts_with("0x"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["id", "bytes", "name"]);
        table.row(["0x1".to_owned(), "5".to_owned(), "one".to_owned()]);
        table.row(["0x1001".to_owned(), "1234567".to_owned(), "two".to_owned()]);
        let mut out = Vec::new();
        table.print(&mut out).expect("memory takes everything");
        let expected = "  id        bytes  name\n  0x1           5  one\n  0x1001  1234567  two\n";
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
    }
}
