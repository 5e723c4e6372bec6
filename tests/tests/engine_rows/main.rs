// SPDX-License-Identifier: BSD-3-Clause

//! Directed tests of the engine: each shows rows of the feature table by a hand-driven schedule, one
//! theme a file.
//!
//! A test submits requests, lets the cluster settle while it holds back a transfer or a message of its choice, looks at
//! counts, and releases it. All reads are held against the simulator's model besides, and [`tests::sim::rig::Rig`] audits at
//! the end.

#![forbid(unsafe_code)]

mod administration;
mod advice;
mod fixture;
mod hash_locks;
mod requests;
mod space;
mod transfers;
