// SPDX-License-Identifier: BSD-3-Clause

//! The system packages that the build of SPDK, its fio plugin and the bindings needs.
//!
//! Only the `setup` command installs packages, and only as root with apt; other callers get the command to run.

use std::path::Path;
use std::process::Command;

use crate::cache::Cache;
use crate::error::Error;
use crate::progress::Progress;
use crate::run;

const PACKAGES: &[&str] = &[
    "autoconf",
    "automake",
    "clang",
    "g++",
    "gcc",
    "libaio-dev",
    "libclang-dev",
    "libcmocka-dev",
    "libfuse3-dev",
    "libjson-c-dev",
    "libnuma-dev",
    "libssl-dev",
    "libtool",
    "liburing-dev",
    "make",
    "meson",
    "nasm",
    "ninja-build",
    "pkg-config",
    "python3",
    "python3-jinja2",
    "python3-pyelftools",
    "python3-tabulate",
    "uuid-dev",
    "xz-utils",
    "zlib1g-dev",
];

/// The needed packages that are not installed. Empty on a system without dpkg, where this cannot be told.
///
/// # Errors
/// `dpkg-query` exists and cannot be started.
pub fn missing_packages() -> Result<Vec<String>, Error> {
    if !Path::new("/usr/bin/dpkg-query").exists() {
        return Ok(Vec::new());
    }
    // Exit status 1 means that one of them is unknown, which is an answer, not a failure.
    let result = Command::new("/usr/bin/dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package} ${Provides}\n"])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(|source| Error::Spawn { command: "dpkg-query -W".to_owned(), source })?;
    Ok(missing(&String::from_utf8_lossy(&result.stdout)))
}

/// `listing`: one package per line, "installed NAME PROVIDED, PROVIDED (= VERSION), ...". Provided names count: pkgconf
/// provides pkg-config.
fn missing(listing: &str) -> Vec<String> {
    let installed: std::collections::HashSet<&str> = listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .flat_map(|line| {
            let (name, provides) = line.split_once(' ').unwrap_or((line, ""));
            let provided = provides.split(',').filter_map(|part| part.split_whitespace().next());
            std::iter::once(name).chain(provided)
        })
        .collect();
    PACKAGES.iter().filter(|&&name| !installed.contains(name)).map(|&name| name.to_owned()).collect()
}

/// Fails if a package is missing, with the command that installs it.
pub(crate) fn require() -> Result<(), Error> {
    let packages = missing_packages()?;
    if packages.is_empty() {
        return Ok(());
    }
    Err(Error::MissingPackages { command: install_command(&packages), packages })
}

fn install_command(packages: &[String]) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Installs the missing packages, as root and with apt.
///
/// # Errors
/// [`Error::MissingPackages`] when not root or without apt; else apt's error.
pub fn install_packages(cache: &Cache, progress: &Progress) -> Result<(), Error> {
    if missing_packages()?.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return require();
    }
    let _lock = cache.lock("packages", progress)?;
    let packages = missing_packages()?;
    let log = cache.dir().join("packages.log");
    let mut task = progress.task(&format!("installing {} packages with apt-get", packages.len()));
    progress.note(&format!("    {}", install_command(&packages)));
    let mut run = |arguments: &[&str]| {
        run::logged("apt-get", arguments, cache.dir(), &log, |_| {
            task.update(|| "...".to_owned());
        })
    };
    run(&["-q", "update"])?;
    let mut arguments = vec!["-q", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    run(&arguments)?;
    task.done("installed");
    require()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_are_those_neither_installed_nor_provided() {
        let mut listing: String = PACKAGES
            .iter()
            .filter(|&&name| !["nasm", "pkg-config", "meson"].contains(&name))
            .map(|name| format!("installed {name} \n"))
            .collect();
        listing += "config-files nasm \ninstalled pkgconf pkg-config (= 1.8.1-1), other\n";
        assert_eq!(missing(&listing), ["meson", "nasm"]);
        assert_eq!(missing("").len(), PACKAGES.len());
    }

    #[test]
    fn the_command_names_the_packages() {
        let command = install_command(&["meson".to_owned(), "nasm".to_owned()]);
        assert!(command.ends_with("apt-get install -y --no-install-recommends meson nasm"), "{command}");
    }
}
