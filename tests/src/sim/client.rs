// SPDX-License-Identifier: BSD-3-Clause

//! Clients' requests, split into pieces as a bdev module splits them, and what is known of each piece.
//!
//! Each piece is a client of its own to the engine, so that every answer can be told from the others. A handle carries a
//! generation: an answer to a piece that has ended is never taken for an answer to its successor.

use engine::format::Geometry;
use engine::request::{Operation, Piece};
use engine::{Lbn, Part, RequestError, ShardId, SECTOR_SIZE};

use super::content::{self, Token, Tokens, GUARD, SECTORS};
use super::memory::{Buf, Memory, Owner};
use super::model::{SectorMask, ALL_SECTORS};

/// The engine's handle of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    slot: u32,
    generation: u32,
}

impl Client {
    /// A number for digests.
    #[must_use]
    pub const fn digest(self) -> u64 {
        (self.slot as u64) << 32 | self.generation as u64
    }
}

/// Number of a request, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub u32);

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// First 512-byte sector.
    pub sector: u64,
    /// Number of sectors.
    pub sectors: u64,
    /// For a write, the content of each sector.
    pub tokens: Vec<Token>,
}

impl Request {
    /// Anything but a write, on whole blocks.
    #[must_use]
    pub fn on_blocks(operation: Operation, lbn: u64, blocks: u64) -> Request {
        let sectors = SECTORS as u64;
        Request { operation, sector: lbn * sectors, sectors: blocks * sectors, tokens: Vec::new() }
    }

    /// A read of whole blocks.
    #[must_use]
    pub fn read(lbn: u64, blocks: u64) -> Request {
        Request::on_blocks(Operation::Read, lbn, blocks)
    }

    /// A write of whole blocks, one for each value.
    #[must_use]
    pub fn write(lbn: u64, values: &[u64]) -> Request {
        let tokens = values.iter().flat_map(|value| content::block_of(*value)).collect();
        Request { tokens, ..Request::on_blocks(Operation::Write, lbn, values.len() as u64) }
    }

    /// A flush.
    #[must_use]
    pub fn flush() -> Request {
        Request::on_blocks(Operation::Flush, 0, 0)
    }
}

/// One block of a piece.
#[derive(Debug, Clone, Copy)]
pub struct PieceBlock {
    /// The sectors that belong to the request.
    pub sectors: SectorMask,
    /// What the memory holds there now; for what is no write, what they become.
    pub tokens: Tokens,
    /// The client's memory, if the request has any.
    pub buf: Option<Buf>,
    /// Sectors whose content the engine has taken.
    pub taken: SectorMask,
    /// Sectors that the client has written to since the engine did.
    pub scribbled: SectorMask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Delivered,
    Over,
}

/// A piece.
#[derive(Debug)]
pub struct PieceState {
    request: RequestId,
    generation: u32,
    stage: Stage,
    /// What to do.
    pub operation: Operation,
    /// Whom it was given to.
    pub shard: ShardId,
    /// First block.
    pub lbn: Lbn,
    /// When the shard accepted it.
    pub start: u32,
    /// It reaches beyond the end of the volume.
    pub beyond_end: bool,
    /// It was given to the shard as a sweep, for which no flush waits.
    swept: bool,
    ended_before: u64,
    blocks: Vec<PieceBlock>,
}

impl PieceState {
    /// Number of blocks, none for a flush.
    #[must_use]
    pub fn blocks(&self) -> u16 {
        self.blocks.len() as u16
    }

    /// One of them.
    #[must_use]
    pub fn block(&self, index: u16) -> PieceBlock {
        self.blocks[usize::from(index)]
    }

    /// The block `lbn`, which is one of them.
    #[must_use]
    pub fn block_at(&self, lbn: Lbn) -> PieceBlock {
        self.block((lbn.0 - self.lbn.0) as u16)
    }

    /// True when some block is touched only in part.
    #[must_use]
    pub fn has_partial_block(&self) -> bool {
        self.blocks.iter().any(|block| block.sectors != ALL_SECTORS)
    }

    /// True when the piece may leave behind data that was not there, or a page of the block map.
    #[must_use]
    pub fn may_need_space(&self) -> bool {
        match self.operation {
            Operation::Write => true,
            Operation::Unmap | Operation::WriteZeroes => self.has_partial_block(),
            Operation::Read | Operation::Flush => false,
        }
    }

    /// True when the piece is part of that request.
    #[must_use]
    pub fn is_of(&self, request: RequestId) -> bool {
        self.request == request
    }

    /// True when the block is one of the piece's.
    #[must_use]
    pub fn has_block(&self, lbn: Lbn) -> bool {
        lbn >= self.lbn && lbn.0 - self.lbn.0 < self.blocks.len() as u64
    }

    /// True when all bytes of `part` of block `lbn` belong to the piece.
    #[must_use]
    pub fn contains(&self, lbn: Lbn, part: Part) -> bool {
        let bytes = part.range();
        self.has_block(lbn)
            && !bytes.is_empty()
            && (bytes.start / SECTOR_SIZE..bytes.end.div_ceil(SECTOR_SIZE))
                .all(|sector| self.block_at(lbn).sectors >> sector & 1 == 1)
    }
}

