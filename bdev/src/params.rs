// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of `bdev_dedupe_create` and their validation, without SPDK.
//!
//! `spdk_json_decode_object` refuses an object without saying which member it minds; here each refusal names the
//! parameter, what was given and what is allowed.

use thiserror::Error;
use uuid::Uuid;

use crate::cpumask::{self, MaskError};
use crate::sizing::Wishes;

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
    names: &'static [&'static str],
}

impl Reader {
    /// A reader for a method that has the parameters `names`.
    ///
    /// # Errors
    /// A name is unknown or given twice.
    pub fn new(fields: Fields, names: &'static [&'static str]) -> Result<Reader, ParamError> {
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

    /// An optional `true` or `false`; `false` when not given.
    ///
    /// # Errors
    /// The value is something else.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, ParamError> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => {
                Err(ParamError::Bad { name, given: other.describe(), allowed: "true and false are allowed" })
            }
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

/// Block sizes that a volume can expose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockSize {
    /// 512 bytes: partial blocks are read, changed and written.
    Sector,
    /// 4096 bytes.
    Block,
}

impl BlockSize {
    /// Bytes in a block.
    pub const fn bytes(self) -> u32 {
        match self {
            BlockSize::Sector => 512,
            BlockSize::Block => 4096,
        }
    }
}

/// Parameters of `bdev_dedupe_create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateParams {
    /// The bdev that stores the data, in a pool that is made for the volume.
    pub base_bdev_name: Option<String>,
    /// The pool that stores the data.
    pub pool_name: Option<String>,
    /// Name of the new bdev.
    pub name: String,
    /// Identity of the new bdev; generated when not given.
    pub uuid: Option<Uuid>,
    /// The core mask as given; all reactors when not.
    pub cpumask: Option<String>,
    /// Exposed block size; 4096 when not given.
    pub block_size: Option<BlockSize>,
    /// Logical size in MiB; a little less than the data area when not given (see [`crate::sizing`]).
    pub logical_size_mib: Option<u64>,
    /// Slab size in MiB; chosen by the free space of the pool when not given.
    pub slab_size_mib: Option<u64>,
    /// Size of all slabs in MiB; all that the pool has, less some for metadata, when not given.
    pub physical_size_mib: Option<u64>,
    /// Size of the level-1 index in MiB; room for one record of each physical block when not given.
    pub index_memory_mib: Option<u64>,
}

const CREATE: &[&str] = &[
    "base_bdev_name",
    "pool_name",
    "name",
    "uuid",
    "cpumask",
    "block_size",
    "logical_size_mib",
    "slab_size_mib",
    "physical_size_mib",
    "index_memory_mib",
];

const BASE_NAME: &str = "the name of an existing bdev is needed";
const POOL_NAME: &str = "the name of an active media pool is needed";
const NEW_NAME: &str = "a name for the new bdev is needed, of 1 to 255 bytes";
const VOLUME_NAME: &str = "the name of a dedupe bdev is needed";
const UUID: &str = "a UUID like \"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\" is allowed, other than all zeros";
const CPUMASK: &str = "a string like \"0x3\" or \"[0,2-5]\" is allowed";
const BLOCK: &str = "512 and 4096 are allowed";
const LOGICAL: &str = "a whole number of MiB from 1 to 4294967296 (4 PiB) is allowed";
const SLAB: &str = "a power of two from 8 to 32768 MiB is allowed";
const PHYSICAL: &str = "a whole number of MiB from 8 to 268435456 (256 TiB) is allowed";
const INDEX: &str = "a whole number of MiB from 1 to 1048576 (1 TiB) is allowed";

