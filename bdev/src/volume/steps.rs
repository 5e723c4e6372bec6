// SPDX-License-Identifier: BSD-3-Clause

//! A volume's life as tables of steps: what an operation does, in which order, and what undoes each step.
//!
//! | operation | table in |
//! |---|---|
//! | creation | [`super::create`], with a table of its own for the objects in the pool |
//! | load | [`super::load`] |
//! | start, which follows a creation, a load and a rebuild | [`super::start`] |
//! | stop: unloading, and deletion of a loaded volume | [`super::stop`], with a table of its own for the shards |
//! | deletion of a volume that is not loaded | [`super::offline`] |
//! | rebuild | [`super::rebuild`] |
//! | growth | [`super::grow`] |
//!
//! [`Table::run`] takes the steps in order. When one fails, those before it are undone, the last one first. A step that
//! fails leaves nothing behind, and is not undone itself. A step may run another table, which undoes its own steps.
//!
//! The log has each step when it begins and when it ends, at debug level, so the last line tells where an operation
//! hangs.
//!
//! Modelled on SPDK's `lib/ftl/mngt`.

use std::time::Instant;

use futures::future::LocalBoxFuture;
use mpool::{Kind, PoolError};
use thiserror::Error;

use super::error::VolumeError;

/// Why a step fails. [`Table::run`] adds the volume's name to an error of the pool.
#[derive(Debug, Error)]
pub enum Failure {
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// What a step does, or how it is undone.
pub type Work<C> = for<'a> fn(&'a mut C) -> LocalBoxFuture<'a, Result<(), Failure>>;

/// A step of an operation whose context is `C`.
#[derive(Debug)]
pub struct Step<C> {
    pub name: &'static str,
    pub run: Work<C>,
    pub undo: Option<Work<C>>,
}

/// The steps of an operation, in order.
#[derive(Debug)]
pub struct Table<C: 'static> {
    pub operation: &'static str,
    pub steps: &'static [Step<C>],
}

/// What a step results in: nothing if it cannot fail.
pub trait Outcome {
    fn result(self) -> Result<(), Failure>;
}

impl Outcome for () {
    fn result(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: Into<Failure>> Outcome for Result<(), E> {
    fn result(self) -> Result<(), Failure> {
        self.map_err(E::into)
    }
}

/// Makes a [`Table`]. What a step does with the context may wait.
macro_rules! table {
    ($operation:literal: $($name:literal => |$context:ident| $run:expr $(, undo $undo:expr)?;)+) => {
        $crate::volume::steps::Table {
            operation: $operation,
            steps: &[$($crate::volume::steps::Step {
                name: $name,
                run: $crate::volume::steps::table!(@work $context $run),
                undo: $crate::volume::steps::table!(@undo $context $($undo)?),
            }),+],
        }
    };
    (@undo $context:ident) => { None };
    (@undo $context:ident $undo:expr) => { Some($crate::volume::steps::table!(@work $context $undo)) };
    (@work $context:ident $work:expr) => {
        |$context| Box::pin(async move { $crate::volume::steps::Outcome::result($work) })
    };
}

pub(super) use table;

impl<C> Table<C> {
    /// Takes all steps for the volume `name`.
    ///
    /// # Errors
    /// That of the step that failed; the steps before it are undone.
    pub async fn run(&self, name: &str, context: &mut C) -> Result<(), VolumeError> {
        for (number, step) in self.steps.iter().enumerate() {
            let Err(failure) = self.take(name, step.name, step.run, context).await else { continue };
            for earlier in self.steps[..number].iter().rev() {
                let Some(undo) = earlier.undo else { continue };
                let undoing = format!("undo '{}'", earlier.name);
                if let Err(failure) = self.take(name, &undoing, undo, context).await {
                    log::error!("{name}: {}: cannot {undoing}: {failure}", self.operation);
                }
            }
            return Err(match failure {
                Failure::Volume(error) => error,
                Failure::Pool(error) => {
                    // Others say what they are about; a failed transfer does not say what it was needed for.
                    let step = (error.kind() == Kind::Io).then_some(step.name);
                    VolumeError::Pool { name: name.to_owned(), error, step }
                }
            });
        }
        Ok(())
    }

    async fn take(&self, name: &str, step: &str, work: Work<C>, context: &mut C) -> Result<(), Failure> {
        log::debug!("{name}: {}: {step}", self.operation);
        let began = Instant::now();
        let outcome = work(context).await;
        let end = if outcome.is_ok() { "done" } else { "failed" };
        log::debug!("{name}: {}: {step}: {end} after {} ms", self.operation, began.elapsed().as_millis());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    type Done = Vec<&'static str>;

    const OUTER: Table<Done> = table! { "outer":
        "leave" => |done| done.push("left"), undo done.push("came home");
        "cross" => |done| done.push("crossed"), undo fail(done, "crossed back");
        "wait" => |done| wait(done).await;
        "climb" => |done| INNER.run("D0", done).await, undo done.push("fell");
    };

    const INNER: Table<Done> = table! { "inner":
        "pack" => |done| done.push("packed"), undo done.push("unpacked");
        "slip" => |done| fail(done, "slipped"), undo done.push("stood up");
    };

    async fn wait(done: &mut Done) {
        done.push("waited");
    }

    fn fail(done: &mut Done, what: &'static str) -> Result<(), PoolError> {
        done.push(what);
        Err(PoolError::new(Kind::Io, "the rope", "broke"))
    }

    #[test]
    fn what_was_done_before_a_failure_is_undone_backwards() {
        let mut done = Done::new();
        let error = OUTER.run("D0", &mut done).now_or_never().expect("no step waits").expect_err("it slips");
        let undone = ["slipped", "unpacked", "crossed back", "came home"];
        assert_eq!((&done[..4], &done[4..]), (&["left", "crossed", "waited", "packed"][..], &undone[..]));
        assert_eq!(error.to_string(), "'D0': the rope: broke (in step 'slip')", "the innermost step");
    }
}
