// SPDX-License-Identifier: BSD-3-Clause

//! No circles: a module uses only what stands above it in the lists of ARCHITECTURE.md, section "Layers".
//!
//! Each list begins with the crate's directory of sources and has a line for each layer. The modules of one layer do not know
//! one another. Read are `use` declarations and paths in the code, not its comments and tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{code, files, holds, root};

/// By the directory of a crate's sources: the modules of each layer, from the lowest on.
fn layers() -> BTreeMap<String, Vec<Vec<String>>> {
    let text = fs::read_to_string(root().join("engine/ARCHITECTURE.md")).expect("it is there");
    let section = text.split("\n## ").find(|section| section.starts_with("Layers")).expect("a section \"Layers\"");
    let mut crates: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut sources = String::new();
    for line in section.lines() {
        let names = || line.split('`').skip(1).step_by(2).map(str::to_owned);
        if line.starts_with("**`") {
            sources = names().next().expect("a directory between backquotes");
        } else if line.split_once(". ").is_some_and(|(number, _)| number.parse::<usize>().is_ok()) {
            crates.entry(sources.clone()).or_default().push(names().collect());
        }
    }
    crates
}

/// The modules at the top of a crate that a source names, each with the line.
fn named(path: &str, text: &str, reexports: &BTreeMap<String, String>) -> Vec<(usize, String)> {
    let depth = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    // A declaration may take several lines.
    let mut statement = String::new();
    for (number, line) in code(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
        statement.push_str(line.trim());
        let is_use = ["use ", "pub use ", "pub(crate) use "].iter().any(|start| statement.starts_with(start));
        if is_use && !statement.ends_with(';') {
            continue;
        }
        for prefix in ["crate::", &to_root] {
            for (at, _) in statement.match_indices(prefix) {
                let before = statement[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':' | '$')) {
                    continue;
                }
                let known = |name: &str| reexports.get(name).cloned().unwrap_or_else(|| name.to_owned());
                found.extend(heads(&statement[at + prefix.len()..]).map(|name| (number + 1, known(name))));
            }
        }
        statement.clear();
    }
    found
}

/// What a path begins with, or each of the paths in braces.
fn heads(rest: &str) -> impl Iterator<Item = &str> {
    let word = |text: &'_ str| text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let mut depth = 0;
    let paths = rest.strip_prefix('{').map_or(&rest[..word(rest)], |paths| {
        let end = paths.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0
        });
        &paths[..end.unwrap_or(paths.len())]
    });
    let mut depth = 0;
    let apart = paths.split(move |c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    apart.map(|path| path.trim().split("::").next().unwrap_or_default()).filter(|name| !name.is_empty())
}

/// What `lib.rs` calls by another path: the item, and the module that has it.
fn reexports(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("pub use ")) {
        let module = line.split("::").next().expect("a path").to_owned();
        let names = line.rsplit("::").next().expect("a path").trim_matches(['{', '}', ';', ' ']);
        for name in names.trim_end_matches("};").split(", ") {
            found.insert(name.trim_matches(['{', '}', ';', ' ']).to_owned(), module.clone());
        }
    }
    found
}

/// How the paths of sources begin that are built for tests alone.
fn test_modules(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources {
        let beside = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].into_iter().find_map(|end| name.strip_suffix(end));
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test")) {
            let module = pair[1].trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(module) = module.and_then(|module| module.strip_suffix(';')) {
                found.push(format!("{}/{module}", beside.expect("a source")));
            }
        }
    }
    found
}

#[test]
fn modules_know_only_the_layers_below() {
    let layers = layers();
    assert_eq!(layers.len(), 3, "the engine, the pool and the module: {:?}", layers.keys());
    let sources = files(&[".rs"]);
    let tests = test_modules(&sources);
    let mut wrong = Vec::new();
    for (directory, layers) in &layers {
        let rank: BTreeMap<&str, usize> =
            (0..).zip(layers).flat_map(|(n, l)| l.iter().map(move |m| (m.as_str(), n))).collect();
        let lib = fs::read_to_string(root().join(directory).join("lib.rs")).expect("a crate");
        let reexports = reexports(&lib);
        for (name, text) in &sources {
            let Some(path) = Path::new(name).strip_prefix(directory).ok().and_then(Path::to_str) else { continue };
            if path == "lib.rs" || tests.iter().any(|test| name.starts_with(test)) {
                continue;
            }
            let own = path.split('/').next().expect("a file").trim_end_matches(".rs");
            let Some(&here) = rank.get(own) else {
                wrong.push(format!("{name}: ARCHITECTURE.md gives {own} no layer"));
                continue;
            };
            for (line, module) in named(path, text, &reexports) {
                match rank.get(module.as_str()) {
                    _ if module == own => {}
                    Some(&there) if there < here => {}
                    Some(_) => wrong.push(format!("{name}:{line}: {own} may not know {module}")),
                    None => wrong.push(format!("{name}:{line}: ARCHITECTURE.md gives {module} no layer")),
                }
            }
        }
        for module in rank.keys() {
            let at = root().join(directory).join(module);
            if !at.is_dir() && !at.with_extension("rs").exists() {
                wrong.push(format!("engine/ARCHITECTURE.md: {directory} has no module {module}"));
            }
        }
    }
    holds(&wrong);
}

/// SPDK's edge is where memory is not Rust's to judge; everything else is safe.
#[test]
fn unsafe_code_has_its_rooms() {
    let mut wrong = Vec::new();
    for (name, text) in files(&[".rs"]).into_iter().filter(|(name, _)| name.starts_with("bdev/src/")) {
        // `load` is the benchmarks' load generator, and no part of the module.
        let rooms = ["spdk", "datapath", "load"];
        if rooms.iter().any(|room| name.starts_with(&format!("bdev/src/{room}/"))) {
            continue;
        }
        for (number, line) in code(&text) {
            if !line.trim_start().starts_with("//") && line.contains("unsafe") {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    holds(&wrong);
}

/// A source that no module declares is built by nobody.
#[test]
fn every_source_is_a_module() {
    let sources = files(&[".rs"]);
    let text_of: BTreeMap<&str, &str> = sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let by_path = |file: &str| {
        let end = format!("{file}\"]");
        sources.iter().any(|(_, text)| text.lines().any(|line| line.starts_with("#[path") && line.ends_with(&end)))
    };
    let mut wrong = Vec::new();
    for (name, _) in &sources {
        let (directory, file) = name.rsplit_once('/').expect("sources lie in directories");
        let is_root = matches!(file, "lib.rs" | "main.rs" | "build.rs") || directory.ends_with("src/bin");
        let is_cargos = ["tests/tests", "engine/tests", "inspect/tests", "fuzz/fuzz_targets"].contains(&directory);
        if is_root || is_cargos || directory.ends_with("/examples") {
            continue;
        }
        let (beside, module) = match file {
            "mod.rs" => directory.rsplit_once('/').expect("a directory in another"),
            _ => (directory, file.trim_end_matches(".rs")),
        };
        let declaration = format!("mod {module};");
        let parents = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].map(|end| format!("{beside}{end}"));
        let texts = parents.iter().filter_map(|parent| text_of.get(parent.as_str()));
        let is_declared = texts.flat_map(|text| text.lines()).any(|line| line.trim().ends_with(&declaration));
        if !is_declared && !by_path(file) {
            wrong.push(format!("{name}: no module declares it"));
        }
    }
    holds(&wrong);
}
