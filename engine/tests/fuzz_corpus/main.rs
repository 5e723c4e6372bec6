// SPDX-License-Identifier: BSD-3-Clause

//! The short run of the fuzz targets: every property over its corpus, and over changes of it that are the same in every
//! run. The long runs are cargo-fuzz's: see `fuzz/README.md`.

#[path = "../../../fuzz/properties/drive_descriptor.rs"]
mod drive_descriptor;
#[path = "../../../fuzz/properties/log_blocks.rs"]
mod log_blocks;
#[path = "../../../fuzz/properties/mdc_records.rs"]
mod mdc_records;
mod mutate;
mod seeds;
#[path = "../../../fuzz/properties/superblock.rs"]
mod superblock;

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use mutate::Mutator;

/// The corpus of a target.
fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The inputs of a corpus in the order of their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus_dir(target)).expect("the corpus is part of the repository");
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    let mut inputs: Vec<_> = paths
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a file of the corpus can be read"))
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has seeds");
    inputs
}

/// Runs a property over its corpus and `rounds` changes of it. A failure names what it ran on.
fn run(target: &str, rounds: u64, property: fn(&[u8])) {
    let guarded = |what: &dyn Fn() -> String, input: &[u8]| {
        if panic::catch_unwind(AssertUnwindSafe(|| property(input))).is_err() {
            let path = std::env::temp_dir().join(format!("fuzz-{target}"));
            let kept = fs::write(&path, input).map_or_else(|error| error.to_string(), |()| path.display().to_string());
            panic!("{target} fails on {} ({kept})", what());
        }
    };
    let seeds = corpus(target);
    for (name, input) in &seeds {
        guarded(&|| name.clone(), input);
    }
    let inputs: Vec<_> = seeds.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(1);
    for round in 0..rounds {
        let input = mutator.change(&inputs);
        guarded(&|| format!("change {round}"), &input);
    }
}

#[test]
fn superblocks_of_any_bytes() {
    run("superblock", 200_000, superblock::check);
}

#[test]
fn drive_descriptors_of_any_bytes() {
    run("drive_descriptor", 300_000, drive_descriptor::check);
}

#[test]
fn metadata_records_of_any_bytes() {
    run("mdc_records", 300_000, mdc_records::check);
}

#[test]
fn logs_of_any_bytes() {
    run("log_blocks", 200_000, log_blocks::check);
}

/// The corpus has what the seeds are made of; otherwise the short run would say little.
#[test]
fn the_corpus_has_all_seeds() {
    for (target, seeds) in seeds::all() {
        let corpus = corpus(target);
        for (name, seed) in seeds {
            assert!(corpus.iter().any(|(_, input)| *input == seed), "{target}/{name} is missing or old");
        }
    }
}

/// Writes the seeds: `cargo test -p engine --test fuzz_corpus -- --ignored`. To be run when a format has changed.
#[test]
#[ignore = "writes files of the repository"]
fn write_the_seeds() {
    for (target, seeds) in seeds::all() {
        let dir = corpus_dir(target);
        fs::create_dir_all(&dir).expect("the repository can be written");
        for (name, seed) in seeds {
            fs::write(dir.join(name), seed).expect("the repository can be written");
        }
    }
}
