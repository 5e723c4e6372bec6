//! interim
#![allow(missing_docs)]
use crate::units::*;
use crate::volume::Geometry;
use std::collections::HashMap;
#[derive(Debug)]
struct L {
    write: bool,
    holders: u32,
    prov: bool,
    limit: u8,
    leased: u8,
}
#[derive(Debug)]
pub struct PhysicalZone {
    g: Geometry,
    id: ShardId,
    counts: HashMap<u64, u8>,
    locks: HashMap<u64, L>,
    free: std::collections::VecDeque<u64>,
    total: u64,
}
#[derive(Debug)]
pub enum ReadLock {
    Granted { lease: u8 },
    Refused,
}
#[derive(Debug)]
pub enum PhysicalError {
    NotOurs { pbn: Pbn },
    Count { pbn: Pbn },
}
impl PhysicalError {
    pub fn object(&self) -> (Pbn, &'static str) {
        match self {
            PhysicalError::NotOurs { pbn } | PhysicalError::Count { pbn } => (*pbn, "x"),
        }
    }
}
impl PhysicalZone {
    pub fn new(g: &Geometry, id: ShardId, _: usize) -> Self {
        let mut free = std::collections::VecDeque::new();
        for s in 0..g.slabs() {
            if g.shard_of_slab(s) == id {
                for i in 0..g.slab_blocks() {
                    free.push_back(g.slab_start(s).0 + i);
                }
            }
        }
        let total = free.len() as u64;
        PhysicalZone { g: *g, id, counts: HashMap::new(), locks: HashMap::new(), free, total }
    }
    pub fn allocate(&mut self) -> Result<Option<Pbn>, PhysicalError> {
        let Some(p) = self.free.pop_front() else { return Ok(None) };
        self.counts.insert(p, 255);
        assert!(self.locks.insert(p, L { write: true, holders: 1, prov: true, limit: 0, leased: 0 }).is_none());
        Ok(Some(Pbn(p)))
    }
    pub fn lock_for_read(&mut self, pbn: Pbn) -> Result<ReadLock, PhysicalError> {
        assert_eq!(self.g.physical_shard(pbn), Some(self.id));
        if let Some(l) = self.locks.get_mut(&pbn.0) {
            if l.write {
                return Ok(ReadLock::Refused);
            }
            let lease = l.limit - l.leased;
            if lease == 0 {
                return Ok(ReadLock::Refused);
            }
            l.leased = l.limit;
            l.holders += 1;
            return Ok(ReadLock::Granted { lease });
        }
        let c = self.counts.get(&pbn.0).copied().unwrap_or(0);
        if c >= 254 {
            return Ok(ReadLock::Refused);
        }
        let prov = c == 0;
        if prov {
            self.counts.insert(pbn.0, 255);
            self.free.retain(|&x| x != pbn.0);
        }
        let limit = 254 - c;
        self.locks.insert(pbn.0, L { write: false, holders: 1, prov, limit, leased: limit });
        Ok(ReadLock::Granted { lease: limit })
    }
    pub fn increment(&mut self, pbn: Pbn) -> Result<(), PhysicalError> {
        let l = self.locks.get_mut(&pbn.0).expect("locked");
        let c = self.counts.get_mut(&pbn.0).unwrap();
        if l.write {
            l.write = false;
            l.limit = 253;
            l.leased = 253;
        }
        match *c {
            255 => {
                *c = 1;
                l.prov = false;
            }
            254 | 0 => return Err(PhysicalError::Count { pbn }),
            _ => *c += 1,
        }
        Ok(())
    }
    pub fn decrement(&mut self, f: Pbn, n: u32) -> Result<(), PhysicalError> {
        for i in 0..n as u64 {
            let p = f.0 + i;
            let c = self.counts.get_mut(&p).unwrap();
            match *c {
                1 => {
                    if let Some(l) = self.locks.get_mut(&p) {
                        *c = 255;
                        l.prov = true;
                    } else {
                        *c = 0;
                        self.free.push_back(p);
                    }
                }
                0 | 255 => return Err(PhysicalError::Count { pbn: Pbn(p) }),
                _ => *c -= 1,
            }
        }
        Ok(())
    }
    pub fn release(&mut self, p: Pbn, unused: u8) -> Result<(), PhysicalError> {
        let l = self.locks.get_mut(&p.0).expect("locked");
        l.holders -= 1;
        l.leased = l.leased.saturating_sub(unused);
        if l.holders == 0 {
            let prov = l.prov;
            self.locks.remove(&p.0);
            if prov {
                self.counts.insert(p.0, 0);
                self.free.push_back(p.0);
            }
        }
        Ok(())
    }
    pub fn references(&self, p: Pbn) -> Option<u8> {
        (self.g.physical_shard(p) == Some(self.id)).then(|| self.counts.get(&p.0).copied().unwrap_or(0))
    }
    pub fn locks_in_use(&self) -> usize {
        self.locks.len()
    }
    pub fn free_blocks(&self) -> u64 {
        self.free.len() as u64
    }
    pub fn data_blocks(&self) -> u64 {
        self.total
    }
    pub fn slabs(&self) -> u64 {
        0
    }
    pub fn slabs_opened(&self) -> u64 {
        0
    }
    pub fn slabs_reopened(&self) -> u64 {
        0
    }
    pub fn audit(&self) -> Result<(), String> {
        Ok(())
    }
}
