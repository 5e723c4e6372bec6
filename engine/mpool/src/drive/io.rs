// SPDX-License-Identifier: BSD-3-Clause

//! Reads, writes, flushes and discards of a drive's zones.

use core::ops::Range;

use super::{write_persistently, Attached, Drive, DriveExtent};
use crate::device::{DeviceError, IoBuf, Transfer};
use crate::error::{PoolError, Result};
use crate::format::superblock::PROBE_AT;
use crate::ids::{Extent, PAGE_BYTES};

/// The durability of the data when a write has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Durable after the next [`Drive::make_durable`]. Single writes are forced where the device can.
    Deferred,
    /// Durable at once.
    Durable,
}

/// A transfer that passed all checks.
struct Checked<'a> {
    attached: &'a Attached,
    at: u64,
    chunk: usize,
}

impl Drive {
    /// Reads into `range` of `buf` from byte `offset` of `extent` on. The memory is returned with the outcome.
    ///
    /// # Errors
    /// EINVAL: offset or length are not multiples of the sector size, or reach out of the extent, the drive or the
    /// memory. EIO: the read failed, or the drive is missing.
    pub async fn read(&self, extent: Extent, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let checked = match self.check("reading", extent, offset, &buf, &range) {
            Ok(checked) => checked,
            Err(error) => return (buf, Err(error)),
        };
        let transfer = Transfer { at: checked.at, buf, range, chunk: checked.chunk };
        let (buf, outcome) = checked.attached.device.read(transfer).await;
        (buf, outcome.map_err(|error| self.failed("reading", extent, offset, error)))
    }

    /// Writes `range` of `buf` from byte `offset` of `extent` on. The memory is returned with the outcome.
    ///
    /// # Errors
    /// As [`Drive::read`].
    pub async fn write(
        &self,
        extent: Extent,
        offset: u64,
        buf: IoBuf,
        range: Range<usize>,
        durability: Durability,
    ) -> (IoBuf, Result<()>) {
        let checked = match self.check("writing", extent, offset, &buf, &range) {
            Ok(checked) => checked,
            Err(error) => return (buf, Err(error)),
        };
        let transfer = Transfer { at: checked.at, buf, range, chunk: checked.chunk };
        let Attached { device, properties } = checked.attached;
        let (buf, outcome) = match durability {
            Durability::Durable => write_persistently(&**device, properties, transfer).await,
            Durability::Deferred => device.write(transfer, properties.volatile_cache && properties.fua).await,
        };
        (buf, outcome.map_err(|error| self.failed("writing", extent, offset, error)))
    }

    /// True when deferred writes are durable only after [`Drive::flush`].
    #[must_use]
    pub fn needs_flush_at_commit(&self) -> bool {
        self.attached.as_ref().is_some_and(|Attached { properties, .. }| properties.volatile_cache && !properties.fua)
    }

    /// Makes completed deferred writes durable.
    ///
    /// # Errors
    /// EIO: the flush failed, and may be repeated; or the drive is missing.
    pub async fn make_durable(&self) -> Result<()> {
        if self.needs_flush_at_commit() {
            self.flush().await
        } else {
            self.attached_for("flushing").map(|_| ())
        }
    }

    /// Makes all completed writes durable. A device without a volatile cache gets no flush.
    ///
    /// When it fails, nothing was acknowledged as durable, and the caller can repeat it.
    ///
    /// # Errors
    /// EIO: the flush failed; or the drive is missing.
    pub async fn flush(&self) -> Result<()> {
        let Attached { device, properties } = self.attached_for("flushing")?;
        if !properties.volatile_cache {
            return Ok(());
        }
        device.flush().await.map_err(|error| PoolError::device(self.subject(), "flushing", error))
    }

    /// Discards the blocks of `extent`: advice to the device. Their content is undefined afterwards.
    ///
    /// Succeeds without doing anything if the device cannot discard, if the extent has no whole unit of discard, or if
    /// the caller wants to read the blocks afterwards and they would be unreadable: those of a self-encrypting device
    /// with protection information.
    ///
    /// # Errors
    /// EINVAL: the extent is empty or not on the drive. EIO: the discard failed, or the drive is missing.
    pub async fn erase(&self, extent: Extent, readable_afterwards: bool) -> Result<()> {
        let doing = "discarding";
        let Attached { device, properties } = self.attached_for(doing)?;
        let (first, bytes) = self.place(doing, extent)?;
        let unreadable = properties.dif && properties.sed;
        if !properties.discard || (readable_afterwards && unreadable) {
            return Ok(());
        }
        let unit = properties.discard_granularity.max(u64::from(properties.sector_bytes));
        let end = (first + bytes) / unit * unit;
        match first.checked_next_multiple_of(unit) {
            Some(start) if start < end => {
                let outcome = device.unmap(start, end - start).await;
                outcome.map_err(|error| PoolError::device(self.subject(), doing, error))
            }
            _ => Ok(()),
        }
    }

