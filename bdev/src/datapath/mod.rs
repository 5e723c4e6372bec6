// SPDX-License-Identifier: BSD-3-Clause

//! The path of a request: from the channel of the submitting thread through the shards to the bdevs below, and back.

pub mod app_calls;
pub mod cache_padded;
pub mod channel;
pub mod env;
pub mod frontend;
pub mod gauges;
pub mod list;
pub mod peers;
pub mod plan;
pub mod poll;
pub mod request;
pub mod ring;
pub mod sgl;
pub mod shard_host;
pub mod split;
pub mod transfer;
