// SPDX-License-Identifier: BSD-3-Clause

//! Core masks in SPDK's notation: `0x3`, `3` or `[0,2-5]`.
//!
//! Parsed here and not by `spdk_cpuset_parse`, which accepts garbage after a list and does not say what is wrong.

use thiserror::Error;

/// Cores are numbered below this (SPDK_CPUSET_SIZE).
pub const MAX_CORES: u32 = 1024;

/// Why a mask is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MaskError {
    /// Neither a hexadecimal number nor a list.
    #[error("is neither a hexadecimal mask like \"0x3\" nor a list like \"[0,2-5]\"")]
    Syntax,
    #[error("names no core")]
    Empty,
    /// A core number that SPDK cannot have.
    #[error("names core {0}, but cores are numbered 0 to {max}", max = MAX_CORES - 1)]
    Core(u64),
}

/// The cores of a mask, ascending.
///
/// # Errors
/// The mask is malformed, empty or names a core of [`MAX_CORES`] or above.
pub fn parse(mask: &str) -> Result<Vec<u32>, MaskError> {
    let mask = mask.trim();
    let mut cores = match mask.strip_prefix('[') {
        Some(list) => parse_list(list.strip_suffix(']').ok_or(MaskError::Syntax)?)?,
        None => parse_hex(mask.strip_prefix("0x").or(mask.strip_prefix("0X")).unwrap_or(mask))?,
    };
    cores.sort_unstable();
    cores.dedup();
    if cores.is_empty() {
        return Err(MaskError::Empty);
    }
    Ok(cores)
}

fn parse_hex(digits: &str) -> Result<Vec<u32>, MaskError> {
    let mut cores = Vec::new();
    if digits.is_empty() {
        return Err(MaskError::Syntax);
    }
    for (place, digit) in digits.chars().rev().enumerate() {
        let nibble = digit.to_digit(16).ok_or(MaskError::Syntax)?;
        for bit in (0..4).filter(|bit| nibble >> bit & 1 == 1) {
            cores.push(in_range(place as u64 * 4 + bit)?);
        }
    }
    Ok(cores)
}

fn parse_list(list: &str) -> Result<Vec<u32>, MaskError> {
    let mut cores = Vec::new();
    for item in list.split(',').map(str::trim) {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| MaskError::Syntax).and_then(in_range);
        match item.split_once('-') {
            None => cores.push(number(item)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(MaskError::Syntax);
                }
                cores.extend(first..=last);
            }
        }
    }
    Ok(cores)
}

fn in_range(core: u64) -> Result<u32, MaskError> {
    u32::try_from(core).ok().filter(|core| *core < MAX_CORES).ok_or(MaskError::Core(core))
}

/// Cores as a list, the way SPDK prints reactors: `[0,2,3]`.
pub fn format(cores: &[u32]) -> String {
    let numbers: Vec<String> = cores.iter().map(u32::to_string).collect();
    format!("[{}]", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read() {
        assert_eq!(parse("0x1"), Ok(vec![0]));
        assert_eq!(parse("F0"), Ok(vec![4, 5, 6, 7]));
        assert_eq!(parse("0x10000000000000001"), Ok(vec![0, 64]));
        assert_eq!(parse("[3, 0,5-7]"), Ok(vec![0, 3, 5, 6, 7]));
        assert_eq!(parse("[1,1,0-2]"), Ok(vec![0, 1, 2]));
        assert_eq!(format(&[0, 3]), "[0,3]");
    }

    #[test]
    fn nonsense_is_refused() {
        for mask in ["", "0x", "x", "[", "[]", "[1", "1]", "[1-]", "[2-1]", "[a]", "0x1g", "-1"] {
            assert_eq!(parse(mask), Err(MaskError::Syntax), "{mask:?}");
        }
        assert_eq!(parse("0x0"), Err(MaskError::Empty));
        assert_eq!(parse("[1024]"), Err(MaskError::Core(1024)));
        assert_eq!(parse(&format!("1{}", "0".repeat(256))), Err(MaskError::Core(1024)));
    }
}
