// SPDX-License-Identifier: BSD-3-Clause

//! Whether a volume's index is open, and which work on it is in progress.
//!
//! There is one per volume, kept by its host. Requests of the operator change the target state; the host's worker asks
//! for work ([`IndexControl::next_work`]), does it, and reports the outcome, until there is no work left. Shards query
//! and update the index only while it is open and deduplication is on ([`IndexControl::is_used`]).
//!
//! Invariants: one piece of work at a time; requests made meanwhile only change the target; if opening fails, the index
//! stays closed and the volume goes on without it.
//!
//! Differs from dm-vdo: no lock, since a single thread uses it; the counters live in the shards.

/// A request of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexRequest {
    /// Open a new, empty index; an open index is closed first.
    Create,
    /// Close the index. Whether deduplication is on stays as it is.
    Close,
    /// Open the index, but do not use it.
    Disable,
    /// Open and use the index.
    Enable,
}

/// Work for the host's worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexWork {
    /// Save the index and close it.
    Close,
    /// Open an empty index.
    Create,
    /// Open the saved index.
    Load,
}

/// Outcome of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOutcome {
    /// The work succeeded.
    Done,
    /// There is no saved index to load.
    Missing,
    /// The work failed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Opened,
}

/// Current and target state of a volume's index.
#[derive(Debug, Clone, Copy)]
pub struct IndexControl {
    state: State,
    target: State,
    create: bool,
    deduplication: bool,
    failed: bool,
    suspended: bool,
    /// The work in progress.
    work: Option<IndexWork>,
}

impl IndexControl {
    /// The index of a volume that was just created: there is nothing to load.
    #[must_use]
    pub const fn of_new_volume(deduplication: bool) -> IndexControl {
        IndexControl { create: true, ..IndexControl::of_loaded_volume(deduplication) }
    }

    /// The index of a volume that was loaded.
    #[must_use]
    pub const fn of_loaded_volume(deduplication: bool) -> IndexControl {
        IndexControl {
            state: State::Closed,
            target: State::Opened,
            create: false,
            deduplication,
            failed: false,
            suspended: false,
            work: None,
        }
    }

    /// Takes a request. The host's worker has to ask for work afterwards.
    pub fn request(&mut self, request: IndexRequest) {
        self.target = if request == IndexRequest::Close { State::Closed } else { State::Opened };
        match request {
            IndexRequest::Create => self.create = true,
            IndexRequest::Close => {}
            IndexRequest::Disable => self.deduplication = false,
            IndexRequest::Enable => self.deduplication = true,
        }
    }

    /// The next work, if there is any; the worker reports the outcome with [`IndexControl::work_done`].
    pub fn next_work(&mut self) -> Option<IndexWork> {
        if self.suspended || self.work.is_some() || (self.state == self.target && !self.create) {
            return None;
        }
        let work = if self.state == State::Opened {
            IndexWork::Close
        } else {
            self.failed = false;
            if std::mem::replace(&mut self.create, false) {
                IndexWork::Create
            } else {
                IndexWork::Load
            }
        };
        self.work = Some(work);
        self.work
    }

    /// Takes the outcome of work. A failed close still closes the index; an index that cannot be loaded because it does
    /// not exist is created.
    ///
    /// # Panics
    /// If no work is in progress.
    pub fn work_done(&mut self, outcome: IndexOutcome) {
        let work = self.work.take().expect("only work that was given out can end");
        self.state = State::Closed;
        match (work, outcome) {
            (IndexWork::Close, outcome) => self.failed |= outcome != IndexOutcome::Done,
            (_, IndexOutcome::Done) => self.state = State::Opened,
            (IndexWork::Load, IndexOutcome::Missing) => self.create = true,
            _ => {
                self.target = State::Closed;
                self.failed = true;
            }
        }
    }

    /// Stops giving out work; work in progress ends as usual.
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Resumes work towards the state in the volume's configuration; earlier requests are dropped. Not to be called for
    /// a read-only volume.
    pub fn resume(&mut self, deduplication: bool) {
        self.suspended = false;
        self.deduplication = deduplication;
        self.target = if deduplication { State::Opened } else { State::Closed };
    }

