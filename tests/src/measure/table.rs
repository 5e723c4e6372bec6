// SPDX-License-Identifier: BSD-3-Clause

//! Rows as a table: one that lines up on a terminal, and that Markdown understands.

use serde_json::Value;

use super::record::Record;

/// A column: which member of a row it shows, and how.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    key: &'static str,
    head: &'static str,
    /// What a figure is shown in.
    unit: f64,
    /// Digits behind the point.
    digits: usize,
}

/// The column of a member.
#[must_use]
pub const fn column(key: &'static str, head: &'static str, digits: usize) -> Column {
    Column { key, head, unit: 1.0, digits }
}

impl Column {
    /// The column with its figures in units of `unit`.
    #[must_use]
    pub const fn in_units_of(self, unit: f64) -> Column {
        Column { unit, ..self }
    }

    fn cell(&self, value: &Value) -> String {
        match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => {
                let figure = number.as_f64().unwrap_or(f64::NAN) / self.unit;
                format!("{figure:.*}", self.digits)
            }
            Value::Array(values) => values.iter().map(|value| self.cell(value)).collect::<Vec<_>>().join(" to "),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::Null | Value::Object(_) => "-".to_owned(),
        }
    }
}

/// The table of those rows that begin with the first column's member; nothing without such rows.
#[must_use]
pub fn table(columns: &[Column], records: &[Record]) -> String {
    let kind = columns.first().map_or("", |column| column.key);
    let cells = |record: &Record| columns.iter().map(|column| column.cell(record.get(column.key))).collect();
    let rows: Vec<Vec<String>> = records.iter().filter(|record| record.kind() == kind).map(cells).collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = columns.iter().map(|column| column.head.to_owned()).collect::<Vec<_>>();
    let width = |at: usize| rows.iter().chain([&head]).map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| match at {
            0 => format!("| {cell:<width$} "),
            _ => format!("| {cell:>width$} "),
        });
        padded.collect::<String>() + "|\n"
    };
    let rule = widths.iter().enumerate().map(|(at, &width)| {
        let dashes = "-".repeat(width + 1);
        if at == 0 {
            format!("|{dashes}-")
        } else {
            format!("|{dashes}:")
        }
    });
    let rule = rule.collect::<String>() + "|\n";
    line(&head) + &rule + &rows.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_line_up_in_their_units() {
        let columns =
            [column("case", "case", 0), column("iops", "kIOPS", 1).in_units_of(1e3), column("range", "from", 2)];
        let rows = [
            Record::new("case", "randread").with("iops", 12_345.0).with("range", [1.0, 2.5]),
            Record::new("other", "not here"),
            Record::new("case", "x").with("iops", None::<f64>),
        ];
        let shown = "\
| case     | kIOPS |         from |
|----------|------:|-------------:|
| randread |  12.3 | 1.00 to 2.50 |
| x        |     - |            - |
";
        assert_eq!(table(&columns, &rows), shown);
        assert_eq!(table(&columns, &rows[1..2]), "");
    }
}
