// SPDX-License-Identifier: BSD-3-Clause

//! The oracle: what each logical block may contain.
//!
//! For each block the model keeps the writes that may be its content. A write is *current* for a sector from its start
//! until a write that started after its end has succeeded. A read may return, for each sector, any write that was current
//! at some time during the read; the engine changes a block in one step, so sectors with the same choice must show the
//! same write. A failed write may or may not have happened; a read that met no write settles which.
//!
//! Times are numbers of events, so no two are equal.

use std::collections::HashMap;

use engine::request::Operation;
use engine::Lbn;

use super::content::{Token, Tokens, SECTORS};

const NEVER: u32 = u32::MAX;

/// A set of a block's sectors: bit n is sector n.
pub type SectorMask = u8;

/// All sectors of a block.
pub const ALL_SECTORS: SectorMask = u8::MAX;

/// What kind of write it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None: the block was never written.
    Initial,
    /// The operation of a client.
    By(Operation),
}

#[derive(Debug, Clone)]
struct Candidate {
    /// When it started; its name, as no two events have one time.
    start: u32,
    kind: Kind,
    end: u32,
    covers: SectorMask,
    tokens: Tokens,
    /// When a later write replaced it, by sector.
    death: [u32; SECTORS],
}

impl Candidate {
    fn is_current(&self) -> bool {
        self.end == NEVER || (0..SECTORS).any(|sector| self.covers >> sector & 1 == 1 && self.death[sector] == NEVER)
    }

    fn possible(&self, sector: usize, since: u32) -> bool {
        self.covers >> sector & 1 == 1 && self.death[sector] >= since
    }
}

#[derive(Debug, Clone, Default)]
struct BlockModel {
    /// Empty for a block that was never written.
    candidates: Vec<Candidate>,
    readers: u32,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done,
    /// Nobody knows whether it happened.
    Unknown,
    /// It did not happen.
    NotDone,
}

/// The model of a volume.
#[derive(Debug, Clone)]
pub struct Model {
    blocks: Vec<BlockModel>,
    /// How often each token was written.
    written: HashMap<Token, u32>,
    /// What a read saw of a write that failed is not what a later one may see.
    fickle: bool,
}

fn sectors(mask: SectorMask) -> impl Iterator<Item = usize> {
    (0..SECTORS).filter(move |sector| mask >> sector & 1 == 1)
}

impl Model {
    /// A volume of `logical` blocks, never written.
    #[must_use]
    pub fn new(logical: u64) -> Model {
        Model { blocks: vec![BlockModel::default(); logical as usize], written: HashMap::new(), fickle: false }
    }

    fn block(&mut self, lbn: Lbn) -> &mut BlockModel {
        &mut self.blocks[lbn.0 as usize]
    }

    /// A write (or unmap) starts at time `start`; `tokens` counts where `covers` says so.
    pub fn write_starts(&mut self, lbn: Lbn, start: u32, kind: Kind, covers: SectorMask, tokens: &Tokens) {
        for sector in sectors(covers) {
            *self.written.entry(tokens[sector]).or_default() += 1;
        }
        let block = self.block(lbn);
        if block.candidates.is_empty() {
            block.candidates.push(Candidate {
                start: 0,
                kind: Kind::Initial,
                end: 0,
                covers: ALL_SECTORS,
                tokens: [0; SECTORS],
                death: [NEVER; SECTORS],
            });
        }
        let death = [NEVER; SECTORS];
        block.candidates.push(Candidate { start, kind, end: NEVER, covers, tokens: *tokens, death });
    }

    /// What the write that started at `start` stores in `sectors` is known from now on. It could not be read before.
    pub fn write_takes(&mut self, lbn: Lbn, start: u32, mask: SectorMask, tokens: &Tokens) {
        let block = &mut self.blocks[lbn.0 as usize];
        let taker = block.candidates.iter_mut().find(|candidate| candidate.start == start && candidate.end == NEVER);
        let taker = taker.expect("only a write that started takes content");
        for sector in sectors(mask & taker.covers) {
            // A client that changes its memory may come to write what others have.
            if std::mem::replace(&mut taker.tokens[sector], tokens[sector]) != tokens[sector] {
                *self.written.entry(tokens[sector]).or_default() += 1;
            }
        }
    }

    /// The write ends that started at `start`.
    pub fn write_ends(&mut self, lbn: Lbn, start: u32, now: u32, outcome: Outcome) {
        let block = self.block(lbn);
        let ended = block.candidates.iter().position(|candidate| candidate.start == start && candidate.end == NEVER);
        let ended = ended.expect("only a write that started ends");
        block.candidates[ended].end = now;
        match outcome {
            Outcome::Done => {
                let covers = block.candidates[ended].covers;
                for older in block.candidates.iter_mut().filter(|other| other.end < start) {
                    for sector in sectors(covers & older.covers) {
                        older.death[sector] = older.death[sector].min(now);
                    }
                }
            }
            Outcome::Unknown => {}
            Outcome::NotDone => {
                block.candidates.remove(ended);
            }
        }
        block.forget();
    }

    /// The volume has grown to so many blocks, and does not shrink.
    pub fn grow(&mut self, logical: u64) {
        let blocks = self.blocks.len().max(logical as usize);
        self.blocks.resize(blocks, BlockModel::default());
    }

