// SPDX-License-Identifier: BSD-3-Clause

//! Any part of the report as text: members side by side, lists of like things as tables, everything else indented.
//!
//! The tree is what `--json` prints, so both have the same. Text from media is escaped here, wherever it comes from.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::shown;

/// Columns that a line of members has at most, if no member alone is longer.
const LINE: usize = 120;

/// Runs of a space map, and items of a list in a line, that are printed; `--json` has all.
const MOST_RUNS: usize = 200;
const MOST_ITEMS: usize = 8;

/// Prints a part of the report below its name.
///
/// # Errors
/// The output cannot be written.
pub(super) fn print(out: &mut impl Write, depth: usize, name: &str, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Object(members) => {
            heading(out, depth, name)?;
            print_members(out, depth + 1, members, None)
        }
        Value::Array(items) if items.is_empty() => Ok(()),
        Value::Array(items) => match items.iter().map(row).collect::<Option<Vec<_>>>() {
            Some(rows) => {
                heading(out, depth, &format!("{name} ({})", items.len()))?;
                table(out, depth + 1, &rows, if name == "runs" { MOST_RUNS } else { usize::MAX })
            }
            None => items.iter().enumerate().try_for_each(|(number, item)| {
                heading(out, depth, &format!("{name} {number}"))?;
                let first = items[0].as_object().filter(|_| number > 0);
                item.as_object().map_or(Ok(()), |members| print_members(out, depth + 1, members, first))
            }),
        },
        _ => writeln!(out, "{:width$}{name} {}", "", cell(name, value).unwrap_or_default(), width = 2 * depth),
    }
}

fn heading(out: &mut impl Write, depth: usize, name: &str) -> io::Result<()> {
    match depth {
        0 => writeln!(out, "\n{}", words(name).to_uppercase()),
        _ => writeln!(out, "{:width$}{}", "", words(name), width = 2 * depth),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Prints the members of an object; those that are as in the first of several like objects in a word.
fn print_members(
    out: &mut impl Write,
    depth: usize,
    members: &Map<String, Value>,
    first: Option<&Map<String, Value>>,
) -> io::Result<()> {
    let mut line = String::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let Some(text) = cell(name, value).filter(|text| !text.is_empty()) else { continue };
        let word = format!("{} {text}", words(name));
        if !line.is_empty() && line.len() + word.len() > LINE {
            writeln!(out, "{:width$}{line}", "", width = 2 * depth)?;
            line.clear();
        }
        line += if line.is_empty() { "" } else { ", " };
        line += word.trim_end();
    }
    if !line.is_empty() {
        writeln!(out, "{:width$}{line}", "", width = 2 * depth)?;
    }
    for (name, value) in members.iter().filter(|(name, value)| cell(name, value).is_none()) {
        match first.and_then(|first| first.get(name)) {
            Some(same) if same == value => {
                writeln!(out, "{:width$}{}: as in the first", "", words(name), width = 2 * depth)?;
            }
            _ => print(out, depth, name, value)?,
        }
    }
    Ok(())
}

/// What fits into a line: no objects in lists, nor in objects.
fn cell(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".to_owned()),
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(match (name, number.as_u64()) {
            ("mode", Some(mode)) => format!("{mode:o}"),
            ("flags" | "features", Some(bits)) => format!("{bits:#x}"),
            (name, Some(bytes)) if name.ends_with("bytes") => shown::bytes(bytes),
            _ => number.to_string(),
        }),
        Value::String(text) => Some(shown::text(text)),
        Value::Array(items) => {
            let shown: Option<Vec<_>> = items.iter().take(MOST_ITEMS).map(scalar).collect();
            let more = items.len().saturating_sub(MOST_ITEMS);
            let more = if more > 0 { format!(" and {more} more: see --json") } else { String::new() };
            Some(shown?.join(" ") + &more)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| Some(format!("{name} {}", scalar(value)?)));
            Some(members.collect::<Option<Vec<_>>>()?.join(", ")).filter(|text| text.len() <= LINE)
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Object(_) => None,
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => None,
        value => cell("", value),
    }
}

/// The members of an object that is to be a row, if it can be one.
fn row(item: &Value) -> Option<Vec<(&str, String)>> {
    let members = item.as_object()?.iter();
    members.map(|(name, value)| Some((name.as_str(), cell(name, value)?))).collect()
}

/// Prints rows with the names of the first one's members above them: numbers right-aligned, words left-aligned, columns
/// without anything left out.
fn table(out: &mut impl Write, depth: usize, rows: &[Vec<(&str, String)>], most: usize) -> io::Result<()> {
    let shown = &rows[..rows.len().min(most)];
    let columns = rows[0].iter().map(|(name, _)| *name);
    let get = |row: &'_ [(&str, String)], column: &str| {
        row.iter().find(|(name, _)| *name == column).map_or_else(String::new, |(_, text)| text.clone())
    };
    let mut lines = vec![String::new(); shown.len() + 1];
    for column in columns {
        let cells: Vec<String> = shown.iter().map(|row| get(row, column)).collect();
        if cells.iter().all(|cell| cell == "-" || cell.is_empty()) {
            continue;
        }
        let is_number = |cell: &String| {
            cell.is_empty() || cell.starts_with('-') || cell.starts_with(|first: char| first.is_ascii_digit())
        };
        let right = cells.iter().all(|cell| is_number(cell) && !cell.starts_with("0x"));
        let cells: Vec<String> = std::iter::once(words(column)).chain(cells).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(&cells) {
            *line += &if right { format!("  {cell:>width$}") } else { format!("  {cell:<width$}") };
        }
    }
    for line in lines {
        writeln!(out, "{:width$}{}", "", line.trim_end(), width = 2 * (depth - 1))?;
    }
    match rows.len() - shown.len() {
        0 => Ok(()),
        more => writeln!(out, "{:width$}and {more} more: see --json", "", width = 2 * depth),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(value: &Value) -> String {
        let mut out = Vec::new();
        print(&mut out, 0, "things", value).expect("memory takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn like_things_are_a_table() {
        let things = json!([
            {"id": "0x1", "zone_bytes": 65536, "none": null, "uses": {"free": 1, "slab": 2}},
            {"id": "0x1001", "zone_bytes": 512, "none": null, "uses": {}},
        ]);
        let expected = "
THINGS (2)
  id      zone bytes  uses
  0x1         64 KiB  free 1, slab 2
  0x1001       512 B
";
        assert_eq!(shown(&things), expected);
    }

    #[test]
    fn what_is_no_row_is_indented_and_not_repeated() {
        let part = json!([{"a": 1}, {"a": 2}]);
        let things =
            json!([{"name": "x\u{1b}", "ok": true, "parts": part}, {"name": "y", "none": null, "parts": part}]);
        let expected = "
THINGS 0
  name x\\u{1b}, ok yes
  parts (2)
    a
    1
    2

THINGS 1
  name y
  parts: as in the first
";
        assert_eq!(shown(&things), expected);
    }

    #[test]
    fn long_lists_are_cut() {
        let ids = json!({"ids": vec!["0x1"; 10], "pairs": [[1, 2]], "nothing": []});
        let expected = "\nTHINGS\n  ids 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1 and 2 more: see --json, pairs 1 2\n";
        assert_eq!(shown(&ids), expected);
    }
}