    fn attached_for(&self, doing: &str) -> Result<&Attached> {
        self.attached.as_ref().ok_or_else(|| self.missing(doing))
    }

    /// Tests whether the drive takes writes, with a write to an unused page.
    ///
    /// # Errors
    /// EIO: it does not. ENOMEM.
    pub(crate) async fn probe(&self) -> Result<()> {
        let doing = "a trial write";
        let _alone = self.trial.lock().await;
        let Attached { device, properties } = self.attached_for(doing)?;
        let buf = self.allocate(PAGE_BYTES)?;
        let transfer = Transfer { at: PROBE_AT, buf, range: 0..PAGE_BYTES, chunk: PAGE_BYTES };
        let (_, outcome) = write_persistently(&**device, properties, transfer).await;
        outcome.map_err(|error| PoolError::device(self.subject(), doing, error))
    }

    /// First byte and length of an extent on the drive. The drive's zones lie within its bytes, so neither the products
    /// nor the sum overflow.
    fn place(&self, doing: &str, extent: Extent) -> Result<(u64, u64)> {
        let descriptor = self.descriptor.get();
        match extent.end() {
            Some(end) if extent.zones > 0 && end <= u64::from(descriptor.zones) => {
                Ok((extent.first * descriptor.zone_bytes(), extent.zones * descriptor.zone_bytes()))
            }
            _ => Err(PoolError::invalid(
                self.subject(),
                format!("{doing} {} zones from zone {} of {}", extent.zones, extent.first, descriptor.zones),
            )),
        }
    }

    fn check(
        &self,
        doing: &str,
        extent: Extent,
        offset: u64,
        buf: &IoBuf,
        range: &Range<usize>,
    ) -> Result<Checked<'_>> {
        let attached = self.attached_for(doing)?;
        let (first, bytes) = self.place(doing, extent)?;
        let sector = self.sector_bytes();
        let memory = (**buf).as_ref().len();
        if range.start > range.end || range.end > memory {
            let reason = format!("{doing} with bytes {} to {} of {memory} in memory", range.start, range.end);
            return Err(PoolError::invalid(self.subject(), reason));
        }
        let length = range.len() as u64;
        let inside = offset.checked_add(length).is_some_and(|end| end <= bytes);
        if !inside || !offset.is_multiple_of(sector) || !length.is_multiple_of(sector) {
            let reason = format!(
                "{doing} {length} bytes at {offset} of an extent of {bytes} bytes: outside, or no multiples of {sector}"
            );
            return Err(PoolError::invalid(self.subject(), reason));
        }
        Ok(Checked { attached, at: first + offset, chunk: self.chunk_bytes.get() })
    }

    /// The error of a failed operation on an extent.
    fn failed(&self, doing: &str, extent: Extent, offset: u64, error: DeviceError) -> PoolError {
        PoolError::device(self.subject(), &format!("{doing} at byte {offset} after zone {}", extent.first), error)
    }
}

impl DriveExtent {
    /// Bytes of the zones.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.extent.zones.saturating_mul(self.drive.zone_bytes())
    }

    /// As [`Drive::read`], of this extent.
    ///
    /// # Errors
    /// As [`Drive::read`].
    pub async fn read(&self, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        self.drive.read(self.extent, offset, buf, range).await
    }

    /// As [`Drive::write`], of this extent.
    ///
    /// # Errors
    /// As [`Drive::write`].
    pub async fn write(
        &self,
        offset: u64,
        buf: IoBuf,
        range: Range<usize>,
        durability: Durability,
    ) -> (IoBuf, Result<()>) {
        self.drive.write(self.extent, offset, buf, range, durability).await
    }

    /// As [`Drive::erase`], of this extent.
    ///
    /// # Errors
    /// As [`Drive::erase`].
    pub async fn erase(&self, readable_afterwards: bool) -> Result<()> {
        self.drive.erase(self.extent, readable_afterwards).await
    }
}
