// SPDX-License-Identifier: BSD-3-Clause

//! One data set, with and without compression, at each depth: a new volume, and what it uses at each moment of its life.

use std::time::Duration;

use ::tests::measure::{Record, Results};
use ::tests::target::Rig;

use super::layout::{all_of, end_of, logical_blocks, start_of, Layout, Write};
use super::options::Run;
use super::oracle::{Census, CensusError, Figures, BLOCK_BYTES};
use super::sets::DataSet;
use super::stand::{unknown_parameter, Shape, Stand};
use super::Outcome;

const SEED: u64 = 1;
/// For reading all back.
const READ_DEPTH: usize = 64;

/// Measures a data set in all ways that are asked for.
pub fn measure(rig: &Rig, options: &Run, set: &DataSet, results: &mut Results) -> Outcome<()> {
    log::info!("counting the blocks of {}", set.what);
    results.head.push(format!("{}: {}", set.kind.name(), set.what));
    let mut census = Census::new();
    for image in &set.images {
        census.take(image)?;
    }
    for &compression in &options.compression {
        for &depth in &options.common.depths {
            let volume =
                Shape { logical_blocks: logical_blocks(census.len()), compression, index_mib: None, history_mib: None };
            let stand = match Stand::new(rig, options.common.place.as_deref(), volume) {
                Err(error) if compression && unknown_parameter(error.as_ref(), "compression") => {
                    log::warn!("the module has no compression: {error}");
                    continue;
                }
                stand => stand?,
            };
            let mut case = Case { set, census: &census, stand, layout: Layout::default(), depth, compression, results };
            case.run()?;
        }
    }
    Ok(())
}

struct Case<'a> {
    set: &'a DataSet,
    census: &'a Census,
    stand: Stand<'a>,
    layout: Layout,
    depth: usize,
    compression: bool,
    results: &'a mut Results,
}

impl Case<'_> {
    fn run(&mut self) -> Outcome<()> {
        let blocks = self.census.len();
        let writes = self.layout.append(all_of(blocks));
        let took = self.write(&writes)?;
        self.record("written", Some(took))?;
        self.stand.restart()?;
        self.record("after a restart", None)?;
        let writes = self.layout.append(start_of(blocks));
        let took = self.write(&writes)?;
        self.record("a part again after the restart", Some(took))?;
        self.stand.kill()?;
        self.record("after kill -9", None)?;
        let writes = self.layout.append(end_of(blocks));
        let took = self.write(&writes)?;
        self.record("a part again after kill -9", Some(took))?;
        let writes = self.layout.overwrite_half(blocks, SEED);
        let took = self.write(&writes)?;
        self.record("half overwritten at random", Some(took))?;
        self.read_back()?;
        log::info!(
            "{}, depth {}, compression {}: all read back, every byte as written",
            self.set.kind.name(),
            self.depth,
            if self.compression { "on" } else { "off" }
        );
        Ok(())
    }

    fn write(&self, writes: &[Write]) -> Outcome<Duration> {
        let blocks = writes.iter().map(|write| Ok::<_, CensusError>((write.lbn, self.census.read(write.block)?)));
        self.stand.connect(self.depth)?.write(blocks)
    }

    fn record(&mut self, moment: &str, took: Option<Duration>) -> Outcome<()> {
        let usage = self.stand.usage()?;
        let figures = Figures::of(self.census, self.layout.blocks());
        let percent = |blocks| figures.percent_of_savings(blocks, self.compression);
        let in_engine = if self.compression { figures.packed_blocks_of_engine } else { figures.unique_blocks };
        let record = Record::new("set", self.set.kind.name())
            .with("depth", self.depth)
            .with("compression", self.compression)
            .with("moment", moment)
            .with("data_blocks", figures.data_blocks())
            .with("oracle_blocks", figures.needed_blocks(self.compression))
            .with("engine_blocks", in_engine)
            .with("data_blocks_used", usage.data_blocks)
            .with("block_map_pages", usage.map_pages)
            .with("percent_of_savings", percent(usage.data_blocks))
            .with("percent_of_savings_with_map", percent(usage.data_blocks + usage.map_pages))
            .with("written_in_seconds", took.map(|took| took.as_secs_f64()))
            .with("settled_after_seconds", usage.settled_after.as_secs_f64());
        self.results.records.push(figures.add_to(record).with("statistics", usage.statistics));
        Ok(())
    }

    fn read_back(&self) -> Outcome<()> {
        let places = self.layout.reads();
        let compare = |lbn: u64, bytes: &[u8]| {
            let wanted: [u8; BLOCK_BYTES] = self.census.read(places[lbn as usize].block)?;
            if bytes == wanted {
                return Ok(());
            }
            Err(format!("block {lbn} does not hold what was written to it").into())
        };
        self.stand.connect(READ_DEPTH)?.read(places.iter().map(|place| place.lbn), compare)
    }
}