impl CreateParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// The first parameter that is unknown, missing or not allowed.
    pub fn parse(fields: Fields) -> Result<CreateParams, ParamError> {
        let mut reader = Reader::new(fields, CREATE)?;
        let params =
            CreateParams {
                base_bdev_name: reader.optional_string("base_bdev_name", BASE_NAME)?,
                pool_name: reader.optional_string("pool_name", POOL_NAME)?,
                name: reader.string("name", NEW_NAME)?,
                uuid: reader.optional_string("uuid", UUID)?.map(|text| parse_uuid(&text)).transpose()?,
                cpumask: reader.optional_string("cpumask", CPUMASK)?,
                block_size: reader
                    .optional_number("block_size", BLOCK, |size| size == 512 || size == 4096)?
                    .map(|size| if size == 512 { BlockSize::Sector } else { BlockSize::Block }),
                logical_size_mib: reader
                    .optional_number("logical_size_mib", LOGICAL, |mib| (1..=1 << 32).contains(&mib))?,
                slab_size_mib: reader.optional_number("slab_size_mib", SLAB, |mib| {
                    mib.is_power_of_two() && (8..=32768).contains(&mib)
                })?,
                physical_size_mib: reader
                    .optional_number("physical_size_mib", PHYSICAL, |mib| (8..=1 << 28).contains(&mib))?,
                index_memory_mib: reader
                    .optional_number("index_memory_mib", INDEX, |mib| (1..=1 << 20).contains(&mib))?,
            };
        if params.base_bdev_name.is_some() == params.pool_name.is_some() {
            return Err(ParamError::OnePlace);
        }
        params.cores()?;
        Ok(params)
    }

    /// The sizes that were asked for.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            logical_mib: self.logical_size_mib,
            slab_mib: self.slab_size_mib,
            physical_mib: self.physical_size_mib,
            index_mib: self.index_memory_mib,
        }
    }

    /// The cores that the mask names; none when no mask was given.
    ///
    /// # Errors
    /// The mask cannot be read.
    pub fn cores(&self) -> Result<Option<Vec<u32>>, ParamError> {
        Ok(self.cpumask.as_deref().map(cpumask::parse).transpose()?)
    }
}

fn parse_uuid(text: &str) -> Result<Uuid, ParamError> {
    Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil()).ok_or_else(|| ParamError::Bad {
        name: "uuid",
        given: format!("\"{text}\""),
        allowed: UUID,
    })
}

/// The parameter of `bdev_dedupe_delete`.
///
/// # Errors
/// The name is missing or no string, or there are other parameters.
pub fn parse_delete(fields: Fields) -> Result<String, ParamError> {
    Reader::new(fields, &["name"])?.string("name", VOLUME_NAME)
}

/// The parameter of `bdev_dedupe_get_stats`: one volume, or all.
///
/// # Errors
/// The name is no string, or there are other parameters.
pub fn parse_get_stats(fields: Fields) -> Result<Option<String>, ParamError> {
    Reader::new(fields, &["name"])?.optional_string("name", VOLUME_NAME)
}

