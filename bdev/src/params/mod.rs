// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of the `bdev_dedupe_*` methods and their validation, without SPDK.
//!
//! `spdk_json_decode_object` refuses an object without saying which member it minds; here each refusal names the
//! parameter, what was given and what is allowed.

mod administration;
mod create;

use thiserror::Error;

use crate::cpumask::MaskError;

pub use self::administration::{parse_delete, parse_get_stats, parse_name, parse_rename, parse_set_compression};
pub use self::administration::{parse_set_index, parse_set_index_memory, parse_set_reserve};
pub use self::administration::{DumpParams, IndexAction, LoadParams, SizeParams};
pub use self::create::CreateParams;

/// A JSON value as far as parameters need it. Numbers keep their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    String(String),
    /// A number, as written.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`: the parameter counts as not given.
    Null,
    /// An array or an object.
    Compound,
}

impl Value {
    fn describe(&self) -> String {
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

/// Why parameters are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParamError {
    /// The parameters are not an object.
    #[error("parameters must be an object with the members {0}")]
    NotAnObject(String),
    /// A parameter that the method does not have.
    #[error("unknown parameter '{name}': the method takes {allowed}")]
    Unknown {
        /// What was given.
        name: String,
        /// What the method has.
        allowed: String,
    },
    /// The same parameter again.
    #[error("parameter '{0}' is given more than once")]
    Repeated(String),
    /// A parameter that is not optional.
    #[error("parameter '{name}' is missing: {allowed}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A value of the wrong type or out of range.
    #[error("parameter '{name}' is {given}: {allowed}")]
    Bad {
        /// Its name.
        name: &'static str,
        /// The value given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Not exactly one place for a volume.
    #[error(
        "either parameter 'base_bdev_name' ({BASE_NAME}) or parameter 'pool_name' ({POOL_NAME}) must be given, not both"
    )]
    OnePlace,
    /// A core mask that cannot be read.
    #[error("parameter 'cpumask' {0}")]
    Mask(#[from] MaskError),
}

/// Takes parameters one by one out of what was given, and refuses what is left.
#[derive(Debug)]
pub struct Reader {
    fields: Fields,
    names: Vec<&'static str>,
}

impl Reader {
    /// A reader for a method that has the parameters `names`.
    ///
    /// # Errors
    /// A name is unknown or given twice.
    pub fn new(fields: Fields, names: &[&'static str]) -> Result<Reader, ParamError> {
        Reader::of(fields, names.to_vec())
    }

    /// As [`Reader::new`].
    ///
    /// # Errors
    /// As for [`Reader::new`].
    pub fn of(fields: Fields, names: Vec<&'static str>) -> Result<Reader, ParamError> {
        for (index, (name, _)) in fields.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                return Err(ParamError::Unknown { name: name.clone(), allowed: names.join(", ") });
            }
            if fields[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ParamError::Repeated(name.clone()));
            }
        }
        Ok(Reader { fields, names })
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        debug_assert!(self.names.contains(&name), "'{name}' is not in the method's list");
        let index = self.fields.iter().position(|(given, _)| given == name)?;
        Some(self.fields.swap_remove(index).1).filter(|value| *value != Value::Null)
    }

    /// An optional string of 1 to 255 bytes.
    ///
    /// # Errors
    /// The value is something else.
    pub fn optional_string(&mut self, name: &'static str, allowed: &'static str) -> Result<Option<String>, ParamError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if (1..=255).contains(&text.len()) && !text.contains('\0') => Ok(Some(text)),
            Some(other) => Err(ParamError::Bad { name, given: other.describe(), allowed }),
        }
    }

    /// A string of 1 to 255 bytes that must be given.
    ///
    /// # Errors
    /// It is not given, or the value is something else.
    pub fn string(&mut self, name: &'static str, allowed: &'static str) -> Result<String, ParamError> {
        self.optional_string(name, allowed)?.ok_or(ParamError::Missing { name, allowed })
    }

    /// `true` or `false`; `false` when not given.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, ParamError> {
        Ok(self.optional_boolean(name)?.unwrap_or(false))
    }

    /// An optional `true` or `false`.
    ///
    /// # Errors
    /// The value is something else.
    pub fn optional_boolean(&mut self, name: &'static str) -> Result<Option<bool>, ParamError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(ParamError::Bad { name, given: other.describe(), allowed: SWITCH }),
        }
    }

    /// An optional whole number that `is_allowed`.
    ///
    /// # Errors
    /// The value is something else.
    pub fn optional_number(
        &mut self,
        name: &'static str,
        allowed: &'static str,
        is_allowed: impl Fn(u64) -> bool,
    ) -> Result<Option<u64>, ParamError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(text) => text.parse().ok().filter(|number| is_allowed(*number)),
            _ => None,
        };
        number.map(Some).ok_or_else(|| ParamError::Bad { name, given: value.describe(), allowed })
    }
}

// What is allowed, in words.
const BASE_NAME: &str = "the name of an existing bdev is needed";
const POOL_NAME: &str = "the name of an active media pool is needed";
const NEW_NAME: &str = "a name for the new bdev is needed, of 1 to 255 bytes";
const VOLUME_NAME: &str = "the name, UUID or alias of a dedupe bdev is needed";
const UUID: &str = "a UUID like \"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\" is allowed, other than all zeros";
const CPUMASK: &str = "a string like \"0x3\" or \"[0,2-5]\" is allowed";
const BLOCK: &str = "512 and 4096 are allowed";
const LOGICAL: &str = "a whole number of MiB from 1 to 4294967296 (4 PiB) is allowed";
const SLAB: &str = "a power of two from 8 to 32768 MiB is allowed";
const PHYSICAL: &str = "a whole number of MiB from 8 to 268435456 (256 TiB) is allowed";
const CACHE: &str = "a whole number of MiB from 1 to 1048576 (1 TiB) is allowed";
const JOURNAL: &str = "a whole number of MiB from 1 to 65536 (64 GiB) is allowed";
const HISTORY: &str = "a whole number of MiB from 0 (none) to 1048576 (1 TiB) is allowed";
const RESERVE: &str = "a whole number of percent from 0 (none) to 50 is allowed";
const SWITCH: &str = "true and false are allowed";
const ACTION: &str = "create, close, disable and enable are allowed";
const ENTRIES: &str = "a whole number from 0 to 256 is allowed";
const NUMBER: &str = "a whole number is allowed";
const INDEX: &str = "a whole number of MiB from 1 to 1048576 (1 TiB) is allowed";

#[cfg(test)]
mod tests;
