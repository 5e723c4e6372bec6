// SPDX-License-Identifier: BSD-3-Clause

//! The check of what is read, switched off and on to see what it costs. Only a build with feature `measure-unchecked`
//! can.

use thiserror::Error;

/// This build has no such switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this build checks whatever it reads")]
pub struct AlwaysChecked;

/// Switches the check, in all volumes of this process, of what is read from now on.
///
/// # Errors
/// [`AlwaysChecked`] in a build without the feature; nothing changes then.
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
