// SPDX-License-Identifier: BSD-3-Clause

//! Sends the `log` crate's records to SPDK's log, so that the module's lines stand among SPDK's own.

use std::ffi::CString;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::ffi;

struct SpdkLog;

static LOGGER: SpdkLog = SpdkLog;

/// Installs the logger. A second call changes nothing.
pub fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// `Info` is what SPDK calls a notice: shown by default.
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
        // A NUL inside a message ends it early in C; better than losing the line.
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
