// SPDX-License-Identifier: BSD-3-Clause

//! The files that are generated from the table of methods, and the test that they are up to date.
//!
//! `make rpc` writes them. In files that have the two marks, the hand-written parts outside the marks stay.

mod bash;
mod markdown;
mod python;
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::method::Method;
use super::{pools, volumes};
use crate::params::{listed, Absent, Kind, Param};

/// If this variable is set the files are written, else only compared.
const WRITE: &str = "WRITE_RPC_FILES";

/// The first words of a file that is generated as a whole.
const NOTICE: &str = "Made by `make rpc` of the table of methods in bdev/src/rpc: change that.";

/// Each file, relative to the repository's root, and its content.
fn files() -> [(&'static str, String); 5] {
    [
        ("bdev/python/dedupe_rpc.py", python::dedupe()),
        ("bdev/python/mpool_rpc.py", python::mpool()),
        ("bdev/python/rpc-completion.bash", bash::completion()),
        ("bdev/schema/schema.yaml", schema::fragment()),
        ("doc/rpc.md", markdown::reference(&fs::read_to_string(path("doc/rpc.md")).expect("it is there"))),
    ]
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

#[test]
fn what_is_generated_is_up_to_date() {
    for (file, wanted) in files() {
        if env::var_os(WRITE).is_some() {
            fs::write(path(file), &wanted).expect("written");
        }
        let found = fs::read_to_string(path(file)).unwrap_or_default();
        let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
        assert!(found == wanted, "{file} is out of date: run `make rpc`; the first difference: {differs:?}");
    }
}

/// The generated files work only if this holds.
#[test]
fn the_table_makes_sense() {
    for method in methods() {
        let (name, params) = (method.name, (method.params)());
        assert!(name.starts_with("bdev_dedupe_") || name.starts_with("mpool_"), "{name}");
        for (index, param) in params.iter().enumerate() {
            assert!(!param.help.is_empty(), "{name}: {} has no help text", param.name);
            assert!(param.letter != Some('h'), "{name}: {} takes the letter of help", param.name);
            for other in &params[..index] {
                assert!(other.name != param.name, "{name} has two parameters {}", param.name);
                let is_free = param.letter.is_none() || other.letter != param.letter;
                assert!(is_free, "{name}: {} and {} have one letter", other.name, param.name);
            }
        }
    }
}

/// All methods.
fn methods() -> impl Iterator<Item = &'static Method> {
    [volumes::METHODS, pools::METHODS].into_iter().flatten()
}

/// The methods whose names start with `prefix`.
fn family(prefix: &str) -> impl Iterator<Item = &'static Method> + '_ {
    methods().filter(move |method| method.name.starts_with(prefix))
}

/// The groups of parameters that several methods share.
fn groups() -> BTreeMap<&'static str, Vec<Param>> {
    let mut groups = BTreeMap::<_, Vec<Param>>::new();
    for param in methods().flat_map(|method| (method.params)()).filter(|param| !param.group.is_empty()) {
        let members = groups.entry(param.group).or_default();
        if members.iter().all(|known| known.name != param.name) {
            members.push(param);
        }
    }
    groups
}

/// The paragraphs of a doc comment.
fn paragraphs(doc: &[&str]) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in doc.iter().map(|line| line.trim()) {
        match paragraphs.last_mut() {
            Some(last) if !line.is_empty() => {
                last.push_str(if last.is_empty() { "" } else { " " });
                last.push_str(line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs
}

/// A method's or parameter's description in one line.
fn summary(doc: &[&str]) -> String {
    paragraphs(doc).swap_remove(0)
}

/// A sentence without its full stop and without Markdown.
fn plain(sentence: &str) -> String {
    sentence.strip_suffix('.').unwrap_or(sentence).replace('`', "")
}

/// The values that a parameter may have, where its name and help text do not say.
fn values(kind: Kind) -> Option<String> {
    let with = |unit: &str| if unit.is_empty() { String::new() } else { format!(" {unit}") };
    match kind {
        Kind::Text(_) | Kind::Uuid | Kind::Cores | Kind::Octal | Kind::Flag | Kind::Switch => None,
        Kind::Number { least: 0, most: u64::MAX, .. } => None,
        Kind::Number { least, most: u64::MAX, unit } => Some(format!("from {least}{}", with(unit))),
        Kind::Number { least, most, unit } => Some(format!("{least} to {most}{}", with(unit))),
        Kind::PowerOfTwoMib { least, most } => Some(format!("a power of two from {least} to {most} MiB")),
        Kind::OneOf(names) => Some(listed(names, "or")),
        Kind::OneOfNumbers(numbers) => Some(listed(numbers, "or")),
    }
}

/// What happens without the parameter.
fn default(param: &Param) -> Option<String> {
    match param.absent {
        Absent::Nothing => None,
        Absent::Words(words) => Some(words.to_owned()),
        Absent::Number(number) => Some(number.to_string()),
        Absent::Bool(_) if param.kind == Kind::Flag => None,
        Absent::Bool(value) => Some(value.to_string()),
    }
}

/// The help text of a parameter for a command line.
fn option_help(param: &Param) -> String {
    let on_off = |text: String| match (param.kind, text.as_str()) {
        (Kind::Switch, "true") => "on".to_owned(),
        (Kind::Switch, "false") => "off".to_owned(),
        _ => text,
    };
    let default = default(param).map(|default| format!("default: {}", on_off(default)));
    let values = match param.kind {
        Kind::Switch => Some("on or off".to_owned()),
        // argparse itself shows the choices.
        Kind::OneOf(_) => None,
        kind => values(kind),
    };
    let more: Vec<_> = values.into_iter().chain(default).collect();
    let text = plain(&summary(param.help));
    if more.is_empty() {
        text
    } else {
        plain(&format!("{text} ({})", more.join("; ")))
    }
}

/// The options of `rpc.py` for a parameter; none for a positional one.
fn options(param: &Param) -> Vec<String> {
    if param.required && param.letter.is_none() {
        return Vec::new();
    }
    let short = param.letter.map(|letter| format!("-{letter}"));
    short.into_iter().chain([format!("--{}", param.name.replace('_', "-"))]).collect()
}
