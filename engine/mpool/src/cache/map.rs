// SPDX-License-Identifier: BSD-3-Clause

//! One cache map: its mblocks, and which of their pages are in memory.
//!
//! Invariants: a page is resident, or being read, or neither. A map has as many references as uses: one from its birth
//! to its first attachment, one for each attachment, each read under way and each pinned page.

use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::channel::oneshot;

use super::address::Layout;
use super::frames::Buffer;
use super::page_cache::PinnedPage;
use crate::error::Result;
use crate::ids::ObjectId;
use crate::units::Nanos;

/// How long the pages of a map are to stay in memory when there is little of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Temperature {
    /// Evicted first.
    Cold = 0,
    /// Ten times as long.
    Warm = 1,
    /// A hundred times as long.
    Hot = 2,
    /// As long as the map is there.
    Pinned = 3,
}

/// Hears what became of a read: the page, pinned; or why not. Dropped when the reader should try by itself.
pub type PageSender = oneshot::Sender<Result<PinnedPage>>;

/// A page in memory.
#[derive(Debug)]
pub struct Page {
    pub buffer: Buffer,
    pub pins: Cell<u32>,
}

/// What is known about a page that is not simply absent.
#[derive(Debug)]
pub enum Entry {
    /// In memory.
    Resident(Rc<Page>),
    /// Being read; these wait for it.
    Reading(Vec<PageSender>),
}

/// An mblock of a map.
#[derive(Debug)]
pub struct Mblock {
    pub id: ObjectId,
    pub written_bytes: u64,
    pub accessed: Cell<Nanos>,
    pub pages: RefCell<BTreeMap<u32, Entry>>,
    /// Key by which it is found for eviction: when it expires. None: it has no resident page, or never expires.
    pub expires: Cell<Option<Nanos>>,
}

/// A map.
#[derive(Debug)]
pub struct Map {
    pub layout: Layout,
    pub temperature: Temperature,
    pub mblocks: Vec<Mblock>,
    pub references: Cell<usize>,
    pub attachments: Cell<usize>,
    /// It has been attached to once: the birth reference is gone.
    pub attached_before: Cell<bool>,
    pub resident_pages: Cell<usize>,
    /// Its place in the reaper's lists: which, and its key there.
    pub listed: Cell<Option<(usize, u64)>>,
    /// Dropped when the map is destroyed.
    pub awaiting_end: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Map {
    /// A map with its birth reference, over mblocks of these written lengths.
    pub fn new(layout: Layout, temperature: Temperature, mblocks: &[(ObjectId, u64)], now: Nanos) -> Rc<Map> {
        let mblock = |&(id, written_bytes): &(ObjectId, u64)| Mblock {
            id,
            written_bytes,
            accessed: Cell::new(now),
            pages: RefCell::default(),
            expires: Cell::new(None),
        };
        Rc::new(Map {
            layout,
            temperature,
            mblocks: mblocks.iter().map(mblock).collect(),
            references: Cell::new(1),
            attachments: Cell::new(0),
            attached_before: Cell::new(false),
            resident_pages: Cell::new(0),
            listed: Cell::new(None),
            awaiting_end: RefCell::default(),
        })
    }

    /// True once the last attachment has gone: it takes no new ones, and what remains ends.
    pub fn is_dying(&self) -> bool {
        self.attached_before.get() && self.attachments.get() == 0
    }

    /// How messages call it.
    pub fn subject(&self) -> String {
        format!("cache map at {:#x}", self.layout.offset())
    }
}
