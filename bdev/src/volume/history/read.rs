// SPDX-License-Identifier: BSD-3-Clause

//! Reading sections for shards that found a hook.

use std::rc::Rc;

use engine::volume::store::{Chapter, ChapterReader};
use mpool::error::Result;

use super::shelf::Found;
use super::{History, Task};
use crate::spdk::tasks;

impl History {
    /// Reads a section, and answers with its bytes, or with an error if it cannot be read.
    pub fn read(self: &Rc<History>, number: u32, answer: impl FnOnce(core::result::Result<Vec<u8>, ()>) + 'static) {
        let found = self.shelf.borrow().find(number);
        match found {
            None => answer(Err(())),
            Some(Found::Here(bytes)) => answer(Ok(bytes.to_vec())),
            Some(Found::Stored(chapter, start, bytes)) => {
                let history = Rc::clone(self);
                tasks::spawn(async move {
                    let _task = Task::of(&history);
                    let read = history.read_stored(&chapter, start, bytes).await;
                    answer(read.map_err(|error| {
                        log::warn!("{}: a section of its index was not read: {error}", history.store.entry().name);
                    }));
                });
            }
        }
    }

    async fn read_stored(&self, chapter: &Chapter, start: u64, bytes: usize) -> Result<Vec<u8>> {
        self.reader(chapter)?.read(start, bytes).await
    }

    fn reader(&self, chapter: &Chapter) -> Result<Rc<ChapterReader>> {
        if let Some(reader) = self.shelf.borrow().reader(chapter) {
            return Ok(reader);
        }
        let reader = Rc::new(self.store.open_chapter(chapter)?);
        self.shelf.borrow_mut().keep_reader(chapter, &reader);
        Ok(reader)
    }
}
