// SPDX-License-Identifier: BSD-3-Clause

//! `mpool-inspect`: inspects the devices of a media pool.

#![forbid(unsafe_code)]

mod args;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use args::Args;
use clap::Parser;
use inspect::content::Content;
use inspect::dump::Dump;
use inspect::image::Image;
use inspect::report::{Inspection, Logs, Report};
use inspect::{json, text};

/// Exit status: nothing is wrong.
const CLEAN: u8 = 0;
/// Exit status: something is wrong.
const WRONG: u8 = 1;
/// Exit status: the images could not be inspected.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    start_log();
    let mut images = Vec::with_capacity(args.images.len());
    for path in &args.images {
        match Image::open(path) {
            Ok(image) => images.push(image),
            Err(error) => {
                log::error!("{path} {error}");
                return ExitCode::from(UNUSABLE);
            }
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = Inspection::new(images)
        .look(args.verify, |report, logs| print(&mut out, &args, &report, logs))
        .and_then(|code| out.flush().map(|()| code));
    match printed {
        Ok(code) => ExitCode::from(code),
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(CLEAN),
        Err(error) => {
            log::error!("writing the output: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// The program's name before each line; with `RUST_LOG`, what that says.
fn start_log() {
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"));
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        builder.format(|out, record| writeln!(out, "mpool-inspect: {}", record.args()));
    }
    builder.init();
}

fn print(out: &mut impl Write, args: &Args, report: &Report, logs: Option<&Logs<'_>>) -> io::Result<u8> {
    match args.log {
        Some(id) => {
            let log = logs.ok_or_else(|| "no pool was found".to_owned()).and_then(|logs| logs.find(id));
            let (log, pool) = match (log, &report.pool) {
                (Ok(log), Some(pool)) => (log, pool),
                (log, _) => {
                    text::findings(out, &report.findings)?;
                    let reason = log.err().unwrap_or_default();
                    log::error!("log {:#x} cannot be dumped: {reason}", id.0);
                    return Ok(WRONG);
                }
            };
            let scanned = log.scan_any();
            let dump = Dump::new(log, &scanned, Content::of(id, pool), args.raw);
            if args.json {
                json::dump(&mut *out, &report.findings, &log.report(&scanned), dump)?;
            } else {
                text::findings(out, &report.findings)?;
                text::dump(out, &log.report(&scanned), dump)?;
            }
        }
        None if args.json => json::report(&mut *out, report)?,
        None if args.verify => text::verdict(out, report)?,
        None => text::report(out, report)?,
    }
    Ok(if report.findings.errors == 0 { CLEAN } else { WRONG })
}
