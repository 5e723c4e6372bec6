// SPDX-License-Identifier: BSD-3-Clause

//! The JSON that the module needs, on top of SPDK's: reading a parameter object, writing results.

use core::ptr::NonNull;
use std::ffi::CString;

use super::ffi;

/// A JSON value, as far as parameters need it. Numbers keep their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    String(String),
    /// A number, as written.
    Number(String),
    Bool(bool),
    /// `null`: the parameter counts as not given.
    Null,
    /// An array or an object.
    Compound,
}

impl Value {
    /// The value for an error message.
    pub fn describe(&self) -> String {
        match self {
            Value::String(text) => format!("\"{text}\""),
            Value::Number(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Null => "null".to_owned(),
            Value::Compound => "an array or object".to_owned(),
        }
    }
}

/// The members of a parameter object, in the order given.
pub type Fields = Vec<(String, Value)>;

/// Reads the members of the object at `params`. None if it is not an object; no members for a null pointer (no
/// parameters given).
///
/// # Safety
/// `params` is null or the first value of a JSON document that SPDK decoded.
pub unsafe fn read_object(params: *const ffi::spdk_json_val) -> Option<Fields> {
    // SAFETY: the caller vouches for the pointer.
    let Some(object) = (unsafe { params.as_ref() }) else { return Some(Fields::new()) };
    if object.type_ != ffi::spdk_json_val_type::SPDK_JSON_VAL_OBJECT_BEGIN {
        return None;
    }
    let mut fields = Fields::new();
    let mut index = 1;
    while index <= object.len as usize {
        // SAFETY: an object of length n is followed by n values: names, each followed by its value, and a compound
        // value by its parts. The decoder has checked that they alternate.
        let (name, value) = unsafe { (&*params.add(index), &*params.add(index + 1)) };
        // SAFETY: both are values of the decoded document.
        fields.push(unsafe { (text(name), read_value(value)) });
        index += 1 + value_len(value);
    }
    Some(fields)
}

/// Number of entries that a value takes in a decoded document.
fn value_len(value: &ffi::spdk_json_val) -> usize {
    match value.type_ {
        ffi::spdk_json_val_type::SPDK_JSON_VAL_OBJECT_BEGIN | ffi::spdk_json_val_type::SPDK_JSON_VAL_ARRAY_BEGIN => {
            value.len as usize + 2
        }
        _ => 1,
    }
}

/// # Safety
/// `value` is a string, name or number of a decoded document.
unsafe fn text(value: &ffi::spdk_json_val) -> String {
    if value.start.is_null() {
        return String::new();
    }
    // SAFETY: start and len describe the value's bytes in the document.
    let bytes = unsafe { core::slice::from_raw_parts(value.start.cast::<u8>(), value.len as usize) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// # Safety
/// `value` is a value of a decoded document.
unsafe fn read_value(value: &ffi::spdk_json_val) -> Value {
    match value.type_ {
        ffi::spdk_json_val_type::SPDK_JSON_VAL_NULL => Value::Null,
        ffi::spdk_json_val_type::SPDK_JSON_VAL_TRUE => Value::Bool(true),
        ffi::spdk_json_val_type::SPDK_JSON_VAL_FALSE => Value::Bool(false),
        // SAFETY: a number of a decoded document.
        ffi::spdk_json_val_type::SPDK_JSON_VAL_NUMBER => Value::Number(unsafe { text(value) }),
        // SAFETY: a string of a decoded document.
        ffi::spdk_json_val_type::SPDK_JSON_VAL_STRING => Value::String(unsafe { text(value) }),
        _ => Value::Compound,
    }
}

/// Writes to a JSON document that SPDK holds. Errors are ignored: SPDK marks a document that ran out of memory and
/// refuses it at its end.
#[derive(Debug)]
pub struct Writer(NonNull<ffi::spdk_json_write_ctx>);

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

impl Writer {
    /// A writer for a document; none for null.
    ///
    /// # Safety
    /// `document` is null or stays valid as long as the writer.
    pub unsafe fn new(document: *mut ffi::spdk_json_write_ctx) -> Option<Writer> {
        NonNull::new(document).map(Writer)
    }

    pub fn as_ptr(&self) -> *mut ffi::spdk_json_write_ctx {
        self.0.as_ptr()
    }

    /// Writes a string without a name.
    pub fn string(&mut self, value: &str) {
        let value = c_string(value);
        // SAFETY: the document is valid by the promise of `new`; SPDK copies the string.
        unsafe { ffi::spdk_json_write_string(self.as_ptr(), value.as_ptr()) };
    }

    /// Writes `true` or `false` without a name.
    pub fn boolean(&mut self, value: bool) {
        // SAFETY: the document is valid by the promise of `new`.
        unsafe { ffi::spdk_json_write_bool(self.as_ptr(), value) };
    }

    /// Writes a member that is `true` or `false`.
    pub fn named_boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.boolean(value);
    }

    /// Writes a member that is a string.
    pub fn named_string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    /// Writes a member that is an unsigned integer.
    pub fn named_number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.number(value);
    }

    /// Writes a member that is a signed integer.
    pub fn named_signed(&mut self, name: &str, value: i64) {
        self.name(name);
        // SAFETY: the document is valid by the promise of `new`.
        unsafe { ffi::spdk_json_write_int64(self.as_ptr(), value) };
    }

    /// Writes an unsigned integer without a name.
    pub fn number(&mut self, value: u64) {
        // SAFETY: the document is valid by the promise of `new`.
        unsafe { ffi::spdk_json_write_uint64(self.as_ptr(), value) };
    }

    /// Writes a member that is an object, filled by `fill`.
    pub fn named_object(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) {
        self.name(name);
        self.object(fill);
    }

    /// Writes an object without a name, filled by `fill`.
    pub fn object(&mut self, fill: impl FnOnce(&mut Writer)) {
        // SAFETY: the document is valid by the promise of `new`.
        unsafe { ffi::spdk_json_write_object_begin(self.as_ptr()) };
        fill(self);
        // SAFETY: as above.
        unsafe { ffi::spdk_json_write_object_end(self.as_ptr()) };
    }

    /// Writes a member that is an array, filled by `fill`.
    pub fn named_array(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) {
        self.name(name);
        self.array(fill);
    }

    /// Writes an array without a name, filled by `fill`.
    pub fn array(&mut self, fill: impl FnOnce(&mut Writer)) {
        // SAFETY: the document is valid by the promise of `new`.
        unsafe { ffi::spdk_json_write_array_begin(self.as_ptr()) };
        fill(self);
        // SAFETY: as above.
        unsafe { ffi::spdk_json_write_array_end(self.as_ptr()) };
    }

    fn name(&mut self, name: &str) {
        let name = c_string(name);
        // SAFETY: the document is valid by the promise of `new`; SPDK copies the name.
        unsafe { ffi::spdk_json_write_name(self.as_ptr(), name.as_ptr()) };
    }
}
