// SPDX-License-Identifier: BSD-3-Clause

//! Reading an open log. All openers share one read position.

use core::ops::Range;

use thiserror::Error;

use super::Mlog;
use crate::device::IoBuf;
use crate::error::{Kind, PoolError, Result};
use crate::mlog::block::Stamp;
use crate::mlog::media::FlushMemory;
use crate::mlog::reader::{Origin, ReadError, Reader, Sink, Taken};

/// Bytes that are read from media at once.
const READ_BYTES: u64 = 256 << 10;

/// Why there is no next record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NextError {
    /// EOVERFLOW: the buffer is too small; the record stays the next one.
    #[error("{object}: the next record has {needed} bytes")]
    TooSmall {
        /// The id of the log.
        object: String,
        /// Bytes of the record.
        needed: usize,
    },
    /// Any other failure. The reader must rewind.
    #[error(transparent)]
    Failed(#[from] PoolError),
}

impl From<NextError> for PoolError {
    fn from(error: NextError) -> PoolError {
        match error {
            NextError::TooSmall { object, needed } => {
                PoolError::new(Kind::Overflow, object, format!("the next record has {needed} bytes"))
            }
            NextError::Failed(error) => error,
        }
    }
}

/// The read position, and blocks that were read ahead.
#[derive(Debug)]
pub(super) struct ReadSide {
    reader: Reader,
    generation: u64,
    valid: bool,
    cache: Option<Cache>,
}

/// Blocks that do not change any more.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) blocks: Range<u64>,
    pub(super) memory: Memory,
}

/// The memory of cached blocks.
#[derive(Debug)]
pub(super) enum Memory {
    /// A buffer that they were read into.
    Read(IoBuf),
    /// Kept since the log was opened.
    Kept(Vec<u8>),
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Read(buf) => buf.bytes(),
            Memory::Kept(bytes) => bytes,
        }
    }
}

impl ReadSide {
    pub(super) fn new(reader: Reader, generation: u64, cache: Option<Cache>) -> ReadSide {
        ReadSide { reader, generation, valid: true, cache }
    }

    pub(super) fn drop_cache(&mut self) {
        self.cache = None;
    }
}

/// The next action of a read.
enum Next {
    End,
    Taken(Taken),
    WaitForFlush,
    Load(Range<u64>),
}

impl Mlog {
    /// Sets the read position to the first record.
    ///
    /// # Errors
    /// NotFound: the log is closed.
    pub async fn rewind(&self) -> Result<()> {
        let mut side = self.reading.lock().await;
        let mut state = self.state.borrow_mut();
        self.check_open(&state)?;
        state.rolled_back = None;
        let stamp = Stamp { uuid: self.uuid, generation: state.generation };
        let reader = Reader::new(stamp, self.geometry, self.flags.compact_sem, self.accept_v1);
        // Blocks kept from the open are for the first read from the start.
        let same = side.valid && side.generation == state.generation;
        let cache = side.cache.take_if(|cache| same && matches!(cache.memory, Memory::Kept(_)));
        *side = ReadSide::new(reader, state.generation, cache);
        Ok(())
    }

    /// Reads the next record and returns its length; none at the end of the log. Records that are appended later can be
    /// read then.
    ///
    /// # Errors
    /// TooSmall: `buffer` is too small; the record is still the next one. After any other error the reader must rewind:
    /// CorruptLog; Io; Invalid: the log was erased, or records already read were lost with a failed flush; NotFound:
    /// the log is closed.
    pub async fn next(&self, buffer: &mut [u8]) -> core::result::Result<Option<usize>, NextError> {
        self.read(Sink::Slice(buffer)).await
    }

    /// Reads the next record, of at most `max_bytes`; none at the end of the log.
    ///
    /// # Errors
    /// Overflow: the record is longer; it is still the next one. As for [`Mlog::next`].
    pub async fn next_vec(&self, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let length = self.read(Sink::Growing { bytes: &mut bytes, max: max_bytes }).await?;
        Ok(length.map(|_| bytes))
    }

    /// Passes all records from here on, of at most `max_bytes` each, to `take`, in one buffer. Reading record by record
    /// would cost a lock and an allocation for each.
    ///
    /// # Errors
    /// As for [`Mlog::next_vec`]; the error of `take`. The record that `take` refused is not the next one any more.
    pub async fn read_on(&self, max_bytes: usize, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut bytes = vec![0; max_bytes];
        let mut side = self.reading.lock().await;
        while let Some(length) = self.read_next(&mut side, &mut Sink::Slice(&mut bytes)).await? {
            take(&bytes[..length])?;
        }
        Ok(())
    }

