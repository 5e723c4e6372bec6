// SPDX-License-Identifier: BSD-3-Clause

//! A load that knows afterwards what must be there, whatever happened to the target.
//!
//! [`Load`] writes through an initiator of [`crate::nvme_tcp`] and keeps in a [`Model`] what each part of the
//! namespace may hold: the last content that was acknowledged, and the contents of requests that were never answered. It
//! continues from one life of the target to the next; [`Load::verify`] reads the whole namespace and compares.
//!
//! All choices come from a seed, except for what is in flight when the target dies.

mod content;
mod fault;
mod load;
mod model;
mod plan;
mod spread;
mod unit;

pub use content::Content;
pub use fault::{Divergence, LoadError, Mismatch, Torn};
pub use load::{Load, LoadOptions, Progress};
pub use model::Model;
pub use plan::{Mix, Plan, Request, RequestKind};
pub use spread::Spread;
