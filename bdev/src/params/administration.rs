// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of the methods that deal with a volume that is there.

use engine::volume::inventory::config::MAX_RESERVE_PERCENT;

use super::{Fields, ParamError, Reader, ACTION, CACHE, CPUMASK, INDEX, LOGICAL, PHYSICAL, POOL_NAME, RESERVE, SWITCH};
use super::{ENTRIES, NEW_NAME, NUMBER, VOLUME_NAME};
use crate::cpumask;

/// The parameter of the methods that take the name of a volume and nothing else.
///
/// # Errors
/// The name is missing or no string, or there are other parameters.
pub fn parse_name(fields: Fields) -> Result<String, ParamError> {
    Reader::new(fields, &["name"])?.string("name", VOLUME_NAME)
}

/// The parameters of `bdev_dedupe_delete`: a volume, and whether it is deleted although somebody uses it.
///
/// # Errors
/// The name is missing, one is not allowed, or there are others.
pub fn parse_delete(fields: Fields) -> Result<(String, bool), ParamError> {
    let mut reader = Reader::new(fields, &["name", "force"])?;
    Ok((reader.string("name", VOLUME_NAME)?, reader.flag("force")?))
}

/// The parameters of `bdev_dedupe_rename`: a volume and its new name.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_rename(fields: Fields) -> Result<(String, String), ParamError> {
    let mut reader = Reader::new(fields, &["name", "new_name"])?;
    Ok((reader.string("name", VOLUME_NAME)?, reader.string("new_name", NEW_NAME)?))
}

/// The parameter of `bdev_dedupe_get_stats`: one volume, or all.
///
/// # Errors
/// The name is no string, or there are other parameters.
pub fn parse_get_stats(fields: Fields) -> Result<Option<String>, ParamError> {
    Reader::new(fields, &["name"])?.optional_string("name", VOLUME_NAME)
}

/// Parameters of `bdev_dedupe_dump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpParams {
    /// Name of the volume.
    pub name: String,
    /// Entries of each list, at most.
    pub max_entries: usize,
    /// Slabs from this one on, instead of those at which something goes on.
    pub first_slab: Option<u64>,
}

/// Entries of each list of a dump unless more or fewer are asked for.
const DUMP_ENTRIES: u64 = 32;

/// Entries of each list of a dump, at most: so many are written by a shard in well under a millisecond.
const MAX_DUMP_ENTRIES: u64 = 256;

impl DumpParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// The name is missing, one is not allowed, or there are others.
    pub fn parse(fields: Fields) -> Result<DumpParams, ParamError> {
        let mut reader = Reader::new(fields, &["name", "max_entries", "first_slab"])?;
        let name = reader.string("name", VOLUME_NAME)?;
        let most = reader.optional_number("max_entries", ENTRIES, |most| most <= MAX_DUMP_ENTRIES)?;
        let max_entries = most.unwrap_or(DUMP_ENTRIES) as usize;
        Ok(DumpParams { name, max_entries, first_slab: reader.optional_number("first_slab", NUMBER, |_| true)? })
    }
}

/// The parameters of `bdev_dedupe_set_index_memory`: a volume and its new `index_memory_mib`.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_set_index_memory(fields: Fields) -> Result<(String, u64), ParamError> {
    let mut reader = Reader::new(fields, &["name", "index_memory_mib"])?;
    let name = reader.string("name", VOLUME_NAME)?;
    let mib = reader.optional_number("index_memory_mib", INDEX, |mib| (1..=1 << 20).contains(&mib))?;
    Ok((name, mib.ok_or(ParamError::Missing { name: "index_memory_mib", allowed: INDEX })?))
}

/// What is to become of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexAction {
    /// A new, empty one.
    Create,
    /// None, until it is opened again.
    Close,
    /// Open, but not asked.
    Disable,
    /// Open, and asked.
    Enable,
}

impl IndexAction {
    fn parse(name: &str) -> Option<IndexAction> {
        Some(match name {
            "create" => IndexAction::Create,
            "close" => IndexAction::Close,
            "disable" => IndexAction::Disable,
            "enable" => IndexAction::Enable,
            _ => return None,
        })
    }
}

