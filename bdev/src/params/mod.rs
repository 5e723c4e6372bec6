// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of JSON-RPC methods: what there is to say about each, said once.
//!
//! A parameter is a field with a type, a doc comment, which is its help text, and a [`Param`], which says what it may be:
//!
//! ```ignore
//! /// Memory for the deduplication index.
//! index_memory_mib: Option<u64> = mib(1, 1 << 20).letter('i').or("room for every block"),
//! ```
//!
//! A parameter is required unless its type is an [`Option`] or it has a default value. [`params!`] makes a struct of
//! such fields, and `methods!` in `rpc` takes them in place. A field without a [`Param`] is a group: its type implements
//! [`Params`] and brings parameters of its own.
//!
//! `spdk_json_decode_object` refuses an object without saying which member it minds; here each refusal names the
//! parameter, what was given and what is allowed.

mod field;
mod param;

use thiserror::Error;

use crate::spdk::cpumask::MaskError;
use crate::spdk::json::{Fields, Value};

pub use self::field::{Checked, Field, FromChecked};
pub use self::param::*;

/// Parameters that are read together.
pub trait Params: Sized {
    /// What the reference calls them where several methods have them; empty for those of one method.
    const GROUP: &'static str = "";

    /// Appends what there is to say about each.
    fn list(all: &mut Vec<Param>);

    /// Reads and checks them.
    ///
    /// # Errors
    /// The first that is missing or not allowed.
    fn read(reader: &mut Reader) -> Result<Self, ParamError>;
}

/// Makes a struct of parameters; see the module's documentation.
macro_rules! params {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(group $group:literal)? {
            $($(#[doc = $help:literal])* pub $field:ident: $type:ty $(= $param:expr)?),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[doc = $help])* pub $field: $type,)+
        }

        impl $crate::params::Params for $name {
            $(const GROUP: &'static str = $group;)?

            fn list(all: &mut Vec<$crate::params::Param>) {
                $($crate::params::list_field!(all, [$($help),*] $field: $type $(= $param)?);)+
            }

            fn read(reader: &mut $crate::params::Reader) -> Result<$name, $crate::params::ParamError> {
                Ok($name { $($field: $crate::params::read_field!(reader, $field: $type $(= $param)?),)+ })
            }
        }
    };
}

/// Appends what there is to say about a field to a list: about a group's parameters, or about a parameter.
macro_rules! list_field {
    ($all:expr, [$($help:literal),*] $field:ident: $type:ty) => {
        $crate::params::list_group::<$type>($all)
    };
    ($all:expr, [$($help:literal),*] $field:ident: $type:ty = $param:expr) => {
        $all.push($param.of::<$type>(stringify!($field), &[$($help),*]))
    };
}

/// Reads a field: a group, or a parameter.
macro_rules! read_field {
    ($reader:expr, $field:ident: $type:ty) => {
        <$type as $crate::params::Params>::read($reader)?
    };
    ($reader:expr, $field:ident: $type:ty = $param:expr) => {
        <$type as $crate::params::Field>::read($reader, &$param.of::<$type>(stringify!($field), &[]))?
    };
}

pub(crate) use {list_field, params, read_field};

/// Appends what there is to say about a group's parameters.
pub fn list_group<T: Params>(all: &mut Vec<Param>) {
    let first = all.len();
    T::list(all);
    all[first..].iter_mut().filter(|param| param.group.is_empty()).for_each(|param| param.group = T::GROUP);
}

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
        allowed: String,
    },
    /// A value of the wrong type or out of range.
    #[error("parameter '{name}' is {given}: {allowed}")]
    Bad {
        /// Its name.
        name: &'static str,
        /// The value given.
        given: String,
        /// What is allowed.
        allowed: String,
    },
    /// Not exactly one place for a volume.
    #[error(
        "either parameter 'base_bdev_name' (the name of an existing bdev) or parameter 'pool_name' (the name of an active \
         media pool) must be given, not both"
    )]
    OnePlace,
    /// A core mask that cannot be read.
    #[error("parameter 'cpumask' {0}")]
    Mask(#[from] MaskError),
}

/// The parameters as they were given, to be taken one by one.
#[derive(Debug)]
pub struct Reader {
    fields: Fields,
}

impl Reader {
    /// What was given to a method that has the parameters `params`. None was given when the parameters were no object.
    ///
    /// # Errors
    /// They are no object; a name is unknown or given twice.
    pub fn new(fields: Option<Fields>, params: &[Param]) -> Result<Reader, ParamError> {
        let fields = fields.ok_or_else(|| ParamError::NotAnObject(members(params)))?;
        for (index, (name, _)) in fields.iter().enumerate() {
            if !params.iter().any(|param| param.name == name) {
                return Err(ParamError::Unknown { name: name.clone(), allowed: names(params.iter()) });
            }
            if fields[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(ParamError::Repeated(name.clone()));
            }
        }
        Ok(Reader { fields })
    }

    /// The value of a parameter; none when it was not given, or `null` was.
    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.fields.iter().position(|(given, _)| given == name)?;
        Some(self.fields.swap_remove(index).1).filter(|value| *value != Value::Null)
    }
}

fn names<'a>(params: impl Iterator<Item = &'a Param>) -> String {
    let names: Vec<_> = params.map(|param| param.name).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// The members of a parameter object, in words.
fn members(params: &[Param]) -> String {
    let (required, optional): (Vec<_>, Vec<_>) = params.iter().partition(|param| param.required);
    match (required.is_empty(), optional.is_empty()) {
        (false, false) => format!("{} and optionally {}", names(required.into_iter()), names(optional.into_iter())),
        (true, false) => format!("{} (all optional)", names(optional.into_iter())),
        (_, true) => names(required.into_iter()),
    }
}

/// Reads the parameters of a struct out of the members that were given.
#[cfg(test)]
pub fn read<T: Params>(fields: Fields) -> Result<T, ParamError> {
    let mut all = Vec::new();
    list_group::<T>(&mut all);
    T::read(&mut Reader::new(Some(fields), &all)?)
}

#[cfg(test)]
mod tests;
