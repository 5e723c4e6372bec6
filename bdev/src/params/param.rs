// SPDX-License-Identifier: BSD-3-Clause

//! What there is to say about a parameter: what it may be, what is done without it, and how `rpc.py` takes it.

use uuid::Uuid;

use super::{Checked, Field, ParamError};
use crate::spdk::cpumask;
use crate::spdk::json::Value;

/// What a parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string of 1 to 255 bytes: what, in words.
    Text(&'static str),
    /// A UUID that is not all zeros.
    Uuid,
    /// A core mask.
    Cores,
    /// Permissions, as a string of octal digits.
    Octal,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number from `least` to `most`.
    Number {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
        /// The unit; empty for a mere number.
        unit: &'static str,
    },
    /// A power of two from `least` to `most` MiB.
    PowerOfTwoMib {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// One of these numbers.
    OneOfNumbers(&'static [u64]),
    /// `true`, or what is the case anyway: an option without a value in `rpc.py`.
    Flag,
    /// `true` or `false`: `on` or `off` in `rpc.py`.
    Switch,
}

/// Largest length of a string.
const TEXT_BYTES: usize = 255;

const MIB: &str = "MiB";

impl Kind {
    /// The value, if the parameter may have it.
    ///
    /// # Errors
    /// What is wrong with it, where there is more to say than what is allowed.
    pub fn check(&self, value: &Value) -> Result<Option<Checked>, ParamError> {
        Ok(match value {
            Value::String(text) if (1..=TEXT_BYTES).contains(&text.len()) && !text.contains('\0') => {
                self.check_text(text)?
            }
            Value::Number(text) => text.parse().ok().filter(|number| self.has(*number)).map(Checked::Number),
            Value::Bool(value) if matches!(self, Kind::Flag | Kind::Switch) => Some(Checked::Bool(*value)),
            _ => None,
        })
    }

    fn check_text(&self, text: &str) -> Result<Option<Checked>, ParamError> {
        let is_allowed = match self {
            Kind::Text(_) => true,
            Kind::Uuid => Uuid::try_parse(text).is_ok_and(|uuid| !uuid.is_nil()),
            Kind::Cores => !cpumask::parse(text)?.is_empty(),
            Kind::OneOf(names) => names.contains(&text),
            Kind::Octal => {
                let mode = u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
                return Ok(mode.map(Checked::Number));
            }
            _ => false,
        };
        Ok(is_allowed.then(|| Checked::Text(text.to_owned())))
    }

    fn has(&self, number: u64) -> bool {
        match self {
            Kind::Number { least, most, .. } => (*least..=*most).contains(&number),
            Kind::PowerOfTwoMib { least, most } => number.is_power_of_two() && (*least..=*most).contains(&number),
            Kind::OneOfNumbers(numbers) => numbers.contains(&number),
            _ => false,
        }
    }

    /// What is allowed, in a sentence.
    pub fn allowed(&self) -> String {
        match self {
            Kind::Text(what) => format!("{what} is needed"),
            Kind::Uuid => {
                "a UUID like \"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\" is allowed, other than all zeros".to_owned()
            }
            Kind::Cores => "a string like \"0x3\" or \"[0,2-5]\" is allowed".to_owned(),
            Kind::Octal => "a string of octal digits from \"0\" to \"777\" is allowed".to_owned(),
            Kind::OneOf(names) => format!("{} are allowed", listed(names, "and")),
            Kind::Number { least: 0, most: u64::MAX, .. } => "a whole number is allowed".to_owned(),
            Kind::Number { least, most: u64::MAX, unit } => {
                format!("a whole number{} from {least} on is allowed", of(unit))
            }
            Kind::Number { least, most, unit } => {
                format!("a whole number{} from {least} to {most}{} is allowed", of(unit), large(*most, unit))
            }
            Kind::PowerOfTwoMib { least, most } => format!("a power of two from {least} to {most} {MIB} is allowed"),
            Kind::OneOfNumbers(numbers) => format!("{} are allowed", listed(numbers, "and")),
            Kind::Flag | Kind::Switch => "true and false are allowed".to_owned(),
        }
    }
}

/// `a, b and c`.
pub fn listed(items: &[impl ToString], last: &str) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => items.concat(),
    }
}

fn of(unit: &str) -> String {
    if unit.is_empty() {
        return String::new();
    }
    format!(" of {unit}")
}

/// A size that is more easily read in a larger unit.
fn large(mib: u64, unit: &str) -> String {
    let step = mib.checked_ilog2().unwrap_or_default() / 10;
    if unit != MIB || step == 0 || !mib.is_power_of_two() {
        return String::new();
    }
    format!(" ({} {})", mib >> (10 * step), ["MiB", "GiB", "TiB", "PiB"].get(step as usize).unwrap_or(&"EiB"))
}

