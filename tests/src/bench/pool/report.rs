// SPDX-License-Identifier: BSD-3-Clause

//! The pool's figures as text.

use std::fmt::{Result, Write};

use super::framer::Framing;
use super::record::PoolOutput;

/// What 64 appenders are to reach on the file, as a multiple of one.
const GROUP_AIM: f64 = 5.0;

/// Everything that was measured, for people.
#[must_use]
pub fn text(output: &PoolOutput) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, output);
    out
}

fn write_all(out: &mut String, output: &PoolOutput) -> Result {
    writeln!(out, "{}", output.spdk)?;
    let direct = match output.direct {
        Some(true) => "O_DIRECT",
        Some(false) => "through the page cache",
        None => "O_DIRECT unknown",
    };
    writeln!(out, "file: {}, {direct}", output.filesystem.as_deref().unwrap_or("unknown filesystem"))?;
    appends(out, output)?;
    mblocks(out, output)?;
    framing(out, &output.framing)?;
    if let Some(share) = output.core_share {
        writeln!(out, "share of its core that the reactor had: {share:.2}")?;
    }
    group_commit(out, output)?;
    for failure in &output.failures {
        writeln!(out, "FAILED: {failure}")?;
    }
    Ok(())
}

fn appends(out: &mut String, output: &PoolOutput) -> Result {
    writeln!(
        out,
        "{:<12} {:>9} {:>10} {:>10} {:>6} {:>11} {:>6} {:>7} {:>9} {:>9} {:>7} {:>7}",
        "sync append",
        "appenders",
        "kappends/s",
        "raw k/s",
        "ratio",
        "durable k/s",
        "group",
        "cpu us",
        "p50 us",
        "p99 us",
        "erases",
        "stalls"
    )?;
    for record in &output.appends {
        writeln!(
            out,
            "{:<12} {:>9} {:>10.2} {:>10.2} {:>6.3} {:>11.2} {:>6.1} {:>7.2} {:>9.1} {:>9.1} {:>7} {:>7}",
            record.bdev,
            record.appenders,
            record.appends / 1e3,
            record.raw_writes / 1e3,
            record.ratio,
            record.durable_writes / 1e3,
            record.group,
            record.cpu_us,
            record.p50_us,
            record.p99_us,
            record.erases,
            record.stalls
        )?;
    }
    Ok(())
}

fn mblocks(out: &mut String, output: &PoolOutput) -> Result {
    writeln!(
        out,
        "{:<12} {:>9} {:>4} {:>11} {:>11} {:>6} {:>11} {:>11} {:>11} {:>6}",
        "mblock",
        "workers",
        "KiB",
        "write MiB/s",
        "raw MiB/s",
        "ratio",
        "raw flushed",
        "read MiB/s",
        "raw MiB/s",
        "ratio"
    )?;
    for record in &output.mblocks {
        writeln!(
            out,
            "{:<12} {:>9} {:>4} {:>11.0} {:>11.0} {:>6.2} {:>11.0} {:>11.0} {:>11.0} {:>6.2}",
            record.bdev,
            record.workers,
            record.transfer_bytes >> 10,
            record.write_mib,
            record.raw_write_mib,
            record.write_ratio,
            record.flushed_write_mib,
            record.read_mib,
            record.raw_read_mib,
            record.read_ratio
        )?;
    }
    Ok(())
}

fn framing(out: &mut String, framing: &Framing) -> Result {
    let line = |out: &mut String, what: &str, ns: f64, bytes: f64, floor: f64| {
        writeln!(
            out,
            "framer, 4 KiB records in {what}: {ns:.0} ns each ({:.2} GB/s), {bytes:.0} bytes on media; \
             copy and check code of these alone {floor:.0} ns, so {:.2} times the floor",
            4096.0 / ns,
            ns / floor
        )
    };
    line(
        out,
        "sets of 128 KiB, 4 in flight",
        framing.large_sets_ns,
        framing.large_sets_bytes,
        framing.large_floor_ns(),
    )?;
    line(out, "sets of their own", framing.single_sets_ns, framing.single_sets_bytes, framing.single_floor_ns())?;
    writeln!(out, "floor, ns per 4 KiB: copy {:.0}, check code {:.0}", framing.copy_ns, framing.crc_ns)
}

/// How much the first number of appenders gains from being many: of the file, where a flush costs something.
fn group_commit(out: &mut String, output: &PoolOutput) -> Result {
    let find =
        |appenders: u32| output.appends.iter().find(|record| record.bdev == "aio" && record.appenders == appenders);
    let (Some(one), Some(many)) = (find(1), find(64)) else { return Ok(()) };
    let times = many.appends / one.appends;
    let verdict = if times >= GROUP_AIM { "reached:" } else { "MISSED: " };
    writeln!(out, "{verdict} 64 appenders do {times:.1} times one on the file, aim {GROUP_AIM}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::pool::record::AppendRecord;

    fn record(appenders: u32, appends: f64) -> AppendRecord {
        AppendRecord {
            bdev: "aio".to_owned(),
            appenders,
            appends,
            appends_range: (appends, appends),
            raw_writes: 2.0 * appends,
            ratio: 0.5,
            durable_writes: 1.0,
            group: 1.0,
            cpu_us: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            erases: 0.0,
            stalls: 0.0,
        }
    }

    #[test]
    fn the_gain_of_group_commit_is_judged_on_the_file() {
        let mut output = PoolOutput {
            spdk: "SPDK".to_owned(),
            filesystem: Some("ext4 on /dev/vda".to_owned()),
            direct: Some(true),
            repeats: 1,
            core_share: None,
            appends: vec![record(1, 100.0), record(64, 600.0)],
            mblocks: Vec::new(),
            framing: Framing::default(),
            failures: Vec::new(),
        };
        let shown = text(&output);
        assert!(shown.contains("reached: 64 appenders do 6.0 times one"), "{shown}");
        assert!(shown.contains("file: ext4 on /dev/vda, O_DIRECT\n"), "{shown}");
        output.appends[1].appends = 499.0;
        assert!(text(&output).contains("MISSED:  64 appenders do 5.0 times one"));
    }
}
