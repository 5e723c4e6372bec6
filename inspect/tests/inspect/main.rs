// SPDX-License-Identifier: BSD-3-Clause

//! `mpool-inspect` on images: good ones, broken ones, hostile ones.

mod blkid;
mod damage;
mod listing;
mod made;
mod real_pool;
mod run;