    /// Whether the shards use the index.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.state == State::Opened && self.work.is_none() && self.deduplication && !self.suspended
    }

    /// The state's name as shown to the operator.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.work, self.state, self.target) {
            _ if self.suspended => "suspended",
            (Some(_), _, State::Opened) => "opening",
            (Some(_), _, State::Closed) => "closing",
            (None, State::Closed, _) if self.failed => "error",
            (None, State::Closed, _) => "closed",
            (None, State::Opened, _) if self.deduplication => "online",
            (None, State::Opened, _) => "offline",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works until nothing is left, with the given outcomes first and success after them. Returns the work done.
    fn work(control: &mut IndexControl, outcomes: &[IndexOutcome]) -> Vec<IndexWork> {
        let mut outcomes = outcomes.iter().copied();
        let mut did = Vec::new();
        while let Some(work) = control.next_work() {
            assert!(["opening", "closing"].contains(&control.name()) && !control.is_used());
            did.push(work);
            control.work_done(outcomes.next().unwrap_or(IndexOutcome::Done));
        }
        did
    }

    fn online() -> IndexControl {
        let mut control = IndexControl::of_loaded_volume(true);
        work(&mut control, &[]);
        assert_eq!((control.name(), control.is_used()), ("online", true));
        control
    }

    /// vdo-30: requests drive the index to the state that they name, one piece of work at a time; those made meanwhile
    /// change only what is wanted.
    #[test]
    fn requests_lead_to_the_states_they_name() {
        let mut control = IndexControl::of_new_volume(true);
        assert_eq!(control.name(), "closed");
        assert_eq!(work(&mut control, &[]), [IndexWork::Create], "nothing is loaded for a new volume");
        assert_eq!(control.name(), "online");

        control.request(IndexRequest::Disable);
        assert_eq!((control.next_work(), control.name(), control.is_used()), (None, "offline", false));
        control.request(IndexRequest::Close);
        assert_eq!(work(&mut control, &[]), [IndexWork::Close]);
        assert_eq!(control.name(), "closed");
        control.request(IndexRequest::Create);
        assert_eq!(work(&mut control, &[]), [IndexWork::Create]);
        assert_eq!(control.name(), "offline", "closing and creating leave deduplication as it is");
        control.request(IndexRequest::Enable);
        assert_eq!((control.next_work(), control.name(), control.is_used()), (None, "online", true));
        control.request(IndexRequest::Create);
        assert_eq!(work(&mut control, &[]), [IndexWork::Close, IndexWork::Create]);

        control.request(IndexRequest::Close);
        assert_eq!((control.next_work(), control.name()), (Some(IndexWork::Close), "closing"));
        control.request(IndexRequest::Enable);
        assert_eq!((control.next_work(), control.name()), (None, "opening"), "one at a time");
        control.work_done(IndexOutcome::Done);
        assert_eq!(work(&mut control, &[]), [IndexWork::Load]);
        assert_eq!(control.name(), "online");
    }

    /// vdo-31: an index that is to be loaded and does not exist is created.
    #[test]
    fn a_missing_index_is_created() {
        let mut control = IndexControl::of_loaded_volume(true);
        assert_eq!(work(&mut control, &[IndexOutcome::Missing]), [IndexWork::Load, IndexWork::Create]);
        assert_eq!(control.name(), "online");
    }

    /// vdo-32: an opening that fails is reported and leaves the index closed until somebody asks for it again.
    #[test]
    fn a_failed_opening_is_an_error_and_final() {
        let mut control = IndexControl::of_loaded_volume(true);
        assert_eq!(work(&mut control, &[IndexOutcome::Failed]), [IndexWork::Load]);
        assert_eq!((control.name(), control.is_used()), ("error", false));
        control.request(IndexRequest::Create);
        assert_eq!(work(&mut control, &[IndexOutcome::Failed]), [IndexWork::Create]);
        assert_eq!(control.name(), "error");
        control.request(IndexRequest::Enable);
        assert_eq!(work(&mut control, &[]), [IndexWork::Load]);
        assert_eq!(control.name(), "online", "success ends the error");

        control.request(IndexRequest::Close);
        assert_eq!(work(&mut control, &[IndexOutcome::Failed]), [IndexWork::Close]);
        assert_eq!(control.name(), "error", "what could not be saved is closed all the same");
    }

    /// vdo-34, partly: while a volume is suspended no work begins; afterwards its configuration counts.
    #[test]
    fn a_suspended_index_rests() {
        let mut control = online();
        control.request(IndexRequest::Close);
        control.suspend();
        assert_eq!((control.next_work(), control.name(), control.is_used()), (None, "suspended", false));
        control.resume(true);
        assert_eq!((control.next_work(), control.name()), (None, "online"), "the request made before is forgotten");
        control.suspend();
        control.resume(false);
        assert_eq!(work(&mut control, &[]), [IndexWork::Close]);
        assert_eq!(control.name(), "closed");

        let mut control = IndexControl::of_loaded_volume(true);
        assert_eq!(control.next_work(), Some(IndexWork::Load));
        control.suspend();
        control.work_done(IndexOutcome::Missing);
        assert_eq!(control.next_work(), None);
        control.resume(true);
        assert_eq!(work(&mut control, &[]), [IndexWork::Create]);
    }
}
