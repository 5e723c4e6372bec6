// SPDX-License-Identifier: BSD-3-Clause

//! Operations on pools as lists of steps: their actions, their order, and how each is undone.
//!
//! Invariant: when a step fails, every step begun so far is undone, the failed one first and the others in reverse. So
//! an undo copes with a partly executed step, and never fails: it logs what it cannot do.

use futures::future::LocalBoxFuture;

use crate::error::{PoolError, Result};
use crate::host::{Host, Level};

/// One step of an operation with state `S`.
pub(super) struct Step<S> {
    /// The action, as a phrase for messages: "writing the superblock".
    doing: &'static str,
    run: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, Result<()>>,
    undo: Option<for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, ()>>,
}

impl<S> Step<S> {
    /// A step without effects that must be undone.
    pub(super) fn new(doing: &'static str, run: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, Result<()>>) -> Step<S> {
        Step { doing, run, undo: None }
    }

    /// The same step, undone by `undo` when it or a later one fails.
    pub(super) fn undone_by(self, undo: for<'a> fn(&'a mut S) -> LocalBoxFuture<'a, ()>) -> Step<S> {
        Step { undo: Some(undo), ..self }
    }
}

/// Runs the steps of `operation` in order.
///
/// # Errors
/// The error of the first step that fails, with the step's action added. All steps begun are then undone.
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::error::Kind;
    use crate::testing::World;

    /// The executed actions, and the step that fails.
    struct Trace {
        done: Vec<&'static str>,
        fails: &'static str,
    }

    impl Trace {
        fn take(&mut self, step: &'static str) -> LocalBoxFuture<'_, Result<()>> {
            self.done.push(step);
            let failed = self.fails == step;
            let outcome = if failed { Err(PoolError::new(Kind::NoSpace, "disk", "full")) } else { Ok(()) };
            core::future::ready(outcome).boxed_local()
        }

        fn undo(&mut self, step: &'static str) -> LocalBoxFuture<'_, ()> {
            self.done.push(step);
            core::future::ready(()).boxed_local()
        }
    }

    fn take(fails: &'static str) -> (Vec<&'static str>, Result<()>) {
        let steps = [
            Step::<Trace>::new("one", |trace| trace.take("one")).undone_by(|trace| trace.undo("not one")),
            Step::<Trace>::new("two", |trace| trace.take("two")),
            Step::<Trace>::new("three", |trace| trace.take("three")).undone_by(|trace| trace.undo("not three")),
            Step::<Trace>::new("four", |trace| trace.take("four")).undone_by(|trace| trace.undo("not four")),
        ];
        let mut trace = Trace { done: Vec::new(), fails };
        let world = World::new();
        let outcome = run(&*world.host, "counting", &mut trace, &steps).now_or_never();
        (trace.done, outcome.expect("nothing waits"))
    }

    #[test]
    fn steps_are_taken_in_turn() {
        assert_eq!(take("none"), (vec!["one", "two", "three", "four"], Ok(())));
    }

    #[test]
    fn what_was_begun_is_undone_from_the_end() {
        let (done, outcome) = take("three");
        assert_eq!(done, ["one", "two", "three", "not three", "not one"]);
        let error = outcome.expect_err("the third failed");
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NoSpace, "counting: three: disk: full"));
        assert_eq!(take("one").0, ["one", "not one"]);
    }
}
