// SPDX-License-Identifier: BSD-3-Clause

//! An open pool: the commands on objects, and the rights that they need.
//!
//! Corresponds to the descriptor of a pool's device node and its commands. A handle is shared with others, or
//! exclusive. A read-only handle offers only commands that read. Owner, group and mode of a pool are not checked,
//! because every handle comes from the program that hosts the pool.
//!
//! Differs from mpool: the command alone decides about its rights, never one of its fields (defect 6). A read-only
//! handle refuses with EROFS instead of EINVAL. As in mpool, an object is looked up by the state that the command
//! needs: a second commit, or a read before the commit, finds nothing (defect 8). Reading a log record by record needs
//! a writable handle, because all users of an open log share one read position; a read-only handle reads its blocks.

mod objects;
mod properties;

use std::rc::Rc;

use super::error::{Kind, PoolError, Result};
use super::ids::PAGE_BYTES;
use super::registry::{ActivePool, Registry};
use super::Pool;

/// The rights of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Read properties and committed objects.
    ReadOnly,
    /// All commands.
    ReadWrite,
}

/// An open pool. While a handle exists, the pool is not deactivated.
#[derive(Debug)]
pub struct PoolHandle {
    active: Rc<ActivePool>,
    rights: Rights,
}

impl Registry {
    /// Opens an active pool, by its name or its UUID as text.
    ///
    /// # Errors
    /// NotMember: no such active pool. Busy: `exclusive` and open already, or open exclusively.
    pub fn open(&self, name_or_uuid: &str, rights: Rights, exclusive: bool) -> Result<PoolHandle> {
        let active = self.find(name_or_uuid)?;
        active.enter(exclusive)?;
        Ok(PoolHandle { active, rights })
    }
}

impl PoolHandle {
    /// The rights that the handle was opened with.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The active pool that the handle keeps active.
    #[must_use]
    pub fn active(&self) -> &Rc<ActivePool> {
        &self.active
    }

    /// The pool, without the checks of this module. For callers that check their own rights.
    ///
    /// # Errors
    /// ReadOnly: the handle is read-only.
    pub fn pool(&self) -> Result<&Rc<Pool>> {
        self.writable()
    }

    /// The pool, for a command that changes something.
    fn writable(&self) -> Result<&Rc<Pool>> {
        match self.rights {
            Rights::ReadWrite => Ok(self.active.pool()),
            Rights::ReadOnly => {
                Err(PoolError::new(Kind::ReadOnly, self.active.pool().subject(), "it was opened for reading only"))
            }
        }
    }

    /// Refuses a transfer that is empty, not whole pages, or longer than the tunable allows.
    fn check_length(&self, object: &str, bytes: usize) -> Result<()> {
        let most = self.active.pool().tunables.borrow().io_mib_max() as usize * (1 << 20);
        if bytes > 0 && bytes.is_multiple_of(PAGE_BYTES) && bytes <= most {
            return Ok(());
        }
        let reason =
            format!("a transfer of {bytes} bytes; whole pages of {PAGE_BYTES} bytes up to {most} are possible");
        Err(PoolError::invalid(object, reason))
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.active.leave();
    }
}
