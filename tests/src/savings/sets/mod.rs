// SPDX-License-Identifier: BSD-3-Clause

//! The data: images that this machine makes once and keeps in the cache.

mod apt;
mod fio;
mod roots;
mod sources;

use std::path::{Path, PathBuf};

use spdk_sys_build::{Cache, SpdkTree};

use super::Outcome;

/// A kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SetKind {
    /// Debian root trees.
    Roots,
    /// Two versions of a source package.
    Sources,
    /// What fio makes up.
    Fio,
}

impl SetKind {
    /// All of them.
    pub const ALL: [SetKind; 3] = [SetKind::Roots, SetKind::Sources, SetKind::Fio];

    /// Its name on the command line and in the results.
    pub const fn name(self) -> &'static str {
        match self {
            SetKind::Roots => "roots",
            SetKind::Sources => "sources",
            SetKind::Fio => "fio",
        }
    }
}

/// Data to be written, image behind image.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Of which kind.
    pub kind: SetKind,
    /// What it is, for people.
    pub what: String,
    /// The images, each of whole blocks.
    pub images: Vec<PathBuf>,
}

/// A data set, made unless it is in the cache.
pub fn data_set(kind: SetKind, tree: &SpdkTree) -> Outcome<DataSet> {
    let cache = Cache::of_user()?.dir().join("savings");
    let dir = cache.join(kind.name());
    if let Some(set) = at_hand(kind, &dir) {
        return Ok(set);
    }
    std::fs::create_dir_all(&dir)?;
    let scratch = tempfile::Builder::new().prefix("making-").tempdir_in(&cache)?;
    let set = match kind {
        SetKind::Roots => roots::make(&cache, &dir, scratch.path())?,
        SetKind::Sources => sources::make(&dir, scratch.path(), tree)?,
        SetKind::Fio => fio::make(&dir, tree)?,
    };
    keep(&set, &dir)?;
    Ok(set)
}

fn record(dir: &Path) -> PathBuf {
    dir.join("set")
}

/// Written last: a set without it is not whole. First line: what it is; then each image's file name and size.
fn keep(set: &DataSet, dir: &Path) -> Outcome<()> {
    let mut text = format!("{}\n", set.what);
    for image in &set.images {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{name} {}\n", std::fs::metadata(image)?.len()));
    }
    std::fs::write(record(dir), text)?;
    Ok(())
}

fn at_hand(kind: SetKind, dir: &Path) -> Option<DataSet> {
    let text = std::fs::read_to_string(record(dir)).ok()?;
    let (what, lines) = text.split_once('\n')?;
    let mut images = Vec::new();
    for line in lines.lines() {
        let (name, bytes) = line.rsplit_once(' ')?;
        let path = dir.join(name);
        if std::fs::metadata(&path).ok()?.len() != bytes.parse::<u64>().ok()? {
            return None;
        }
        images.push(path);
    }
    (!images.is_empty()).then(|| DataSet { kind, what: what.to_owned(), images })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_at_hand_when_all_of_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(at_hand(SetKind::Fio, dir.path()).is_none());
        let images = ["one", "two"].map(|name| dir.path().join(name)).to_vec();
        images.iter().for_each(|image| std::fs::write(image, [7; 4096]).expect("write"));
        keep(&DataSet { kind: SetKind::Fio, what: "some data".to_owned(), images: images.clone() }, dir.path())
            .expect("kept");
        let found = at_hand(SetKind::Fio, dir.path()).expect("whole");
        assert_eq!((found.what.as_str(), &found.images), ("some data", &images));
        std::fs::write(&images[1], [7; 100]).expect("write");
        assert!(at_hand(SetKind::Fio, dir.path()).is_none());
    }
}
