// SPDX-License-Identifier: BSD-3-Clause

//! Sends the `log` crate's records to SPDK's log, so that the module's lines appear among SPDK's own.
//!
//! SPDK's level INFO is shown when the log flag `dedupe` is set (`-L dedupe`, or `log_set_flag`), as with SPDK's own
//! modules. Where SPDK's public headers have no log flags (20.07) it is never shown.

use std::ffi::CString;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::ffi;

struct SpdkLog;

static LOGGER: SpdkLog = SpdkLog;

/// Makes the log flag known, before SPDK reads its options.
pub fn register_flag() {
    flag::register();
}

/// Installs the logger, unless the program that links this crate has one.
pub fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// `Info` becomes what SPDK calls a notice, which is shown by default.
fn level(level: Level) -> ffi::spdk_log_level::Type {
    match level {
        Level::Error => ffi::spdk_log_level::SPDK_LOG_ERROR,
        Level::Warn => ffi::spdk_log_level::SPDK_LOG_WARN,
        Level::Info => ffi::spdk_log_level::SPDK_LOG_NOTICE,
        Level::Debug => ffi::spdk_log_level::SPDK_LOG_INFO,
        Level::Trace => ffi::spdk_log_level::SPDK_LOG_DEBUG,
    }
}

impl Log for SpdkLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() >= Level::Debug && !flag::is_set() {
            return;
        }
        // A NUL inside a message would end it early in C; replacing it keeps the line.
        let text = record.args().to_string().replace('\0', "?");
        let file = record.file().unwrap_or("bdev_dedupe").rsplit('/').next().unwrap_or("bdev_dedupe");
        let (Ok(text), Ok(file)) = (CString::new(text), CString::new(file)) else { return };
        let line = record.line().unwrap_or(0) as i32;
        // SAFETY: all strings are C strings that outlive the call, and the format takes exactly one of them.
        unsafe {
            ffi::spdk_log(
                level(record.level()),
                file.as_ptr(),
                line,
                c"dedupe".as_ptr(),
                c"%s\n".as_ptr(),
                text.as_ptr(),
            );
        }
    }

    fn flush(&self) {}
}

/// The log flag `dedupe`.
#[cfg(all(spdk_has_log_flag, not(test)))]
mod flag {
    use core::cell::UnsafeCell;

    use crate::spdk::ffi;

    struct Flag(UnsafeCell<ffi::spdk_log_flag>);

    // SAFETY: SPDK's alone once registered; this module reads one byte of it, as SPDK's own macros do.
    unsafe impl Sync for Flag {}

    static FLAG: Flag = Flag(UnsafeCell::new(
        // SAFETY: two links, a pointer and a bool, for all of which zero is valid.
        unsafe { core::mem::zeroed() },
    ));

    pub fn register() {
        // SAFETY: called once, by the module's constructor, before there are other threads; flag and name are static, and
        // SPDK sets the flag's own name to the one that is given.
        unsafe {
            (*FLAG.0.get()).name = c"dedupe".as_ptr();
            ffi::spdk_log_register_flag(c"dedupe".as_ptr(), FLAG.0.get());
        }
    }

    pub fn is_set() -> bool {
        // SAFETY: the flag is static; this reads once a bool that SPDK's RPC thread may be setting.
        unsafe { core::ptr::addr_of!((*FLAG.0.get()).enabled).read_volatile() }
    }
}

#[cfg(not(all(spdk_has_log_flag, not(test))))]
mod flag {
    pub fn register() {}

    pub fn is_set() -> bool {
        false
    }
}
