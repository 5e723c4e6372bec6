// SPDX-License-Identifier: BSD-3-Clause

//! A small NVMe/TCP initiator: one namespace, several queues, many commands under way on each.
//!
//! It exists to see what no ready-made initiator tells: when the target is killed, which commands had been answered
//! and which had not. A connection that ends is therefore an outcome here and no error; answers that were sent before
//! are still delivered.
//!
//! After the NVMe base specification 2.0 and the NVMe/TCP transport specification 1.0, as far as it goes: no digests,
//! no TLS, no authentication, one controller, no keep-alive. It runs on one thread and needs no SPDK.

mod address;
mod command;
mod connection;
mod controller;
mod error;
mod fabrics;
mod identify;
mod pdu;
mod session;
mod wait;

pub use address::Address;
pub use command::IoCommand;
pub use connection::{Answer, Ending};
pub use controller::{Controller, Shape};
pub use error::InitiatorError;
pub use identify::{Capabilities, Namespace};
pub use pdu::{PduError, Status};
