// SPDX-License-Identifier: BSD-3-Clause

//! `spdk-sys-build`: sets up SPDK for this project and prints where it is.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spdk_sys_build::{
    install_packages, locate, locate_release, missing_packages, obtain, requested_release, set_up_default, Cache,
    Error, Origin, Progress, Release, SpdkTree,
};

/// Finds or builds SPDK (and fio with SPDK's plugin) for the dedupe module.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Install missing packages (as root), download and build; returns at once when all is there
    Setup {
        /// 26.01, 20.07 or all; default: SPDK_DIR's or pkg-config's SPDK if there is one, else 26.01, else (not in the archive) 20.07
        #[arg(long)]
        release: Option<String>,
        /// Do not install packages; fail with the command to run if some are missing
        #[arg(long)]
        no_packages: bool,
    },
    /// Print shell assignments: SPDK_DIR, SPDK_VERSION, LD_LIBRARY_PATH, SPDK_TGT, BDEVPERF, FIO, ...
    Env {
        /// 26.01 or 20.07, from the cache; default: what a build would take
        #[arg(long)]
        release: Option<Release>,
        /// Put `export` in front of each
        #[arg(long)]
        export: bool,
    },
    /// Tell what there is
    Status,
    /// Tell which SPDK a build takes (SPDK_DIR's), or what is wrong with it
    Check,
    /// Remove the cache
    Clean,
}

fn main() -> ExitCode {
    let progress = Progress::stderr();
    let result = match Arguments::parse().command {
        Action::Setup { release, no_packages } => setup(release.as_deref(), no_packages, &progress),
        Action::Env { release, export } => env(release, export),
        Action::Status => status(),
        Action::Check => locate().map(|tree| {
            let id = tree.bdev_build_id.as_deref().unwrap_or("none");
            println!("SPDK {} in {}: {}, build-id {id}", tree.version, tree.root.display(), tree.bdev_soname);
        }),
        Action::Clean => Cache::of_user().and_then(|cache| cache.clean(&progress)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spdk-sys-build: {error}");
            ExitCode::FAILURE
        }
    }
}

fn setup(release: Option<&str>, no_packages: bool, progress: &Progress) -> Result<(), Error> {
    if !no_packages {
        install_packages(&Cache::of_user()?, progress)?;
    }
    match release {
        Some("all") => {
            let default = set_up_default(progress)?;
            ready(&default);
            for release in Release::ALL {
                // set_up_default has either built 26.01 or reported that it is not available.
                if release != Release::V2601 {
                    ready(&obtain(release, progress)?);
                }
            }
        }
        Some(name) => ready(&obtain(name.parse()?, progress)?),
        None => ready(&set_up_wanted(progress)?),
    }
    Ok(())
}

/// The tree that a build will use. Does not settle for a cached old release: the archive may carry the default again.
fn set_up_wanted(progress: &Progress) -> Result<SpdkTree, Error> {
    match (locate(), requested_release()?) {
        (Ok(tree), requested) if requested.is_some() || tree.origin != Origin::Cache(Release::V2007) => Ok(tree),
        (Ok(_) | Err(Error::NotFound { .. }), requested) => {
            requested.map_or_else(|| set_up_default(progress), |release| obtain(release, progress))
        }
        (Err(error), _) => Err(error),
    }
}

fn ready(tree: &SpdkTree) {
    println!("SPDK {} is ready: {}", tree.version, tree.root.display());
}

fn env(release: Option<Release>, export: bool) -> Result<(), Error> {
    let tree = match release {
        Some(release) => locate_release(release)?,
        None => locate()?,
    };
    let export = if export { "export " } else { "" };
    for (name, value) in tree.variables() {
        println!("{export}{name}={}", quoted(&value));
    }
    Ok(())
}

/// Quotes for a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

fn status() -> Result<(), Error> {
    let cache = Cache::of_user()?;
    println!("cache: {}", cache.dir().display());
    for release in Release::ALL {
        match locate_release(release) {
            Ok(tree) => println!(
                "  {release}: SPDK {} built, {}, build-id {}, fio {}",
                tree.version,
                tree.bdev_soname,
                tree.bdev_build_id.as_deref().unwrap_or("none"),
                tree.fio.as_deref().map_or_else(|| "none".to_owned(), |path| path.display().to_string()),
            ),
            Err(Error::NotFound { .. }) => println!("  {release}: not built"),
            Err(error) => println!("  {release}: {error}"),
        }
    }
    match locate() {
        Ok(tree) => {
            let (version, root) = (&tree.version, tree.root.display());
            println!("a build takes: SPDK {version} in {root}, found by {:?}", tree.origin);
        }
        Err(error) => println!("a build finds none: {error}"),
    }
    let missing = missing_packages()?;
    if missing.is_empty() {
        println!("packages: all there");
    } else {
        println!("packages missing: {}", missing.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn values_are_quoted_for_a_shell() {
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}
