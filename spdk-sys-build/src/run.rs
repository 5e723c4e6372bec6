// SPDX-License-Identifier: BSD-3-Clause

//! Runs the programs that fetch and build: apt-get, tar, configure, make.
//!
//! Each runs in a clean environment (variables of a Makefile or of cargo must not leak into SPDK's build), with the
//! system's programs first in `PATH` (SPDK's scripts take the first `python3`, which must be the one that the system's
//! modules belong to), and gets SIGTERM when this process dies.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::error::Error;
use crate::progress::Task;

/// Variables that programs inherit.
const INHERITED: &[&str] = &[
    "HOME",
    "USER",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "APT_CONFIG",
];
/// How much of the end of a log an error shows.
const TAIL_LINES: usize = 25;
const TAIL_BYTES: u64 = 16 * 1024;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A command in the clean environment.
pub(crate) fn command(program: &str, arguments: &[&str], dir: &Path) -> Command {
    // setpriv(1) is in util-linux, which is essential on Debian; elsewhere the build works without it, but outlives a
    // killed parent.
    let mut command = if Path::new("/usr/bin/setpriv").exists() {
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "TERM", "--", program]);
        command
    } else {
        Command::new(program)
    };
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", format!("/usr/sbin:/usr/bin:/sbin:/bin:{path}"))
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // SPDK's build asks git for its commit, and would get that of a repository that happens to contain the cache.
        .env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir))
        .stdin(Stdio::null());
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// The command line as a person would type it.
fn shown(program: &str, arguments: &[&str]) -> String {
    std::iter::once(&program).chain(arguments).copied().collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end and returns its stdout.
pub(crate) fn output(program: &str, arguments: &[&str], dir: &Path) -> Result<String, Error> {
    let result = command(program, arguments, dir).output();
    let result = result.map_err(|source| Error::Spawn { command: shown(program, arguments), source })?;
    if !result.status.success() {
        let tail = String::from_utf8_lossy(&result.stderr);
        return Err(Error::Command {
            command: shown(program, arguments),
            status: result.status,
            log: None,
            tail: last_lines(&tail),
        });
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Runs a program to its end and appends its output to a log. `watch` gets new output about ten times a second, to
/// report progress.
pub(crate) fn logged(
    program: &str,
    arguments: &[&str],
    dir: &Path,
    log: &Path,
    mut watch: impl FnMut(&[u8]),
) -> Result<(), Error> {
    let write_log = File::options().create(true).append(true).open(log).map_err(Error::io("opening", log))?;
    let mut read_log = File::open(log).map_err(Error::io("opening", log))?;
    read_log.seek(SeekFrom::End(0)).map_err(Error::io("reading", log))?;
    let errors = write_log.try_clone().map_err(Error::io("opening", log))?;
    let spawn_error = |source| Error::Spawn { command: shown(program, arguments), source };
    let mut child = command(program, arguments, dir).stdout(write_log).stderr(errors).spawn().map_err(spawn_error)?;
    let mut printed = Vec::new();
    let status = loop {
        let status = child.try_wait().map_err(spawn_error)?;
        printed.clear();
        read_log.read_to_end(&mut printed).map_err(Error::io("reading", log))?;
        watch(&printed);
        match status {
            Some(status) => break status,
            None => std::thread::sleep(POLL_INTERVAL),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(failure(program, arguments, status, log))
}

/// [`logged`], with the number of compiled files as progress.
pub(crate) fn build_step(
    program: &str,
    arguments: &[&str],
    dir: &Path,
    log: &Path,
    task: &mut Task,
) -> Result<(), Error> {
    let mut counter = CompiledCounter::default();
    logged(program, arguments, dir, log, |printed| {
        counter.feed(printed);
        task.update(|| counter.to_string());
    })
}

fn failure(program: &str, arguments: &[&str], status: ExitStatus, log: &Path) -> Error {
    Error::Command {
        command: shown(program, arguments),
        status,
        log: Some(log.to_owned()),
        tail: last_lines(&tail_of(log)),
    }
}

fn tail_of(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    // The failure itself must be reported, so an unreadable log only makes the message poorer.
    read().map_or_else(|error| format!("({error})"), |tail| String::from_utf8_lossy(&tail).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Counts compiled files in the output of SPDK's make, autotools and ninja.
#[derive(Default)]
struct CompiledCounter {
    partial_line: Vec<u8>,
    files: usize,
    last: String,
}

impl CompiledCounter {
    fn feed(&mut self, printed: &[u8]) {
        for part in printed.split_inclusive(|&byte| byte == b'\n' || byte == b'\r') {
            self.partial_line.extend_from_slice(part);
            if part.ends_with(b"\n") || part.ends_with(b"\r") {
                let line = std::mem::take(&mut self.partial_line);
                self.line(String::from_utf8_lossy(&line).trim());
            }
        }
    }

    fn line(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().take(8).collect();
        let compiled = match words.as_slice() {
            // SPDK: "CC lib/bdev/bdev.o"; libtool: "CC  crc/crc_base.lo"; fio: "   CC crc/crc32.o".
            ["CC" | "CXX" | "CPPAS" | "AS", file] => Some(*file),
            // ninja: "[17/2345] Compiling C object lib/librte_eal.a.p/eal.c.o".
            [_, "Compiling", "C", "object", file] => Some(*file),
            _ => None,
        };
        if let Some(file) = compiled {
            self.files += 1;
            file.clone_into(&mut self.last);
        }
    }
}

impl std::fmt::Display for CompiledCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.files == 0 {
            return f.write_str("...");
        }
        let name = self.last.rsplit('/').next().unwrap_or_default();
        write!(f, "{} files compiled, {name:.40}", self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn compiled_files_are_counted_across_reads() {
        let mut counter = CompiledCounter::default();
        counter.feed(b"  CC lib/bdev/bdev.o\n  LIB libspdk_bdev.a\n  C");
        counter.feed(b"C lib/bdev/part.o\n[1/200] Compiling C object lib/eal.a.p/eal.c.o\n");
        assert_eq!(counter.to_string(), "3 files compiled, eal.c.o");
    }

    #[test]
    fn a_failure_shows_the_end_of_the_log_and_keeps_the_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        let script = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; echo broken >&2; exit 3";
        let mut task = Progress::silent().task("test");
        let error = build_step("sh", &["-c", script], dir.path(), &log, &mut task).expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("broken") && text.contains("line 99") && !text.contains("line 50\n"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(std::fs::read_to_string(&log).expect("log").contains("line 0\n"));
    }

    #[test]
    fn a_makefiles_variables_do_not_leak() {
        let dir = tempfile::tempdir().expect("a directory");
        let variables = output("env", &[], dir.path()).expect("env");
        assert!(variables.lines().any(|line| line.starts_with("PATH=/usr/sbin:/usr/bin:")));
        assert!(!variables.lines().any(|line| line.starts_with("CARGO")), "{variables}");
    }
}
