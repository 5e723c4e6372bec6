// SPDX-License-Identifier: BSD-3-Clause

//! What all benchmarks share: the measured row, the table of such rows, and the end of a program that has measured.
//!
//! A [`Record`] is a row: what was measured, then figures. A figure is the median of several windows; where there is a
//! reference, it was measured in the same rounds. [`Results`] are all rows of a program, shown as tables of [`Column`]s on
//! standard output and, if wanted, written as JSON: an array with an object for each row.

mod clock;
mod record;
mod results;
mod table;

pub use clock::processor_time;
pub use record::{median, over, range, Record};
pub use results::Results;
pub use table::{column, table, Column};
