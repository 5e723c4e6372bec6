// SPDX-License-Identifier: BSD-3-Clause

//! An open pool: what a client can do with objects, and with which rights.
//!
//! This is the equivalent of the descriptor of a pool's device node and its commands. A handle is open side by side
//! with others, or alone. Opened for reading only it offers what reads, and nothing else; the owner, the group and the
//! mode of a pool are not looked at, because whoever has a handle got it from the program that the pool lives in.
//!
//! Differs from mpool: what a command may do follows from the command, never from one of its fields (defect 6). What
//! a handle for reading refuses it refuses with EROFS instead of EINVAL. As there, an object is looked up by the state
//! that the command is for: committing twice, or reading before the commit, finds nothing (defect 8). Reading a log record
//! by record needs a handle for writing, because all who have the log open share one place of reading; a handle for
//! reading reads its blocks.

mod objects;
mod properties;

use std::rc::Rc;

use super::error::{Kind, PoolError, Result};
use super::ids::PAGE_BYTES;
use super::registry::{ActivePool, Registry};
use super::Pool;

/// What a handle may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Looking at properties, reading committed objects.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// An open pool. While there is one, the pool is not deactivated.
#[derive(Debug)]
pub struct PoolHandle {
    active: Rc<ActivePool>,
    rights: Rights,
}

impl Registry {
    /// Opens an active pool, by its name or, as text, its UUID.
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
    /// What the handle may be used for.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The active pool.
    #[must_use]
    pub fn active(&self) -> &Rc<ActivePool> {
        &self.active
    }

    /// The pool, past the rules of this module. For those who answer for their rights themselves.
    ///
    /// # Errors
    /// ReadOnly: opened for reading only.
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

    /// Refuses a transfer that is not one or more whole pages, or longer than transfers may be.
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
