// SPDX-License-Identifier: BSD-3-Clause

//! The pool's metadata manager: which objects exist, and their description on media.
//!
//! A [`Container`] is one MDC: MDC0 describes the pool and the logs of MDC1 to MDC255; these describe clients' objects.
//! `allocate` creates [`Object`]s, `append` records them (and compacts a full container), `load` reads them back.
//! `doubt` handles failed writes. `store` opens and erases logs, `erasures` free zones, `grow` adds containers,
//! `drive_growth` adds zones, `background` compacts ahead of need and chooses containers, `properties` are the pool's
//! own records, `usage` counts.
//!
//! The rule for everything here: the log is never behind memory. Locks and their order are in [`crate::lock`].

mod allocate;
mod append;
mod background;
mod container;
mod doubt;
mod drive_growth;
mod erasures;
mod grow;
mod identifiers;
mod load;
mod object;
mod pool;
mod properties;
mod roll;
mod store;
#[cfg(test)]
mod tests;
mod usage;

pub use allocate::Search;
pub(crate) use allocate::{gone, Wish};
pub use background::{next_container_count, Fill};
pub use container::{Container, RecordCounts, UNIQUIFIERS_PER_CHECKPOINT};
pub use erasures::Erasures;
pub use object::{Hold, Object, ObjectState};
pub use pool::Pool;
pub use properties::Recorded;
pub use usage::{ObjectUsage, Usage};
