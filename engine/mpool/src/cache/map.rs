// SPDX-License-Identifier: BSD-3-Clause

//! One cache map: its mblocks, and the pages of them that are in memory.
//!
//! Invariants: a page is resident, or being read, or neither. A map has one reference for each use: one from its
//! creation to its first attachment, one for each attachment, each read in flight and each pinned page.

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

/// How long the pages of a map stay in memory under pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Temperature {
    /// Evicted first.
    Cold = 0,
    /// Stays ten times as long as cold.
    Warm = 1,
    /// Stays a hundred times as long as cold.
    Hot = 2,
    /// Never evicted before the map is destroyed.
    Pinned = 3,
}

/// Receives the outcome of a read: the page, pinned, or the error. Dropped if the receiver should read the page itself.
pub type PageSender = oneshot::Sender<Result<PinnedPage>>;

/// A resident page.
#[derive(Debug)]
pub struct Page {
    pub buffer: Buffer,
    pub pins: Cell<u32>,
}

/// The state of a page that is not absent.
#[derive(Debug)]
pub enum Entry {
    /// In memory.
    Resident(Rc<Page>),
    /// Being read; the senders notify the waiting tasks.
    Reading(Vec<PageSender>),
}

/// An mblock of a map.
#[derive(Debug)]
pub struct Mblock {
    pub id: ObjectId,
    pub written_bytes: u64,
    pub accessed: Cell<Nanos>,
    pub pages: RefCell<BTreeMap<u32, Entry>>,
    /// When it expires: its key in the order of eviction. None: it has no resident page, or never expires.
    pub expires: Cell<Option<Nanos>>,
}

/// A cache map.
#[derive(Debug)]
pub struct Map {
    pub layout: Layout,
    pub temperature: Temperature,
    pub mblocks: Vec<Mblock>,
    pub references: Cell<usize>,
    pub attachments: Cell<usize>,
    /// It has had an attachment: the creation's reference is gone.
    pub attached_before: Cell<bool>,
    pub resident_pages: Cell<usize>,
    /// Its list of the reaper, and its key there.
    pub listed: Cell<Option<(usize, u64)>>,
    /// Dropped when the map is destroyed.
    pub awaiting_end: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Map {
    /// A map over mblocks of these written lengths, with one reference.
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

    /// True once the last attachment is gone: no new ones are possible, and the remaining uses end.
    pub fn is_dying(&self) -> bool {
        self.attached_before.get() && self.attachments.get() == 0
    }

    /// The name of the map in messages.
    pub fn subject(&self) -> String {
        format!("cache map at {:#x}", self.layout.offset())
    }
}
