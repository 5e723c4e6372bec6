// SPDX-License-Identifier: BSD-3-Clause

//! Runs a plan against a target, from one life of it to the next.

use std::time::{Duration, Instant};

use super::fault::{Divergence, LoadError};
use super::model::Model;
use super::plan::{Mix, Plan, Request, RequestKind};
use super::spread::Spread;
use crate::nvme_tcp::{Answer, Controller};

/// Within this time a target that lives answers something.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for answers before looking at the clock again.
const WAIT: Duration = Duration::from_millis(1);
/// Read at once to verify.
const VERIFY_BYTES: usize = 128 << 10;
/// Requests that are drawn between two looks at the clock: content takes time to make.
const AT_ONCE: usize = 8;

/// What a load has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that the target answered.
    pub answered: u64,
    /// Writes among them, those of zeros by command not counted.
    pub writes: u64,
    /// Requests that it never answered.
    pub unanswered: u64,
    /// Bytes that were compared.
    pub compared_bytes: u64,
}

impl Progress {
    /// Takes an answer that tells of success. Returns what is wrong with it.
    fn acknowledge(&mut self, model: &mut Model, answer: &Answer) -> Divergence {
        self.answered += 1;
        self.compared_bytes += answer.data.len() as u64;
        self.writes += u64::from(model.request(answer.tag).is_some_and(|request| request.kind == RequestKind::Write));
        model.acknowledge(answer.tag, &answer.data)
    }
}

/// What a load is like.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Which requests come.
    pub mix: Mix,
    /// Where data goes.
    pub spread: Spread,
    /// Whether a 4 KiB block must not be torn, whatever the logical block size is.
    pub whole_blocks: bool,
}

/// A load and its model.
#[derive(Debug)]
pub struct Load {
    seed: u64,
    options: LoadOptions,
    plan: Plan,
    /// Made when the namespace is seen for the first time.
    model: Option<Model>,
    progress: Progress,
}

impl Load {
    /// A load on a namespace that holds zeros.
    #[must_use]
    pub const fn new(seed: u64, options: LoadOptions) -> Load {
        let progress = Progress { answered: 0, writes: 0, unanswered: 0, compared_bytes: 0 };
        Load { seed, options, plan: Plan::new(seed, options.mix, options.spread), model: None, progress }
    }

    /// What it has done so far.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// Logical blocks of which more than one content is possible.
    #[must_use]
    pub fn doubtful_blocks(&self) -> usize {
        self.model.as_ref().map_or(0, Model::doubtful_blocks)
    }

    /// Reads all that may hold data, and compares.
    ///
    /// # Errors
    /// Something differs, or the target does not do what it should.
    pub fn verify(&mut self, controller: &mut Controller) -> Result<(), LoadError> {
        self.verify_parts(controller, self.options.spread)
    }

    /// Reads the whole namespace, the room between data too, and compares.
    ///
    /// # Errors
    /// As [`Load::verify`].
    pub fn verify_all(&mut self, controller: &mut Controller) -> Result<(), LoadError> {
        self.verify_parts(controller, Spread::EVERYWHERE)
    }

    fn verify_parts(&mut self, controller: &mut Controller, spread: Spread) -> Result<(), LoadError> {
        let mut run = self.run_on(controller, "verifying")?;
        let namespace = run.controller.namespace();
        let most = VERIFY_BYTES.min(run.controller.capabilities().max_transfer_bytes) / namespace.block_bytes;
        for part in spread.parts(namespace) {
            for lba in part.clone().step_by(most) {
                let blocks = (part.end - lba).min(most as u64) as u32;
                let number = run.load.plan.number();
                run.submit(Request { number, kind: RequestKind::Read, lba, blocks })?;
            }
        }
        run.finish()
    }

    /// Sends requests until a moment, and leaves those that are under way then alone.
    ///
    /// # Errors
    /// A read differs, a request fails, or the target dies.
    pub fn run(&mut self, controller: &mut Controller, until: Instant) -> Result<(), LoadError> {
        let mut run = self.run_on(controller, "loading")?;
        while Instant::now() < until {
            for _ in 0..AT_ONCE {
                if run.controller.queue_with_room().is_none() {
                    break;
                }
                let request = run.load.plan.draw(run.controller.namespace(), run.controller.capabilities());
                run.submit(request)?;
            }
            run.work(WAIT)?;
        }
        run.judge()
    }