#[derive(Debug, Clone, Copy)]
struct RequestState {
    left: u32,
    error: Option<RequestError>,
}

/// All pieces and requests.
#[derive(Debug, Default)]
pub struct Pieces {
    pieces: Vec<PieceState>,
    free: Vec<u32>,
    requests: Vec<RequestState>,
    open: usize,
    ended: u64,
    blocks_delivered: u64,
    blocks_ended: u64,
}

impl Pieces {
    /// Requests that are not over.
    #[must_use]
    pub const fn open_requests(&self) -> usize {
        self.open
    }

    /// Pieces that are over.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.ended
    }

    /// The outcome of a request that is over; the error is that of the piece that failed first.
    #[must_use]
    pub fn outcome(&self, request: RequestId) -> Option<Result<(), RequestError>> {
        let state = self.requests[request.0 as usize];
        (state.left == 0).then_some(state.error.map_or(Ok(()), Err))
    }

    /// Cuts a request into pieces: one in each leaf page, or for a flush one for each shard.
    pub fn begin(
        &mut self,
        request: &Request,
        geometry: &Geometry,
        memory: &mut Memory,
    ) -> (RequestId, Vec<(ShardId, Client)>) {
        let id = RequestId(self.requests.len() as u32);
        let mut cut = Vec::new();
        if request.operation == Operation::Flush {
            for shard in 0..geometry.shards() as u16 {
                let blocks = Vec::new();
                cut.push((ShardId(shard), self.add(id, Operation::Flush, ShardId(shard), Lbn(0), blocks, false)));
            }
        }
        let (per_block, end) = (SECTORS as u64, request.sector + request.sectors);
        let mut sector = request.sector;
        while sector < end {
            let lbn = Lbn(sector / per_block);
            let run = Geometry::run_in_page(lbn, end.div_ceil(per_block) - lbn.0);
            let piece_end = end.min((lbn.0 + run) * per_block);
            let blocks = (lbn.0..lbn.0 + run).map(|block| request_block(request, block, memory)).collect();
            let shard = geometry.logical_shard(lbn);
            let beyond_end = !geometry.contains(lbn, run);
            cut.push((shard, self.add(id, request.operation, shard, lbn, blocks, beyond_end)));
            sector = piece_end;
        }
        self.requests.push(RequestState { left: cut.len() as u32, error: None });
        self.open += 1;
        (id, cut)
    }

    fn add(
        &mut self,
        request: RequestId,
        operation: Operation,
        shard: ShardId,
        lbn: Lbn,
        blocks: Vec<PieceBlock>,
        beyond_end: bool,
    ) -> Client {
        let slot = self.free.pop().unwrap_or(self.pieces.len() as u32);
        let generation = self.pieces.get(slot as usize).map_or(0, |old| old.generation + 1);
        let state = PieceState {
            request,
            generation,
            stage: Stage::Queued,
            operation,
            shard,
            lbn,
            start: 0,
            beyond_end,
            swept: false,
            ended_before: 0,
            blocks,
        };
        match self.pieces.get_mut(slot as usize) {
            Some(place) => *place = state,
            None => self.pieces.push(state),
        }
        Client { slot, generation }
    }

    /// A piece that is not over.
    ///
    /// # Panics
    /// If it is over.
    #[must_use]
    pub fn get(&self, client: Client) -> &PieceState {
        let state = &self.pieces[client.slot as usize];
        assert!(state.generation == client.generation && state.stage != Stage::Over, "{client:?} is over");
        state
    }

    /// A block of a piece that is not over.
    pub fn block_mut(&mut self, client: Client, index: u16) -> &mut PieceBlock {
        let _ = self.get(client);
        &mut self.pieces[client.slot as usize].blocks[usize::from(index)]
    }

    /// All pieces with memory that are not over, and their numbers of blocks.
    #[must_use]
    pub fn with_memory(&self) -> Vec<(Client, u16)> {
        let name = |(slot, state): (usize, &PieceState)| {
            let has_memory = state.stage != Stage::Over && state.blocks.iter().any(|block| block.buf.is_some());
            let client = Client { slot: slot as u32, generation: state.generation };
            has_memory.then_some((client, state.blocks()))
        };
        self.pieces.iter().enumerate().filter_map(name).collect()
    }

    /// A piece that is in the engine; none if it is not, or not any more.
    #[must_use]
    pub fn delivered(&self, client: Client) -> Option<&PieceState> {
        let state = self.pieces.get(client.slot as usize)?;
        (state.generation == client.generation && state.stage == Stage::Delivered).then_some(state)
    }

    /// Marks a piece as accepted at time `now` and puts it into the engine's words.
    pub fn deliver(&mut self, client: Client, now: u32) -> Piece<Client> {
        assert_eq!(self.get(client).stage, Stage::Queued, "{client:?} is delivered twice");
        let state = &mut self.pieces[client.slot as usize];
        (state.stage, state.start, state.ended_before) = (Stage::Delivered, now, self.blocks_ended);
        self.blocks_delivered += state.blocks.len() as u64;
        let sector_bytes = SECTOR_SIZE as u32;
        let skipped = |block: &PieceBlock| block.sectors.trailing_zeros() * sector_bytes;
        let cut_off = |block: &PieceBlock| block.sectors.leading_zeros() * sector_bytes;
        Piece {
            client,
            operation: state.operation,
            lbn: state.lbn,
            blocks: state.blocks.len().max(1) as u16,
            skip: state.blocks.first().map_or(0, skipped) as u16,
            cut: state.blocks.last().map_or(0, cut_off) as u16,
        }
    }

    /// A delivered piece is over.
    pub fn end(&mut self, client: Client, result: Result<(), RequestError>, memory: &mut Memory) {
        let state = &mut self.pieces[client.slot as usize];
        state.stage = Stage::Over;
        for buf in state.blocks.iter().filter_map(|block| block.buf) {
            memory.give_back(buf);
        }
        self.free.push(client.slot);
        self.ended += 1;
        self.blocks_ended += state.blocks.len() as u64;
        let request = &mut self.requests[state.request.0 as usize];
        request.left -= 1;
        request.error = request.error.or(result.err());
        self.open -= usize::from(request.left == 0);
    }

    /// A piece is given to its shard as a sweep.
    pub fn sweep(&mut self, client: Client) {
        self.pieces[client.slot as usize].swept = true;
    }

    /// When the oldest piece in a shard was accepted for which a flush waits.
    #[must_use]
    pub fn oldest_in(&self, shard: ShardId) -> Option<u32> {
        let in_shard = |state: &&PieceState| state.stage == Stage::Delivered && state.shard == shard && !state.swept;
        self.pieces.iter().filter(in_shard).map(|state| state.start).min()
    }

    /// Blocks of all pieces that were in the engine at some time while this one was.
    #[must_use]
    pub fn blocks_met(&self, client: Client) -> u64 {
        self.blocks_delivered - self.get(client).ended_before
    }

    /// A line for each piece that is not over.
    pub fn dump(&self) -> impl Iterator<Item = String> + '_ {
        let open = self.pieces.iter().enumerate().filter(|(_, state)| state.stage != Stage::Over);
        open.map(|(slot, state)| {
            let PieceState { stage, operation, shard, lbn, start, .. } = state;
            format!(
                "client {slot}: {operation:?} {lbn} {} blocks, {stage:?} at {shard:?} since {start}",
                state.blocks()
            )
        })
    }
}