/// The parameters of `bdev_dedupe_set_index_memory`: a volume and its new `index_memory_mib`.
///
/// # Errors
/// One of them is missing or not allowed, or there are others.
pub fn parse_set_index_memory(fields: Fields) -> Result<(String, u64), ParamError> {
    let mut reader = Reader::new(fields, &["name", "index_memory_mib"])?;
    let name = reader.string("name", VOLUME_NAME)?;
    let mib = reader.optional_number("index_memory_mib", INDEX, |mib| (1..=1 << 20).contains(&mib))?;
    Ok((name, mib.ok_or(ParamError::Missing { name: "index_memory_mib", allowed: INDEX })?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn number(value: &str) -> Value {
        Value::Number(value.to_owned())
    }

    fn create(more: &[(&str, Value)]) -> Result<CreateParams, ParamError> {
        let mut fields = vec![("base_bdev_name".to_owned(), text("Malloc0")), ("name".to_owned(), text("D0"))];
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        CreateParams::parse(fields)
    }

    fn message(more: &[(&str, Value)]) -> String {
        create(more).expect_err("refused").to_string()
    }

    #[test]
    fn two_names_are_enough() {
        let params = create(&[]).expect("valid");
        assert_eq!((params.base_bdev_name.as_deref(), params.name.as_str()), (Some("Malloc0"), "D0"));
        assert_eq!((params.uuid, params.cpumask, params.block_size), (None, None, None));
        assert_eq!((params.logical_size_mib, params.slab_size_mib, params.index_memory_mib), (None, None, None));
    }

    #[test]
    fn every_parameter_is_read() {
        let params = create(&[
            ("uuid", text("F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6")),
            ("cpumask", text("[0,2]")),
            ("block_size", number("512")),
            ("logical_size_mib", number("4294967296")),
            ("slab_size_mib", number("32768")),
            ("index_memory_mib", number("1")),
        ])
        .expect("valid");
        assert_eq!(params.uuid.expect("given").to_string(), "f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
        assert_eq!(params.cores(), Ok(Some(vec![0, 2])));
        assert_eq!(params.block_size, Some(BlockSize::Sector));
        assert_eq!(params.logical_size_mib, Some(1 << 32));
        assert_eq!((params.slab_size_mib, params.index_memory_mib), (Some(32768), Some(1)));
    }

    #[test]
    fn null_means_not_given() {
        assert_eq!(create(&[("uuid", Value::Null)]).expect("valid").uuid, None);
        let fields = vec![("name".to_owned(), Value::Null)];
        assert_eq!(parse_get_stats(fields.clone()), Ok(None));
        assert!(matches!(parse_delete(fields), Err(ParamError::Missing { name: "name", .. })));
    }

    #[test]
    fn each_refusal_names_the_parameter_and_what_is_allowed() {
        let cases: [(&str, Value, &str); 16] = [
            ("block_size", number("1024"), "parameter 'block_size' is 1024: 512 and 4096 are allowed"),
            ("block_size", text("512"), "parameter 'block_size' is \"512\": 512 and 4096 are allowed"),
            ("logical_size_mib", number("0"), "parameter 'logical_size_mib' is 0: a whole number of MiB from 1"),
            ("logical_size_mib", number("4294967297"), "parameter 'logical_size_mib' is 4294967297"),
            ("logical_size_mib", number("-1"), "parameter 'logical_size_mib' is -1"),
            ("logical_size_mib", number("1.5"), "parameter 'logical_size_mib' is 1.5"),
            ("slab_size_mib", number("9"), "parameter 'slab_size_mib' is 9: a power of two from 8"),
            ("slab_size_mib", number("4"), "parameter 'slab_size_mib' is 4: a power of two from 8"),
            ("slab_size_mib", Value::Bool(true), "parameter 'slab_size_mib' is true"),
            ("index_memory_mib", Value::Compound, "parameter 'index_memory_mib' is an array or object"),
            ("uuid", text("nonsense"), "parameter 'uuid' is \"nonsense\": a UUID like"),
            ("uuid", text("00000000-0000-0000-0000-000000000000"), "parameter 'uuid' is \"00000000"),
            ("cpumask", text("x"), "parameter 'cpumask' is neither a hexadecimal mask"),
            ("cpumask", number("3"), "parameter 'cpumask' is 3: a string like"),
            ("cpumask", text("0x0"), "parameter 'cpumask' names no core"),
            ("size", number("3"), "unknown parameter 'size': the method takes base_bdev_name, pool_name, name, uuid"),
        ];
        for (name, value, expected) in cases {
            let message = message(&[(name, value)]);
            assert!(message.starts_with(expected), "{message}");
        }
        assert_eq!(message(&[("name", text("D1"))]), "parameter 'name' is given more than once");
        let fields = vec![("name".to_owned(), text(""))];
        let message = parse_delete(fields).expect_err("empty").to_string();
        assert_eq!(message, "parameter 'name' is \"\": the name of a dedupe bdev is needed");
        let message = CreateParams::parse(Vec::new()).expect_err("empty").to_string();
        assert_eq!(message, "parameter 'name' is missing: a name for the new bdev is needed, of 1 to 255 bytes");
    }

    #[test]
    fn a_volume_is_in_one_place() {
        let name = ("name".to_owned(), text("D0"));
        let message = CreateParams::parse(vec![name.clone()]).expect_err("nowhere").to_string();
        assert!(message.contains("'base_bdev_name'") && message.contains("'pool_name'"), "{message}");
        let params = CreateParams::parse(vec![name, ("pool_name".to_owned(), text("p0"))]).expect("valid");
        assert_eq!((params.base_bdev_name, params.pool_name.as_deref()), (None, Some("p0")));
        assert_eq!(create(&[("pool_name", text("p0"))]), Err(ParamError::OnePlace));
    }
}