    /// From now on (or not any more) nothing is learnt from reads. Where metadata cannot be written, a write that
    /// failed may turn out to have happened after the next start, although reads did not show it.
    pub fn set_fickle(&mut self, fickle: bool) {
        self.fickle = fickle;
    }

    /// The power is cut, or the process killed: of writes that have not ended nobody knows whether they happened.
    pub fn crash(&mut self, now: u32) {
        for block in &mut self.blocks {
            block.readers = 0;
            for candidate in block.candidates.iter_mut().filter(|candidate| candidate.end == NEVER) {
                candidate.end = now;
            }
            block.forget();
        }
    }

    /// A read starts.
    pub fn read_starts(&mut self, lbn: Lbn) {
        self.block(lbn).readers += 1;
    }

    /// A read that started at `start` ends. `seen`, if it succeeded, is what it saw in the sectors of `mask`.
    ///
    /// # Errors
    /// What it saw that cannot be.
    pub fn read_ends(
        &mut self,
        lbn: Lbn,
        start: u32,
        now: u32,
        seen: Option<(SectorMask, &[Option<Token>; SECTORS])>,
    ) -> Result<(), String> {
        let fickle = self.fickle;
        let block = self.block(lbn);
        block.readers -= 1;
        let result = match seen {
            Some((mask, seen)) if fickle => block.check(lbn, start, mask, seen),
            Some((mask, seen)) => block.observe(lbn, start, now, mask, seen),
            None => Ok(()),
        };
        block.forget();
        result
    }

    /// What the block must contain at rest: compares, without narrowing anything down.
    ///
    /// # Errors
    /// What is there that cannot be.
    pub fn check_at_rest(&self, lbn: Lbn, seen: &[Option<Token>; SECTORS]) -> Result<(), String> {
        self.blocks[lbn.0 as usize].check(lbn, NEVER, ALL_SECTORS, seen)
    }

    /// Whether the write that started at `start` and has not ended replaces content that no other block can have, alone:
    /// then it gives a block back, and cannot want for space.
    #[must_use]
    pub fn replaces_only_copy(&self, lbn: Lbn, start: u32) -> bool {
        let [old, new] = &self.blocks[lbn.0 as usize].candidates[..] else { return false };
        old.end < start
            && (new.start, new.end) == (start, NEVER)
            && old.covers == ALL_SECTORS
            && old.kind == Kind::By(Operation::Write)
            && old.tokens.iter().all(|token| *token != 0 && self.written.get(token) == Some(&1))
    }

    /// The kind of the one write that is the block's content for certain and as a whole, if there is one.
    #[must_use]
    pub fn whole_content_kind(&self, lbn: Lbn) -> Option<Kind> {
        match &self.blocks[lbn.0 as usize].candidates[..] {
            [] => Some(Kind::Initial),
            [only] if only.covers == ALL_SECTORS => Some(only.kind),
            _ => None,
        }
    }
}

impl BlockModel {
    /// Drops what no read can see any more.
    fn forget(&mut self) {
        if self.readers == 0 {
            self.candidates.retain(Candidate::is_current);
        }
    }

    fn check(&self, lbn: Lbn, start: u32, mask: SectorMask, seen: &[Option<Token>; SECTORS]) -> Result<(), String> {
        if self.candidates.is_empty() {
            let zeros = sectors(mask).all(|sector| seen[sector] == Some(0));
            return if zeros { Ok(()) } else { Err(format!("{lbn} was never written, but shows {seen:x?}")) };
        }
        let shows = |candidate: &Candidate, sector: usize| seen[sector] == Some(candidate.tokens[sector]);
        let all = |candidate: &&Candidate| {
            sectors(mask).all(|sector| candidate.possible(sector, start) && shows(candidate, sector))
        };
        if self.candidates.iter().any(|candidate| all(&candidate)) {
            return Ok(());
        }
        let choice = |sector: usize| self.candidates.iter().map(move |candidate| candidate.possible(sector, start));
        for sector in sectors(mask) {
            let alike = |other: &usize| choice(*other).eq(choice(sector));
            let explains = |candidate: &&Candidate| {
                candidate.possible(sector, start) && sectors(mask).filter(alike).all(|other| shows(candidate, other))
            };
            if !self.candidates.iter().any(|candidate| explains(&candidate)) {
                let possible: Vec<_> =
                    self.candidates.iter().filter(|candidate| candidate.possible(sector, start)).collect();
                return Err(format!("{lbn} sector {sector} shows {seen:x?}, but may only be one of {possible:x?}"));
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        lbn: Lbn,
        start: u32,
        now: u32,
        mask: SectorMask,
        seen: &[Option<Token>; SECTORS],
    ) -> Result<(), String> {
        self.check(lbn, start, mask, seen)?;
        let alone = self.candidates.iter().all(|candidate| candidate.end < start);
        if alone {
            for candidate in &mut self.candidates {
                for sector in sectors(mask & candidate.covers) {
                    if seen[sector] != Some(candidate.tokens[sector]) {
                        candidate.death[sector] = candidate.death[sector].min(now);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