    async fn read(&self, mut sink: Sink<'_>) -> core::result::Result<Option<usize>, NextError> {
        let mut side = self.reading.lock().await;
        self.read_next(&mut side, &mut sink).await
    }

    async fn read_next(
        &self,
        side: &mut ReadSide,
        sink: &mut Sink<'_>,
    ) -> core::result::Result<Option<usize>, NextError> {
        let outcome = self.read_record(side, sink).await;
        match &outcome {
            Ok(None) => side.drop_cache(),
            Ok(Some(_)) | Err(NextError::TooSmall { .. }) => {}
            Err(NextError::Failed(_)) => side.valid = false,
        }
        outcome
    }

    async fn read_record(
        &self,
        side: &mut ReadSide,
        sink: &mut Sink<'_>,
    ) -> core::result::Result<Option<usize>, NextError> {
        side.reader.go_back();
        loop {
            match self.advance(side, sink)? {
                Next::End => {
                    side.reader.go_back();
                    return Ok(None);
                }
                Next::Taken(Taken::Record(bytes)) => return Ok(Some(bytes)),
                Next::Taken(Taken::MoreBlocks) => {}
                Next::WaitForFlush => match self.launch(true) {
                    Some(flight) => flight.await,
                    None => return Err(self.invalid("blocks are neither on media nor in memory").into()),
                },
                Next::Load(blocks) => self.load(side, blocks).await?,
            }
        }
    }

    /// Continues as far as possible without waiting.
    fn advance(&self, side: &mut ReadSide, sink: &mut Sink<'_>) -> core::result::Result<Next, NextError> {
        let mut state = self.state.borrow_mut();
        self.check_open(&state)?;
        if !side.valid || side.generation != state.generation {
            return Err(self.invalid("reading must begin anew: it failed, or the log was erased").into());
        }
        if let Some(rolled_back) = state.rolled_back.take() {
            side.reader.go_back();
            if side.reader.place() > rolled_back {
                return Err(self.invalid("what was read is lost with a failed flush; reading must begin anew").into());
            }
        }
        let (place, end) = (side.reader.place(), state.writer.end());
        if place >= end {
            return Ok(Next::End);
        }
        let unchanging = place.block < end.block;
        if let Some(image) = state.writer.in_memory(place.block) {
            let taken = side.reader.take(image, Origin::Memory, unchanging, sink);
            return Ok(Next::Taken(taken.map_err(|error| self.read_error(&error))?));
        }
        let stop = state.writer.final_blocks();
        if place.block >= stop {
            return Ok(Next::WaitForFlush);
        }
        let sector = self.geometry.sector_bytes;
        match &side.cache {
            Some(cache) if cache.blocks.contains(&place.block) => {
                let at = (place.block - cache.blocks.start) as usize * sector;
                let image = &cache.memory.bytes()[at..at + sector];
                let taken = side.reader.take(image, Origin::Media, unchanging, sink);
                Ok(Next::Taken(taken.map_err(|error| self.read_error(&error))?))
            }
            _ => {
                let most = READ_BYTES / sector as u64;
                Ok(Next::Load(place.block..stop.min(place.block.saturating_add(most))))
            }
        }
    }

    async fn load(&self, side: &mut ReadSide, blocks: Range<u64>) -> Result<()> {
        let sector = self.geometry.sector_bytes;
        let bytes = (blocks.end - blocks.start) as usize * sector;
        let memory = match side.cache.take() {
            Some(Cache { memory: Memory::Read(buf), .. }) if buf.bytes().len() >= bytes => buf,
            _ => self.media.allocate(bytes)?,
        };
        let (memory, outcome) = self.media.read(blocks.start * sector as u64, memory, 0..bytes).await;
        outcome.map_err(|error| error.while_doing(&self.id.to_string()))?;
        side.reader.recheck();
        side.cache = Some(Cache { blocks, memory: Memory::Read(memory) });
        Ok(())
    }

    fn read_error(&self, error: &ReadError) -> NextError {
        let object = self.id.to_string();
        match error {
            ReadError::TooSmall { needed } => NextError::TooSmall { object, needed: *needed },
            ReadError::Malformed { .. } | ReadError::Damaged { .. } => {
                NextError::Failed(PoolError::new(Kind::CorruptLog, object, error.to_string()))
            }
        }
    }
}