fn request_block(request: &Request, lbn: u64, memory: &mut Memory) -> PieceBlock {
    let mut block = PieceBlock { sectors: 0, tokens: [GUARD; SECTORS], buf: None, taken: 0, scribbled: 0 };
    for sector in 0..SECTORS {
        let at = lbn * SECTORS as u64 + sector as u64;
        if at >= request.sector && at < request.sector + request.sectors {
            block.sectors |= 1 << sector;
            block.tokens[sector] = request.tokens.get((at - request.sector) as usize).copied().unwrap_or(0);
        }
    }
    block.buf = match request.operation {
        Operation::Read => Some((Owner::Target, [GUARD; SECTORS])),
        Operation::Write => Some((Owner::Source, block.tokens)),
        Operation::Unmap | Operation::WriteZeroes | Operation::Flush => None,
    }
    .map(|(owner, tokens)| {
        let buf = memory.take(owner);
        memory.fill(buf, &tokens);
        buf
    });
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Blocks, Pbn};

    #[test]
    fn requests_are_cut_at_leaf_pages_and_keep_their_sectors() {
        let geometry = Geometry::new(2, Blocks(2000), Pbn(1), Pbn(1000), 8).expect("valid");
        let (mut pieces, mut memory) = (Pieces::default(), Memory::default());
        let request = Request { operation: Operation::Unmap, sector: 503 * 8 + 3, sectors: 10, tokens: Vec::new() };
        let (id, cut) = pieces.begin(&request, &geometry, &mut memory);
        assert_eq!(cut.iter().map(|(shard, _)| shard.0).collect::<Vec<_>>(), [0, 1]);
        let first = pieces.deliver(cut[0].1, 1);
        assert_eq!((first.lbn, first.blocks, first.skip, first.cut), (Lbn(503), 1, 3 * 512, 0));
        let second = pieces.deliver(cut[1].1, 2);
        assert_eq!((second.lbn, second.blocks, second.skip, second.cut), (Lbn(504), 1, 0, 3 * 512));
        assert!(first.is_well_formed() && second.is_well_formed());
        pieces.end(cut[0].1, Ok(()), &mut memory);
        assert_eq!(pieces.outcome(id), None);
        pieces.end(cut[1].1, Err(RequestError::Io), &mut memory);
        assert_eq!(pieces.outcome(id), Some(Err(RequestError::Io)));
        assert!(pieces.delivered(cut[0].1).is_none());
    }
}
