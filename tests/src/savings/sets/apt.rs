// SPDX-License-Identifier: BSD-3-Clause

//! Debian packages, fetched and unpacked as if for a machine that has none yet. apt checks the archive's signature and each file's
//! hash; it uses lists, a status file and a cache of our own, so that the system's stay as they are.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::super::Outcome;

const ARCHIVE: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt for one suite.
pub struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// apt with its files below `cache`, its list of packages read.
    pub fn new(cache: &Path, suite: &str) -> Outcome<Apt> {
        let dir = cache.join(format!("apt-{suite}"));
        for part in ["lists/partial", "archives/partial"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        let signed_by = if Path::new(KEYRING).is_file() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        let list = dir.join("sources.list");
        std::fs::write(&list, format!("deb {signed_by}{ARCHIVE} {suite} main\n"))?;
        let settings = [
            format!("Dir::Etc::sourcelist={}", list.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", dir.join("lists").display()),
            "Dir::State::status=/dev/null".to_owned(),
            "Dir::State::extended_states=/dev/null".to_owned(),
            format!("Dir::Cache={}", dir.display()),
            format!("Dir::Cache::archives={}", dir.join("archives").display()),
            "APT::Update::Error-Mode=any".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Install-Recommends=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "Debug::NoLocking=true".to_owned(),
        ];
        let options = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect();
        let apt = Apt { dir, options };
        apt.run(&["update"])?;
        Ok(apt)
    }

    fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        run(Command::new("apt-get").args(&self.options).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Fetches packages, what they depend on and what every machine has, and unpacks all below `root`. Returns how many there are.
    pub fn unpack(&self, packages: &[&str], root: &Path) -> Outcome<usize> {
        let archives = self.dir.join("archives");
        let mut arguments = vec!["install", "--yes", "--download-only", "?priority(required)", "?priority(important)"];
        arguments.extend(packages);
        self.run(&arguments)?;
        std::fs::create_dir_all(root)?;
        let mut files: Vec<_> = Vec::new();
        for entry in std::fs::read_dir(&archives)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                files.push(path);
            }
        }
        // base-files brings the links that others unpack through; names' order puts it before most.
        files.sort_by_key(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (!name.starts_with("base-files_"), name)
        });
        for file in &files {
            run(Command::new("dpkg-deb").arg("-x").arg(file).arg(root))?;
            // Another tree has other packages.
            std::fs::remove_file(file)?;
        }
        Ok(files.len())
    }
}

fn run(command: &mut Command) -> Outcome<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("starting {program}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into())
}
