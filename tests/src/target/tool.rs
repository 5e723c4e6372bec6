// SPDX-License-Identifier: BSD-3-Clause

//! SPDK programs that run to their end: bdevperf, spdk_dd, and fio with SPDK's plugin.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::error::{io, TargetError};
use super::process::Process;
use super::rig::Rig;

/// How a program is run.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The JSON configuration that makes the program's bdevs.
    pub config: Value,
    /// Whether the dedupe module is preloaded: yes for a program that makes a dedupe bdev, no for a mere initiator.
    pub with_module: bool,
    /// The cores it polls.
    pub cores: Vec<usize>,
    /// Memory for DPDK in MiB; 0: as much as it comes to need.
    pub memory_mib: u64,
    /// Whether the memory is one file, as an initiator over vfio-user needs to share it with the target.
    pub one_file: bool,
    /// How long it may take.
    pub patience: Duration,
}

/// A load of bdevperf.
#[derive(Debug, Clone, Copy)]
pub struct Bdevperf<'a> {
    /// `-w`: `verify`, `randrw`, `unmap`, ...
    pub workload: &'a str,
    /// `-o`: bytes a request.
    pub io_bytes: u32,
    /// `-q`.
    pub depth: u32,
    /// `-t`.
    pub seconds: u32,
    /// Further arguments.
    pub more: &'a [&'a str],
}

/// A job of fio; `options` are lines of a job file.
#[derive(Debug, Clone)]
pub struct FioJob {
    /// Its name.
    pub name: String,
    /// Lines such as `rw=randwrite`.
    pub options: Vec<String>,
}

impl FioJob {
    /// A job of `options` separated by blanks or line ends.
    #[must_use]
    pub fn new(name: &str, options: &str) -> Self {
        Self { name: name.to_owned(), options: options.split_whitespace().map(str::to_owned).collect() }
    }
}

/// What a run of fio did, summed over its jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FioResult {
    /// Bytes read; with verify, those read to verify count.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes trimmed.
    pub trimmed_bytes: u64,
    /// Requests that failed; more than none only with `continue_on_error`.
    pub errors: u64,
}

impl Tool {
    /// Runs bdevperf to its end and returns what it printed.
    ///
    /// # Errors
    /// It finds wrong data or fails otherwise.
    pub fn bdevperf(&self, rig: &Rig, load: &Bdevperf<'_>) -> Result<String, TargetError> {
        let mut process = self.start_bdevperf(rig, load)?;
        process.succeed(self.patience)?;
        Ok(process.log())
    }

