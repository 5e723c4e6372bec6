// SPDX-License-Identifier: BSD-3-Clause

//! The measuring process for the check: one SPDK application, a malloc bdev and ours, the same reads with the check and
//! without it.

use bdev_dedupe::load::{self, App, Content, Limit, LoadError, LoadSpec};
use serde_json::Value;

use super::record::{summarise, CheckRecord, ChecksOutput, Round, Window};
use crate::bench::case::Case;
use crate::bench::floor::{Floor, COLD_BYTES};
use crate::bench::host::ReactorTimes;
use crate::bench::options::{Options, Target};
use crate::bench::progress::Progress;
use crate::bench::rpc::Client;
use crate::bench::worker::{self, WorkerError, OTHER_MIB};

/// What a window measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Raw,
    Checked,
    Unchecked,
}

impl Subject {
    const ALL: [Subject; 3] = [Subject::Raw, Subject::Checked, Subject::Unchecked];

    fn label(self) -> &'static str {
        match self {
            Subject::Raw => "raw",
            Subject::Checked => "checked",
            Subject::Unchecked => "unchecked",
        }
    }
}

/// Memory that a measuring process needs, in MiB.
#[must_use]
pub fn memory_mib(options: &Options) -> u64 {
    2 * options.base_mib + (COLD_BYTES >> 20) as u64 + OTHER_MIB
}

/// Measures everything on the first `cores` cores.
///
/// # Errors
/// See [`WorkerError`]. Loads that fail are told of in the output instead.
pub fn measure(options: &Options, cores: u32) -> Result<ChecksOutput, WorkerError> {
    let dir = worker::socket_dir()?;
    let socket = dir.path().join("rpc.sock");
    let app_options = worker::app_options(options, cores, memory_mib(options), &socket);
    let options = options.clone();
    load::run(&app_options, move |app| {
        let mut rpc = Client::connect(&socket)?;
        let version = rpc.call("spdk_get_version", &Value::Null)?;
        let spdk = version["version"].as_str().unwrap_or("SPDK").to_owned();
        let session = Session {
            app,
            raw: worker::create(&mut rpc, Target::Raw, worker::base_blocks(&options))?,
            ours: worker::create(&mut rpc, Target::Dedupe, worker::base_blocks(&options))?,
            region_blocks: worker::region_blocks(&options),
            options,
        };
        let mut floor = app.run_on(0, Floor::new).ok_or(WorkerError::FloorMemory)?;
        let alone_ns = app.run_on(0, move || floor.measure().check) * 1e3;
        let (records, failures) = session.run().unwrap_or_else(|error| (Vec::new(), vec![error.to_string()]));
        Ok(ChecksOutput { spdk, alone_ns, records, failures })
    })?
}

struct Session<'a> {
    app: &'a App,
    raw: &'static str,
    ours: &'static str,
    region_blocks: u64,
    options: Options,
}

impl Session<'_> {
    /// The records, and what failed; an error if there is nothing to read.
    fn run(&self) -> Result<(Vec<CheckRecord>, Vec<String>), LoadError> {
        for bdev in [self.raw, self.ours] {
            worker::fill(self.app, bdev, self.region_blocks, Content::Unique)?;
        }
        let cases = self.options.selected_cases().unwrap_or_default();
        let mut progress = Progress::new(cases.len() * self.options.qd.len() * self.options.repeats as usize);
        let (mut records, mut failures) = (Vec::new(), Vec::new());
        for case in cases {
            for &qd in &self.options.qd {
                match self.run_case(case, qd, &mut progress) {
                    Ok(record) => records.extend(record),
                    Err(failure) => failures.push(failure),
                }
            }
        }
        progress.finish();
        Ok((records, failures))
    }

    fn run_case(&self, case: &Case, qd: u32, progress: &mut Progress) -> Result<Option<CheckRecord>, String> {
        let (mut rounds, mut shares) = (Vec::new(), Vec::new());
        for round in 0..self.options.repeats as usize {
            progress.step(&format!("{} core(s), {}, QD {qd}, round {}", self.app.core_count(), case.name, round + 1));
            let before = ReactorTimes::now();
            rounds.push(self.run_round(case, qd, round)?);
            shares.extend(ReactorTimes::now().share_since(&before));
        }
        Ok(summarise(case, qd, self.app.core_count() as u32, &rounds, shares))
    }

    fn run_round(&self, case: &Case, qd: u32, round: usize) -> Result<Round, String> {
        let mut windows = [None; Subject::ALL.len()];
        for index in order(round) {
            let subject = Subject::ALL[index];
            let window = self.run_window(case, qd, subject, round as u64);
            let failed = |error| format!("{} at QD {qd}, {}: {error}", case.name, subject.label());
            windows[index] = Some(window.map_err(failed)?);
        }
        let [Some(raw), Some(checked), Some(unchecked)] = windows else { unreachable!("an order has each subject") };
        Ok(Round { raw, checked, unchecked })
    }

    /// The same requests for all subjects of a round.
    fn run_window(&self, case: &Case, qd: u32, subject: Subject, round: u64) -> Result<Window, String> {
        load::switch_read_checks(subject != Subject::Unchecked).map_err(|error| error.to_string())?;
        let measure = self.options.measure();
        let report = self.app.run_load(&LoadSpec {
            bdev: if subject == Subject::Raw { self.raw } else { self.ours }.to_owned(),
            operation: case.operation,
            order: case.order,
            blocks_per_request: case.blocks,
            region_blocks: self.region_blocks,
            queue_depth: qd,
            limit: Limit::Time { warm_up: measure / 5, measure },
            seed: round + 1,
        });
        report.map(|report| Window::from(&report)).map_err(|error| error.to_string())
    }
}

/// Indices of the subjects in the order of a round; six rounds have all orders.
fn order(round: usize) -> [usize; Subject::ALL.len()] {
    let forwards = [round % 3, (round + 1) % 3, (round + 2) % 3];
    let [first, second, third] = forwards;
    if round.is_multiple_of(2) {
        forwards
    } else {
        [third, second, first]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_rounds_have_all_orders() {
        let mut orders: Vec<_> = (0..6).map(order).collect();
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders.len(), 6);
        assert!(orders.iter().all(|order| (0..3).all(|index| order.contains(&index))));
    }
}
