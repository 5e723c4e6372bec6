// SPDX-License-Identifier: BSD-3-Clause

//! The file under a base bdev: blocks are found in it by their content, and changed behind the target's back.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::json;
use tests::target::{Rig, Server};

use crate::blocks::{Bytes, BLOCK};
use crate::fixture::MIB;

/// A file that a target uses as the base bdev `Base`.
#[derive(Debug)]
pub struct BaseFile {
    path: PathBuf,
    file: File,
}

impl BaseFile {
    /// A file of so many MiB, without content.
    pub fn new(rig: &Rig, mib: u64) -> BaseFile {
        let path = rig.path("Base.img");
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).expect("a file");
        file.set_len(mib * MIB).expect("a sparse file");
        BaseFile { path, file }
    }

    /// Makes it the bdev `Base` of a target.
    pub fn attach(&self, server: &Server) {
        let base = json!({"name": "Base", "filename": self.path, "block_size": 4096});
        server.call("bdev_aio_create", base).expect("a base on a file");
    }

    /// All bytes.
    pub fn image(&self) -> Bytes {
        std::fs::read(&self.path).expect("readable")
    }

    /// Where each of these contents is stored, the first place of each.
    pub fn find<'a>(&self, contents: impl IntoIterator<Item = &'a Bytes>) -> Vec<Option<u64>> {
        let image = self.image();
        let mut places = HashMap::new();
        for (block, at) in image.chunks_exact(BLOCK).zip((0..).step_by(BLOCK)) {
            places.entry(block).or_insert(at);
        }
        contents.into_iter().map(|content| places.get(content.as_slice()).copied()).collect()
    }

    /// What is stored at a place.
    pub fn block(&self, at: u64) -> Bytes {
        let mut bytes = vec![0; BLOCK];
        self.file.read_exact_at(&mut bytes, at).expect("inside the file");
        bytes
    }

    /// Stores other bytes at a place. They are on the medium then, where direct reads find them.
    pub fn put(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).expect("inside the file");
        self.file.sync_data().expect("written");
    }
}