/// What is done when a parameter is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Nothing worth a word; or it must be given.
    Nothing,
    /// The method finds a value: which, in words.
    Words(&'static str),
    /// A number.
    Number(u64),
    /// `true` or `false`.
    Bool(bool),
}

/// A parameter. [`text`] and the other functions below make one, which its methods complete.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// It must be given.
    pub required: bool,
    /// What is done without it.
    pub absent: Absent,
    /// Short option of `rpc.py`. A required parameter without one is given there by its position.
    pub letter: Option<char>,
    /// What it is, in the lines of a doc comment.
    pub help: &'static [&'static str],
    /// The group that it is in; empty for none.
    pub group: &'static str,
}

impl Param {
    const fn new(kind: Kind) -> Param {
        Param { name: "", kind, required: false, absent: Absent::Nothing, letter: None, help: &[], group: "" }
    }

    /// The parameter for a field of this type and name, with its doc comment unless that is empty.
    pub const fn of<T: Field>(mut self, field: &'static str, help: &'static [&'static str]) -> Param {
        if self.name.is_empty() {
            self.name = field;
        }
        if !help.is_empty() {
            self.help = help;
        }
        self.required = !T::OPTIONAL && !matches!(self.absent, Absent::Number(_) | Absent::Bool(_));
        self
    }

    /// With another name than that of its field.
    pub const fn called(mut self, name: &'static str) -> Param {
        self.name = name;
        self
    }

    /// With a short option for `rpc.py`.
    pub const fn letter(mut self, letter: char) -> Param {
        self.letter = Some(letter);
        self
    }

    /// What the method does without it, in words.
    pub const fn or(mut self, words: &'static str) -> Param {
        self.absent = Absent::Words(words);
        self
    }

    /// The number that it is when not given.
    pub const fn or_number(mut self, number: u64) -> Param {
        self.absent = Absent::Number(number);
        self
    }

    /// What it is when not given.
    pub const fn or_bool(mut self, value: bool) -> Param {
        self.absent = Absent::Bool(value);
        self
    }

    /// With a help text, for one that several methods have.
    pub const fn about(mut self, help: &'static [&'static str]) -> Param {
        self.help = help;
        self
    }
}

/// A string: what, in words.
pub const fn text(what: &'static str) -> Param {
    Param::new(Kind::Text(what))
}

/// A UUID.
pub const fn uuid() -> Param {
    Param::new(Kind::Uuid)
}

/// A core mask.
pub const fn cores() -> Param {
    Param::new(Kind::Cores)
}

/// Permissions.
pub const fn octal() -> Param {
    Param::new(Kind::Octal)
}

/// One of these strings.
pub const fn one_of(names: &'static [&'static str]) -> Param {
    Param::new(Kind::OneOf(names))
}

/// One of these numbers.
pub const fn one_of_numbers(numbers: &'static [u64]) -> Param {
    Param::new(Kind::OneOfNumbers(numbers))
}

/// A number without a unit.
pub const fn number(least: u64, most: u64) -> Param {
    quantity(least, most, "")
}

/// A number of something.
pub const fn quantity(least: u64, most: u64, unit: &'static str) -> Param {
    Param::new(Kind::Number { least, most, unit })
}

/// A size.
pub const fn mib(least: u64, most: u64) -> Param {
    quantity(least, most, MIB)
}

/// A size that is a power of two.
pub const fn power_of_two_mib(least: u64, most: u64) -> Param {
    Param::new(Kind::PowerOfTwoMib { least, most })
}

/// A share.
pub const fn percent(most: u64) -> Param {
    quantity(0, most, "percent")
}

/// Something that is done if it is `true`.
pub const fn flag() -> Param {
    Param::new(Kind::Flag).or_bool(false)
}

/// Something that is switched.
pub const fn switch() -> Param {
    Param::new(Kind::Switch)
}

/// A volume.
pub const VOLUME: Param =
    text("the name, UUID or alias of a dedupe bdev").about(&["Name, UUID or alias of the dedupe bdev."]);

/// A name that a volume gets.
pub const NEW_VOLUME: Param = text("a name for the new bdev, of 1 to 255 bytes,");

/// A pool.
pub const POOL: Param = text("the name or UUID of a media pool").about(&["Name or UUID of the pool."]);

/// A name that a pool gets.
pub const NEW_POOL: Param = text("a name of 1 to 255 characters for the pool");

/// A bdev.
pub const BDEV: Param = text("the name of a bdev with 512 or 4096-byte blocks");

/// Memory for an index.
pub const INDEX: Param = mib(1, 1 << 20);

/// Memory for the cache of a block map.
pub const BLOCK_MAP_CACHE: Param = mib(1, 1 << 20);

/// A size that clients see.
pub const LOGICAL: Param = mib(1, 1 << 32);

/// Room for data.
pub const PHYSICAL: Param = mib(8, 1 << 28);
