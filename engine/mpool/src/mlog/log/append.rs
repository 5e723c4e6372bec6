// SPDX-License-Identifier: BSD-3-Clause

//! Appending to an open log, and its buffers.

use super::{Mlog, Position, State};
use crate::error::{Kind, PoolError, Result};
use crate::mlog::geometry::STALE_SCAN_BYTES;
use crate::mlog::writer::{AppendError, Progress};

/// Bytes of a flush buffer of a log with little to write.
pub(super) const SMALL_BUFFER_BYTES: usize = 16 << 10;

/// Bytes of a flush buffer of a busy log.
const LARGE_BUFFER_BYTES: usize = STALE_SCAN_BYTES;

/// Abandons a record whose append was begun and not finished.
#[derive(Debug)]
struct UnderWay<'a> {
    log: &'a Mlog,
    begun: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.begun {
            self.log.state.borrow_mut().writer.abandon();
        }
    }
}

impl Mlog {
    /// Appends a record. With `sync` it is durable when this ends; else readers see it at once, and a later flush makes
    /// it durable; if that flush fails, the next caller that asks for durability gets the error. If the future is
    /// dropped before its end, the record may or may not be appended.
    ///
    /// # Errors
    /// LogFull: the record does not fit; everything appended before is flushed. NotFound: the log is closed. Invalid: a
    /// compaction must start first. Io: it is unknown whether the record is on media, and the log takes nothing more
    /// until it is reopened or erased.
    pub async fn append(&self, record: &[u8], sync: bool) -> Result<()> {
        let position = self.append_whole(record).await?;
        if sync {
            return self.wait_for(position).await;
        }
        self.kick().await;
        Ok(())
    }

    /// Appends CSTART, durably.
    ///
    /// # Errors
    /// Invalid: the log is not for compaction, or not empty. As for [`Mlog::append`].
    pub async fn append_cstart(&self) -> Result<()> {
        let position = self
            .append_marker(|log, state| {
                if !log.flags.compact_sem || state.cstart.is_some() {
                    return Err(AppendError::Misplaced);
                }
                let position = state.writer.append_compaction_start()?;
                state.cstart = Some(position);
                Ok(position)
            })
            .await?;
        self.wait_for(position).await
    }

    /// Appends CEND, durably, and so everything before it.
    ///
    /// # Errors
    /// Invalid: there is no CSTART, or a CEND already. As for [`Mlog::append`].
    pub async fn append_cend(&self) -> Result<()> {
        let position = self
            .append_marker(|_, state| {
                if state.cstart.is_none() || state.cend.is_some() {
                    return Err(AppendError::Misplaced);
                }
                let position = state.writer.append_compaction_end()?;
                state.cend = Some(position);
                Ok(position)
            })
            .await?;
        let outcome = self.wait_for(position).await;
        // Only a compaction writes much at once.
        self.trim();
        outcome
    }

    async fn append_marker(
        &self,
        append: impl Fn(&Mlog, &mut State) -> core::result::Result<Position, AppendError>,
    ) -> Result<Position> {
        let _turn = self.appending.lock().await;
        loop {
            let outcome = {
                let mut state = self.state.borrow_mut();
                self.check_usable(&state)?;
                self.check_thawed()?;
                self.take_buffers(&mut state, 0)?;
                append(self, &mut state)
            };
            match outcome {
                Ok(position) => return Ok(position),
                Err(AppendError::Busy) => self.make_room().await,
                Err(error) => return Err(self.refuse(error).await),
            }
        }
    }

    /// Puts a record into buffers, writing full ones as needed.
    async fn append_whole(&self, record: &[u8]) -> Result<Position> {
        let _turn = self.appending.lock().await;
        let mut taken = 0;
        let mut under_way = UnderWay { log: self, begun: false };
        loop {
            let progress = {
                let mut state = self.state.borrow_mut();
                self.check_usable(&state)?;
                self.check_thawed()?;
                if self.flags.compact_sem && state.cstart.is_none() {
                    return Err(self.invalid("a compaction must start before anything else is appended"));
                }
                self.take_buffers(&mut state, record.len() - taken)?;
                if under_way.begun {
                    state.writer.feed(&record[taken..])
                } else {
                    state.writer.begin(record)
                }
            };
            match progress {
                Ok(Progress::Complete(position)) => {
                    under_way.begun = false;
                    return Ok(position);
                }
                Ok(Progress::Taken(bytes)) => {
                    taken += bytes;
                    under_way.begun = true;
                }
                Err(AppendError::Busy) => {}
                Err(error) => return Err(self.refuse(error).await),
            }
            self.make_room().await;
        }
    }

    /// Waits until a buffer is free.
    async fn make_room(&self) {
        match self.launch(false) {
            Some(flight) => flight.await,
            None => assert!(!self.state.borrow().writer.is_dirty(), "full buffers can be written"),
        }
    }

    /// The error for the caller. A full log is flushed first.
    async fn refuse(&self, error: AppendError) -> PoolError {
        let object = self.id.to_string();
        match error {
            AppendError::LogFull => {
                // Everything appended before must be durable all the same. If that fails, report it instead.
                match self.sync().await {
                    Ok(()) => PoolError::new(Kind::LogFull, object, "it is full"),
                    Err(error) => error,
                }
            }
            AppendError::Failed => self.lost(),
            AppendError::Misplaced => PoolError::invalid(object, error.to_string()),
            AppendError::Busy => PoolError::new(Kind::Io, object, error.to_string()),
        }
    }

    /// Ensures that there are buffers, and large ones when more than a little is appended.
    fn take_buffers(&self, state: &mut State, record_bytes: usize) -> Result<()> {
        let sector = self.geometry.sector_bytes;
        let capacity = usize::try_from(self.geometry.capacity_bytes()).unwrap_or(usize::MAX).max(sector);
        let large = LARGE_BUFFER_BYTES.min(capacity);
        let wanted = if record_bytes > SMALL_BUFFER_BYTES / 2 { large } else { SMALL_BUFFER_BYTES.min(capacity) };
        for _ in 0..state.writer.missing_buffers() {
            state.writer.supply(self.media.allocate(wanted)?);
        }
        let present = state.writer.buffer_bytes();
        if present > 0 && present < large && !state.writer.fits_buffer(record_bytes) {
            if let Ok(buffer) = self.media.allocate(large) {
                // The returned buffer is the smaller one.
                state.writer.supply(buffer);
            }
        }
        Ok(())
    }
}