/// The parameters of `bdev_dedupe_set_index`: a volume and what is to become of its index.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_set_index(fields: Fields) -> Result<(String, IndexAction), ParamError> {
    let mut reader = Reader::new(fields, &["name", "action"])?;
    let name = reader.string("name", VOLUME_NAME)?;
    let given = reader.string("action", ACTION)?;
    let bad = || ParamError::Bad { name: "action", given: format!("\"{given}\""), allowed: ACTION };
    Ok((name, IndexAction::parse(&given).ok_or_else(bad)?))
}

/// The parameters of `bdev_dedupe_set_compression`: a volume, and whether it compresses.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_set_compression(fields: Fields) -> Result<(String, bool), ParamError> {
    let mut reader = Reader::new(fields, &["name", "enabled"])?;
    let name = reader.string("name", VOLUME_NAME)?;
    let enabled = reader.optional_boolean("enabled")?;
    Ok((name, enabled.ok_or(ParamError::Missing { name: "enabled", allowed: SWITCH })?))
}

/// The parameters of `bdev_dedupe_set_reserve`: a volume, and the percent of its blocks that are kept from now on.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_set_reserve(fields: Fields) -> Result<(String, u8), ParamError> {
    let mut reader = Reader::new(fields, &["name", "percent"])?;
    let name = reader.string("name", VOLUME_NAME)?;
    let percent = reader.optional_number("percent", RESERVE, is_reserve)?;
    // At most 50.
    Ok((name, percent.ok_or(ParamError::Missing { name: "percent", allowed: RESERVE })? as u8))
}

/// Whether so many percent of a volume can be kept for the operator.
pub(super) fn is_reserve(percent: u64) -> bool {
    percent <= u64::from(MAX_RESERVE_PERCENT)
}

/// A volume and a size in MiB, for the methods that change one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeParams {
    /// Name of the volume.
    pub name: String,
    /// Its new size in MiB; none where the method can choose it.
    pub mib: Option<u64>,
}

impl SizeParams {
    /// The parameters of `bdev_dedupe_set_block_map_cache`.
    ///
    /// # Errors
    /// One of them is missing or not allowed, or there are others.
    pub fn parse_cache(fields: Fields) -> Result<SizeParams, ParamError> {
        SizeParams::parse(fields, &["name", "block_map_cache_mib"], CACHE, true, |mib| (1..=1 << 20).contains(&mib))
    }

    /// The parameters of `bdev_dedupe_grow_logical`.
    ///
    /// # Errors
    /// One of them is missing or not allowed, or there are others.
    pub fn parse_logical(fields: Fields) -> Result<SizeParams, ParamError> {
        SizeParams::parse(fields, &["name", "logical_size_mib"], LOGICAL, true, |mib| (1..=1 << 32).contains(&mib))
    }

    /// The parameters of `bdev_dedupe_grow_physical`.
    ///
    /// # Errors
    /// The name is missing, one is not allowed, or there are others.
    pub fn parse_physical(fields: Fields) -> Result<SizeParams, ParamError> {
        SizeParams::parse(fields, &["name", "physical_size_mib"], PHYSICAL, false, |mib| (8..=1 << 28).contains(&mib))
    }

    fn parse(
        fields: Fields,
        names: &'static [&'static str; 2],
        allowed: &'static str,
        needed: bool,
        is_allowed: impl Fn(u64) -> bool,
    ) -> Result<SizeParams, ParamError> {
        let mut reader = Reader::new(fields, names)?;
        let name = reader.string("name", VOLUME_NAME)?;
        let mib = reader.optional_number(names[1], allowed, is_allowed)?;
        match mib {
            None if needed => Err(ParamError::Missing { name: names[1], allowed }),
            mib => Ok(SizeParams { name, mib }),
        }
    }
}

/// Parameters of `bdev_dedupe_load`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadParams {
    /// Name of the volume.
    pub name: String,
    /// Its pool; any that is active when not given.
    pub pool_name: Option<String>,
    /// The cores that it is to run on from now on; as before when not given.
    pub cpumask: Option<String>,
}

impl LoadParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// The name is missing, one is not allowed, or there are others.
    pub fn parse(fields: Fields) -> Result<LoadParams, ParamError> {
        let mut reader = Reader::new(fields, &["name", "pool_name", "cpumask"])?;
        let params = LoadParams {
            name: reader.string("name", VOLUME_NAME)?,
            pool_name: reader.optional_string("pool_name", POOL_NAME)?,
            cpumask: reader.optional_string("cpumask", CPUMASK)?,
        };
        params.cpumask.as_deref().map(cpumask::parse).transpose()?;
        Ok(params)
    }
}