    /// Starts bdevperf.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_bdevperf(&self, rig: &Rig, load: &Bdevperf<'_>) -> Result<Process, TargetError> {
        let program = program(rig, rig.tree.apps.bdevperf.as_deref(), "bdevperf")?;
        let mut arguments = vec![
            "-w".to_owned(),
            load.workload.to_owned(),
            "-o".to_owned(),
            load.io_bytes.to_string(),
            "-q".to_owned(),
            load.depth.to_string(),
            "-t".to_owned(),
            load.seconds.to_string(),
        ];
        arguments.extend(load.more.iter().map(|&argument| argument.to_owned()));
        self.start(rig, program, &arguments)
    }

    /// Runs spdk_dd to its end.
    ///
    /// # Errors
    /// It fails.
    pub fn spdk_dd(&self, rig: &Rig, arguments: &[String]) -> Result<(), TargetError> {
        self.start_spdk_dd(rig, arguments)?.succeed(self.patience)
    }

    /// Starts spdk_dd.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_spdk_dd(&self, rig: &Rig, arguments: &[String]) -> Result<Process, TargetError> {
        let program = program(rig, rig.tree.apps.spdk_dd.as_deref(), "spdk_dd")?;
        self.start(rig, program, arguments)
    }

    fn start(&self, rig: &Rig, program: &Path, more: &[String]) -> Result<Process, TargetError> {
        let config = rig.write_json("config.json", &self.config)?;
        let mut arguments = rig.common_arguments(&self.cores, self.memory_mib, &rig.path("rpc.sock"));
        arguments.extend(["--json".to_owned(), config.display().to_string()]);
        if self.one_file {
            arguments.push("--single-file-segments".to_owned());
        }
        arguments.extend(more.iter().cloned());
        let mut launch = rig.launch(program, self.with_module);
        launch.arguments = arguments.into_iter().map(OsString::from).collect();
        launch.start()
    }

    /// Runs fio jobs on one bdev to their end, one after another unless they say otherwise.
    ///
    /// # Errors
    /// A job finds wrong data or fails otherwise.
    pub fn fio(&self, rig: &Rig, bdev: &str, jobs: &[FioJob]) -> Result<FioResult, TargetError> {
        let output = rig.path("fio-result.json");
        let mut process = self.start_fio(rig, bdev, jobs, &output)?;
        process.succeed(self.patience)?;
        let text = std::fs::read_to_string(&output).map_err(io("reading", &output))?;
        fio_result(&text)
    }

    /// Starts fio.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_fio(&self, rig: &Rig, bdev: &str, jobs: &[FioJob], output: &Path) -> Result<Process, TargetError> {
        let plugin = program(rig, rig.tree.fio_plugin.as_deref(), "fio plugin")?;
        let config = rig.write_json("config.json", &self.config)?;
        let job_file = rig.path("job.fio");
        // fio threads are no reactors: the plugin polls SPDK's threads from them (hence thread=1), and pins none.
        let mut text = format!(
            "[global]\nioengine=spdk_bdev\nspdk_json_conf={}\nspdk_single_seg={}\nthread=1\ndirect=1\nfilename={bdev}\nrandseed=1\n",
            config.display(),
            u8::from(self.one_file),
        );
        let memory_mib = rig.memory.mib_for(self.memory_mib);
        if memory_mib > 0 {
            // A write to a string cannot fail.
            let _ = writeln!(text, "spdk_mem={memory_mib}");
        }
        for job in jobs {
            let _ = writeln!(text, "[{}]\n{}", job.name, job.options.join("\n"));
        }
        std::fs::write(&job_file, text).map_err(io("writing", &job_file))?;
        let mut launch = rig.launch(&fio_program(rig), self.with_module);
        launch.preload.insert(0, plugin.to_owned());
        launch.arguments = vec![
            "--output-format=json".into(),
            "--output".into(),
            output.into(),
            // Its own files (verify state) must not end up in the current directory.
            format!("--aux-path={}", rig.dir().display()).into(),
            job_file.into(),
        ];
        launch.start()
    }
}

/// The fio that the plugin was built for; for a tree that is not ours, `$FIO` or the one in `PATH`.
fn fio_program(rig: &Rig) -> PathBuf {
    rig.tree.fio.clone().or_else(|| std::env::var_os("FIO").map(PathBuf::from)).unwrap_or_else(|| PathBuf::from("fio"))
}

fn program<'a>(rig: &Rig, path: Option<&'a Path>, program: &'static str) -> Result<&'a Path, TargetError> {
    path.ok_or_else(|| TargetError::NoProgram { root: rig.tree.root.clone(), program })
}

/// fio puts notes in front of its JSON.
fn fio_result(text: &str) -> Result<FioResult, TargetError> {
    let unusable = || TargetError::Answer { method: "fio".to_owned(), answer: text.to_owned() };
    let start = text.find('{').ok_or_else(unusable)?;
    let value: Value = serde_json::from_str(&text[start..]).map_err(|_| unusable())?;
    let jobs = value["jobs"].as_array().ok_or_else(unusable)?;
    let mut result = FioResult::default();
    for job in jobs {
        let bytes = |kind: &str| job[kind]["io_bytes"].as_u64().unwrap_or(0);
        result.read_bytes += bytes("read");
        result.written_bytes += bytes("write");
        result.trimmed_bytes += bytes("trim");
        result.errors += job["total_err"].as_u64().unwrap_or(0);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fio_results_are_summed() {
        let text = "note: x\n{\"jobs\": [{\"read\": {\"io_bytes\": 3}, \"total_err\": 1}, {\"read\": {\"io_bytes\": 4}, \"trim\": {\"io_bytes\": 9}}]}";
        let result = fio_result(text).expect("readable");
        assert_eq!((result.read_bytes, result.trimmed_bytes, result.errors), (7, 9, 1));
        assert!(fio_result("nothing").is_err());
    }
}
