// SPDX-License-Identifier: BSD-3-Clause

//! Operations on pools as lists of steps: what is done, in which order, and how each step is undone.
//!
//! Invariant: when a step fails, every step begun so far is undone, the failed one first and the others in reverse.
//! An undoing therefore bears a step that was done in part, and never fails: what it cannot do it logs.

use futures::future::LocalBoxFuture;

use crate::pool::error::{PoolError, Result};
use crate::pool::host::{Host, Level};

/// One step of an operation whose state is `S`.
pub(super) struct Step<S> {
    /// What is done, to follow "while": "writing the superblock".
    doing: &'static str,
    run: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, Result<()>>,
    undo: Option<for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, ()>>,
}

impl<S> Step<S> {
    /// A step that leaves nothing behind which has to be undone.
    pub(super) fn new(doing: &'static str, run: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, Result<()>>) -> Step<S> {
        Step { doing, run, undo: None }
    }

    /// The same step, undone by `undo` when it or a later one fails.
    pub(super) fn undone_by(self, undo: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, ()>) -> Step<S> {
        Step { undo: Some(undo), ..self }
    }
}

/// Does the steps of `operation` in turn.
///
/// # Errors
/// That of the first step that fails, with what was being done put before it. Everything begun is undone then.
pub(super) async fn run<S>(host: &dyn Host, operation: &str, state: &mut S, steps: &[Step<S>]) -> Result<()> {
    for (index, step) in steps.iter().enumerate() {
        host.log(Level::Debug, &format!("{operation}: {}", step.doing));
        if let Err(error) = (step.run)(state).await {
            undo(host, operation, state, &steps[..=index]).await;
            return Err(explain(error, operation, step.doing));
        }
    }
    Ok(())
}

async fn undo<S>(host: &dyn Host, operation: &str, state: &mut S, begun: &[Step<S>]) {
    for step in begun.iter().rev() {
        if let Some(undo) = step.undo {
            host.log(Level::Debug, &format!("{operation}: undoing '{}'", step.doing));
            undo(state).await;
        }
    }
}

fn explain(error: PoolError, operation: &str, doing: &str) -> PoolError {
    error.while_doing(&format!("{operation}: {doing}"))
}
