// SPDX-License-Identifier: BSD-3-Clause

//! Judges the engine's answers: each must fit its request, every error must have a cause, and data are compared with the
//! model.

use engine::request::Operation;
use engine::RequestError;

use super::base::Base;
use super::client::{Client, PieceState};
use super::content;
use super::faults::Cause;
use super::model::Outcome;
use super::world::{SpaceClaim, World};

impl<D: Base> World<D> {
    /// Judges an answer. Errors are defects of the engine.
    pub(super) fn judge(&mut self, client: Client, result: Result<(), RequestError>) -> Result<(), String> {
        let state = self.pieces.delivered(client).ok_or_else(|| {
            format!("{client:?} is answered, but is not in the engine: answered twice, or never asked")
        })?;
        let (shard, operation, start, beyond_end) = (state.shard, state.operation, state.start, state.beyond_end);
        if shard != self.current {
            return Err(format!("{client:?} belongs to {shard:?}, but {:?} answers", self.current));
        }
        if beyond_end != (result == Err(RequestError::OutOfRange)) {
            return Err(format!("{client:?} is answered {result:?}, and its range is beyond the end: {beyond_end}"));
        }
        if operation == Operation::Flush {
            if let Some(older) = self.pieces.oldest_in(shard).filter(|oldest| *oldest < start) {
                return Err(format!("flush {client:?} is answered before the piece of time {older}"));
            }
            return result.map_err(|error| format!("flush {client:?} fails: {error:?}"));
        }
        if let Err(error) = result {
            self.excuse(client, error)?;
        }
        if beyond_end {
            return Ok(());
        }
        self.hold_against_model(client, result)
    }

    /// Finds the cause of an error.
    fn excuse(&mut self, client: Client, error: RequestError) -> Result<(), String> {
        let state = self.pieces.get(client);
        // Who gives a block back has a claim to another, however many are free.
        let has_claim = error == RequestError::NoSpace && self.overwrites_go_on && self.gives_back(state);
        if self.disk.excuses(error) && (!has_claim || self.disk.excuses(RequestError::Io)) {
            return Ok(());
        }
        let (operation, start, partial) = (state.operation, state.start, state.has_partial_block());
        let reads = operation == Operation::Read || partial;
        let writes = operation == Operation::Write || partial;
        let excused = match error {
            RequestError::Io => {
                self.counts.io_errors += 1;
                use Cause::{ReadError, WriteError};
                match (reads, writes) {
                    (true, true) => self.faults.blame([WriteError, ReadError], start, self.now),
                    (true, false) => self.faults.blame([ReadError; 2], start, self.now),
                    // A block that cannot be written is tried once more, in another place.
                    (false, true) => (0..2).all(|_| self.faults.blame([WriteError; 2], start, self.now)),
                    (false, false) => false,
                }
            }
            RequestError::Corrupt => {
                self.counts.corrupt += 1;
                reads && self.faults.blame([Cause::Rot; 2], start, self.now)
            }
            RequestError::NoSpace => {
                self.counts.no_space += 1;
                let slack = 2 * self.pieces.blocks_met(client);
                self.space_claims.push(SpaceClaim { client, slack });
                !has_claim && self.pieces.get(client).may_need_space()
            }
            RequestError::OutOfRange => true,
            RequestError::ReadOnly => self.told_read_only,
            RequestError::Aborted => self.told_to_abort,
            RequestError::Lock => false,
        };
        if excused {
            Ok(())
        } else {
            Err(format!("{client:?} ({operation:?}) fails with {error:?} for no reason"))
        }
    }

    /// Whether each block that a piece writes gives another one back.
    fn gives_back(&self, state: &PieceState) -> bool {
        let gives_back = |index| self.model.replaces_only_copy(state.lbn.plus(u64::from(index)), state.start);
        state.operation == Operation::Write && (0..state.blocks()).all(gives_back)
    }

    fn hold_against_model(&mut self, client: Client, result: Result<(), RequestError>) -> Result<(), String> {
        let state = self.pieces.get(client);
        let (now, start, operation, lbn) = (self.now, state.start, state.operation, state.lbn);
        let outcome = match result {
            Ok(()) => Outcome::Done,
            // A piece of one block that found no space has changed nothing; of several, some may have found space.
            Err(RequestError::NoSpace) if state.blocks() == 1 => Outcome::NotDone,
            Err(_) => Outcome::Unknown,
        };
        for index in 0..state.blocks() {
            let lbn = lbn.plus(u64::from(index));
            let block = self.pieces.get(client).block(index);
            if block.buf.is_some_and(|buf| self.memory.in_transfer(buf)) {
                return Err(format!("{client:?} {lbn} is answered while a transfer uses its memory"));
            }
            let bytes = block.buf.map(|buf| self.memory.decode(buf));
            if operation != Operation::Read {
                if bytes.is_some_and(|bytes| bytes != block.tokens.map(Some)) {
                    return Err(format!("{client:?} {lbn}: the engine changed memory that was to be written"));
                }
                self.model.write_ends(lbn, start, now, outcome);
                continue;
            }
            let bytes = bytes.expect("a read has memory");
            let outside = (0..content::SECTORS).filter(|sector| block.sectors >> sector & 1 == 0);
            if let Some(sector) = outside.into_iter().find(|sector| bytes[*sector] != Some(content::GUARD)) {
                return Err(format!("{client:?} {lbn}: sector {sector} was not asked for, but changed"));
            }
            let seen = result.is_ok().then_some((block.sectors & !block.scribbled, &bytes));
            self.model.read_ends(lbn, start, now, seen).map_err(|what| format!("{client:?}: {what}"))?;
        }
        Ok(())
    }
}
