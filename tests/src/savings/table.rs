// SPDX-License-Identifier: BSD-3-Clause

//! The tables. Sizes are in blocks in the rows, and in MiB here.

use ::tests::measure::{column, Column};

/// 1 MiB in blocks.
const MIB: f64 = 256.0;

/// The oracle's figures alone.
pub const ORACLE: &[Column] = &[
    column("content", "content", 0),
    column("blocks", "blocks of 4 KiB", 0),
    column("zero_blocks", "zeros", 0),
    column("unique_blocks", "different", 0),
    column("packed_blocks", "packed by first-fit decreasing", 0),
    column("packed_blocks_of_engine", "the same in the engine's format", 0),
    column("lz4_bytes", "sum of LZ4 sizes, MiB", 1).in_units_of(1048576.0),
];

/// The moments of volumes with data sets.
pub const MOMENTS: &[Column] = &[
    column("set", "set", 0),
    column("depth", "depth", 0),
    column("compression", "compression", 0),
    column("moment", "moment", 0),
    column("data_blocks", "data MiB", 1).in_units_of(MIB),
    column("oracle_blocks", "oracle MiB", 1).in_units_of(MIB),
    column("lz4_bytes", "LZ4 sum MiB", 1).in_units_of(1048576.0),
    column("engine_blocks", "engine's format MiB", 1).in_units_of(MIB),
    column("data_blocks_used", "used MiB", 1).in_units_of(MIB),
    column("percent_of_savings", "% of the oracle's savings", 2),
    column("percent_of_savings_with_map", "map included", 2),
];

/// What is found of a long sequence.
pub const HISTORY: &[Column] = &[
    column("depth", "depth", 0),
    column("index_mib", "index MiB", 0),
    column("index_records", "records", 0),
    column("blocks", "blocks", 0),
    column("index_history_mib", "level 2 MiB", 0),
    column("found_percent", "duplicates found %", 2),
    column("first_seconds", "written in s", 0),
    column("second_seconds", "again in s", 0),
];
