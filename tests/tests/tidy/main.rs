// SPDX-License-Identifier: BSD-3-Clause

//! What holds for the sources themselves: files and functions that one can hold in mind, plain text, no reference to what
//! is not here, and documents that say what the code says.

mod layers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a file, without its tests.
const FILE_LINES: usize = 600;

/// Lines of a function.
const FUNCTION_LINES: usize = 70;

/// Papers that the project began with, and that are not in the repository.
const ABSENT: [&str; 7] = ["vdo", "mpool", "architecture", "house", "speed", "anchors", "spdk-rust"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the repository with one of these endings, and their texts.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().expect("git runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names are UTF-8");
    let wanted = |name: &&str| endings.iter().any(|ending| name.ends_with(ending)) && root().join(name).exists();
    let read = |name: &str| (name.to_owned(), fs::read_to_string(root().join(name)).expect("a text"));
    let files: Vec<_> = names.split_terminator('\0').filter(wanted).map(read).collect();
    assert!(!files.is_empty(), "no file ends with {endings:?}");
    files
}

/// The lines of a source without its tests: those that stand in it are its last module.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let of_tests = |line: &str| line.trim_start_matches("pub(crate) ").starts_with("mod ") && line.ends_with('{');
    let lines: Vec<&str> = text.lines().collect();
    let tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && of_tests(pair[1]);
    let end = lines.windows(2).position(tests).unwrap_or(lines.len());
    lines.into_iter().take(end).enumerate()
}

fn is_test(name: &str) -> bool {
    name.strip_prefix("tests/src/").unwrap_or(name).contains("test")
}

fn holds(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let lines = |text: &str| code(text).count();
    let long = files(&[".rs"]).into_iter().filter(|(name, _)| !is_test(name)).map(|(name, text)| (name, lines(&text)));
    let wrong = long.filter(|(_, lines)| *lines > FILE_LINES).map(|(name, lines)| format!("{name}: {lines} lines"));
    holds(&wrong.collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for (name, text) in files(&[".rs"]).into_iter().filter(|(name, _)| !is_test(name)) {
        // rustfmt closes a function at the indentation at which it begins.
        let mut open: Option<(usize, usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = line.trim_start().split("fn ").next().is_some_and(|before| {
                line.contains("fn ")
                    && before.split_whitespace().all(|word| word.starts_with("pub") || is_keyword(word))
            });
            match open {
                Some((begin, at, head)) if indent == at && line.trim_start() == "}" => {
                    if number - begin >= FUNCTION_LINES {
                        wrong.push(format!("{name}:{}: {} lines: {head}", begin + 1, number - begin + 1));
                    }
                    open = None;
                }
                None if starts && !line.ends_with([';', '}']) => open = Some((number, indent, line.trim())),
                _ => {}
            }
        }
    }
    holds(&wrong);
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "const" | "async" | "unsafe" | "extern" | "\"C\"" | "in" | "super)" | "crate)")
}

#[test]
fn sources_are_ascii() {
    let mut wrong = Vec::new();
    for (name, text) in files(&[".rs", ".py", ".md", ".toml", ".sh"]) {
        let odd = text.lines().enumerate().filter(|(_, line)| !line.is_ascii());
        wrong.extend(odd.map(|(number, line)| format!("{name}:{}: {line}", number + 1)));
    }
    holds(&wrong);
}

/// Whoever reads a comment has nothing but this repository.
#[test]
fn nothing_cites_what_is_not_here() {
    let mut wrong = Vec::new();
    for (name, text) in files(&[".rs", ".py", ".md", ".toml", ".txt"]) {
        for (number, line) in text.lines().enumerate() {
            let cites = |paper: &&str| line.contains(&format!("{paper}.md"));
            if ABSENT.iter().any(cites) {
                wrong.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    holds(&wrong);
}

/// A test that no command runs fails for nobody.
#[test]
fn every_test_is_run_by_make() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("it is there");
    let mut wrong = Vec::new();
    for (name, _) in files(&[".rs"]) {
        let target = match *name.split('/').collect::<Vec<_>>() {
            [_, "tests", directory, "main.rs"] => Some(directory),
            [_, "tests", file] => file.strip_suffix(".rs"),
            _ => None,
        };
        if let Some(target) = target.filter(|target| !makefile.split_whitespace().any(|word| word == *target)) {
            wrong.push(format!("{name}: the Makefile does not name {target}"));
        }
    }
    holds(&wrong);
}

/// A newcomer reads it to the end.
#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("it is there");
    assert!(text.lines().count() <= 150, "{} lines", text.lines().count());
}

/// A source or directory named in a document is there.
#[test]
fn documents_name_files_that_exist() {
    let mut wrong = Vec::new();
    for (name, text) in files(&[".md"]) {
        let place = root().join(&name);
        let beside = place.parent().expect("a file lies in a directory");
        for (number, line) in text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs") && !word.contains(' ')) {
                let bases = [beside.to_owned(), beside.join("src"), root()];
                if !bases.iter().any(|base| base.join(path).exists()) {
                    wrong.push(format!("{name}:{}: {path} is not there", number + 1));
                }
            }
        }
    }
    holds(&wrong);
}

/// The pictures in FORMAT.md are those in the modules that it names above them.
#[test]
fn pictures_of_formats_are_those_of_the_code() {
    let text = fs::read_to_string(root().join("engine/FORMAT.md")).expect("it is there");
    let (mut source, mut drawing, mut pictures) = (String::new(), false, 0);
    for (number, line) in text.lines().enumerate() {
        let path = line.strip_prefix('`').and_then(|line| line.strip_suffix('`')).filter(|path| path.ends_with(".rs"));
        if let Some(path) = path {
            source = fs::read_to_string(root().join("engine").join(path)).expect("a module");
        } else if line.starts_with("```") {
            drawing = !drawing;
            pictures += usize::from(drawing);
        } else if drawing {
            let drawn = source.lines().any(|doc| doc.strip_prefix("//!").is_some_and(|doc| doc.trim() == line.trim()));
            assert!(drawn, "engine/FORMAT.md:{}: the code does not have: {line}", number + 1);
        }
    }
    assert!(pictures > 20, "{pictures} pictures");
}