    /// Waits for the answers to all that is under way.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub fn finish(&mut self, controller: &mut Controller) -> Result<(), LoadError> {
        self.run_on(controller, "finishing")?.finish()
    }

    /// The target has ended, by force or by request: takes what it has answered before, and keeps the rest in doubt.
    ///
    /// # Errors
    /// What it has answered differs, or its end cannot be seen.
    pub fn target_ended(&mut self, mut controller: Controller) -> Result<(), LoadError> {
        controller.drain(PATIENCE)?;
        let mut divergence = Divergence::default();
        let Some(model) = &mut self.model else {
            return Ok(());
        };
        while let Some(answer) = controller.pop_answer() {
            if answer.status.is_success() {
                divergence.merge(self.progress.acknowledge(model, &answer));
            } else {
                // A target that ends on request aborts what it has not done.
                model.fail(answer.tag);
            }
        }
        self.progress.unanswered += model.open() as u64;
        model.end_life();
        judge(divergence, "in the last answers")
    }

    fn run_on<'a>(&'a mut self, controller: &'a mut Controller, action: &'static str) -> Result<Run<'a>, LoadError> {
        let now = controller.namespace();
        let (seed, LoadOptions { mix, whole_blocks, .. }) = (self.seed, self.options);
        let model = self.model.get_or_insert_with(|| Model::new(seed, mix, now, whole_blocks));
        let before = model.namespace();
        if before != now {
            return Err(LoadError::Namespace { before, now });
        }
        Ok(Run { load: self, controller, action, divergence: Divergence::default(), heard: Instant::now() })
    }
}

/// A load at work on a controller.
struct Run<'a> {
    load: &'a mut Load,
    controller: &'a mut Controller,
    action: &'static str,
    divergence: Divergence,
    /// When the last answer came.
    heard: Instant,
}

impl Run<'_> {
    /// Submits a request, waiting for room.
    fn submit(&mut self, request: Request) -> Result<(), LoadError> {
        let queue = loop {
            match self.controller.queue_with_room() {
                Some(queue) => break queue,
                None => self.work(WAIT)?,
            }
        };
        let data = self.load.model.as_mut().map(|model| model.begin(request)).unwrap_or_default();
        self.controller.submit(queue, request.command(), data, request.number);
        Ok(())
    }

    /// Sends, receives and takes answers.
    fn work(&mut self, patience: Duration) -> Result<(), LoadError> {
        self.controller.advance(patience)?;
        while let Some(answer) = self.controller.pop_answer() {
            self.heard = Instant::now();
            self.take(&answer)?;
        }
        if let Some(ending) = self.controller.ending() {
            return Err(LoadError::Ended { action: self.action, ending: ending.to_string() });
        }
        if self.heard.elapsed() > PATIENCE {
            let under_way = self.load.model.as_ref().map(Model::open_in_words).unwrap_or_default();
            return Err(LoadError::Stuck { action: self.action, after: PATIENCE, under_way });
        }
        Ok(())
    }

    fn take(&mut self, answer: &Answer) -> Result<(), LoadError> {
        let Some(model) = &mut self.load.model else {
            return Ok(());
        };
        if !answer.status.is_success() {
            let what = model.fail(answer.tag).map_or_else(String::new, |request| request.to_string());
            return Err(LoadError::Failed { request: answer.tag, what, status: answer.status });
        }
        self.divergence.merge(self.load.progress.acknowledge(model, answer));
        Ok(())
    }

    fn finish(mut self) -> Result<(), LoadError> {
        self.heard = Instant::now();
        while self.load.model.as_ref().is_some_and(|model| model.open() > 0) {
            self.work(WAIT)?;
        }
        self.judge()
    }

    fn judge(self) -> Result<(), LoadError> {
        judge(self.divergence, self.action)
    }
}

fn judge(divergence: Divergence, action: &'static str) -> Result<(), LoadError> {
    if divergence.is_none() {
        Ok(())
    } else {
        Err(LoadError::Diverged { action, divergence })
    }
}
