// SPDX-License-Identifier: BSD-3-Clause

//! From a JSON value to a field of a Rust type.

use uuid::Uuid;

use super::{Absent, Param, ParamError, Reader};

/// A value that a parameter may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// A string.
    Text(String),
    /// A whole number.
    Number(u64),
    /// `true` or `false`.
    Bool(bool),
}

/// What can be made of a value that a parameter may have.
pub trait FromChecked: Sized {
    /// None when the type cannot hold the value.
    fn from_checked(value: Checked) -> Option<Self>;
}

impl FromChecked for String {
    fn from_checked(value: Checked) -> Option<String> {
        match value {
            Checked::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FromChecked for bool {
    fn from_checked(value: Checked) -> Option<bool> {
        match value {
            Checked::Bool(value) => Some(value),
            _ => None,
        }
    }
}

impl FromChecked for Uuid {
    fn from_checked(value: Checked) -> Option<Uuid> {
        match value {
            Checked::Text(text) => Uuid::try_parse(&text).ok(),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl FromChecked for $number {
            fn from_checked(value: Checked) -> Option<$number> {
                match value {
                    Checked::Number(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )+};
}

numbers! { u8 u32 u64 usize }

/// A field that a parameter is read into.
pub trait Field: Sized {
    /// It needs no value.
    const OPTIONAL: bool;

    /// Reads and checks the parameter.
    ///
    /// # Errors
    /// It is missing, or not allowed.
    fn read(reader: &mut Reader, param: &Param) -> Result<Self, ParamError>;
}

impl<T: FromChecked> Field for Option<T> {
    const OPTIONAL: bool = true;

    fn read(reader: &mut Reader, param: &Param) -> Result<Option<T>, ParamError> {
        let Some(value) = reader.take(param.name) else { return Ok(None) };
        let bad = || ParamError::Bad { name: param.name, given: value.describe(), allowed: param.kind.allowed() };
        let checked = param.kind.check(&value)?.ok_or_else(bad)?;
        T::from_checked(checked).map(Some).ok_or_else(bad)
    }
}

impl<T: FromChecked> Field for T {
    const OPTIONAL: bool = false;

    fn read(reader: &mut Reader, param: &Param) -> Result<T, ParamError> {
        let default = || match param.absent {
            Absent::Number(number) => T::from_checked(Checked::Number(number)),
            Absent::Bool(value) => T::from_checked(Checked::Bool(value)),
            Absent::Nothing | Absent::Words(_) => None,
        };
        let missing = || ParamError::Missing { name: param.name, allowed: param.kind.allowed() };
        Option::<T>::read(reader, param)?.or_else(default).ok_or_else(missing)
    }
}
