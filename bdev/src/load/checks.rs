// SPDX-License-Identifier: BSD-3-Clause

//! Switches the check of what is read off and on, to measure its cost. Only a build with feature `measure-unchecked`
//! can.

use thiserror::Error;

/// This build has no such switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this build checks whatever it reads")]
pub struct AlwaysChecked;

/// Switches the check for all reads of all volumes of this process from now on.
///
/// # Errors
/// [`AlwaysChecked`] in a build without the feature, which then changes nothing.
pub fn switch_read_checks(on: bool) -> Result<(), AlwaysChecked> {
    #[cfg(feature = "measure-unchecked")]
    {
        engine::switch_read_checks(on);
        Ok(())
    }
    #[cfg(not(feature = "measure-unchecked"))]
    {
        let _ = on;
        Err(AlwaysChecked)
    }
}
