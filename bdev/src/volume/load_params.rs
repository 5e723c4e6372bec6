// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of methods that deal with a volume that is there.

use crate::params::{cores, params, text, Checked, FromChecked, VOLUME};

params! {
    /// Parameters of `bdev_dedupe_load`.
    pub struct LoadParams {
        pub name: String = VOLUME,
        /// Media pool that has it.
        pub pool_name: Option<String> = text("the name of an active media pool").letter('p').or("the active one that does"),
        /// Cores to run on from now on, which is kept: `"0x3"` or `"[0,2-5]"`.
        pub cpumask: Option<String> = cores().letter('m').or("as before"),
    }
}

/// What is to become of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexAction {
    /// A new, empty one.
    Create,
    /// None, until it is opened again.
    Close,
    /// Open, but not asked.
    Disable,
    /// Open, and asked.
    Enable,
}

impl IndexAction {
    /// Their names.
    pub const NAMES: &'static [&'static str] = &["create", "close", "disable", "enable"];
}

impl FromChecked for IndexAction {
    fn from_checked(value: Checked) -> Option<IndexAction> {
        let actions = [IndexAction::Create, IndexAction::Close, IndexAction::Disable, IndexAction::Enable];
        let name = String::from_checked(value)?;
        IndexAction::NAMES.iter().zip(actions).find(|(known, _)| **known == name).map(|(_, action)| action)
    }
}
