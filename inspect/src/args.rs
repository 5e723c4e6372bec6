// SPDX-License-Identifier: BSD-3-Clause

//! The command line.

use clap::Parser;
use mpool::ObjectId;

/// Looks into the devices of a media pool. Never writes; survives any content.
///
/// Exit status: 0, nothing is wrong; 1, something is, and is listed first; 2, a wrong option, or an image cannot be
/// opened.
#[derive(Debug, Parser)]
#[command(name = "mpool-inspect", version)]
pub struct Args {
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,

    /// Dump this log block by block: an object id, as 0x2200 or in decimal.
    #[arg(long, value_name = "ID", value_parser = object_id)]
    pub log: Option<ObjectId>,

    /// Read all logs to their ends and check everything that can be; print only what is wrong.
    #[arg(long)]
    pub verify: bool,

    /// Dump the bytes of each block too.
    #[arg(long, requires = "log")]
    pub raw: bool,

    /// The drives of the pool, files or block devices, in any order.
    #[arg(required = true, num_args = 1..=2, value_name = "FILE|DEVICE")]
    pub images: Vec<String>,
}

fn object_id(text: &str) -> Result<ObjectId, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map(ObjectId).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn ids_are_hexadecimal_or_decimal() {
        assert_eq!(object_id("0x2200"), Ok(ObjectId(0x2200)));
        assert_eq!(object_id("8704"), Ok(ObjectId(0x2200)));
        assert!(object_id("2200h").is_err() && object_id("").is_err() && object_id("0x1ffffffffffffffff").is_err());
    }

    #[test]
    fn one_or_two_images_are_taken() {
        let args = parse("mpool-inspect --log 0x2200 --raw --json a b").expect("all of them");
        assert_eq!((args.images.len(), args.log, args.raw, args.json), (2, Some(ObjectId(0x2200)), true, true));
        assert!(parse("mpool-inspect").is_err() && parse("mpool-inspect a b c").is_err());
        assert!(parse("mpool-inspect --raw a").is_err(), "there is no log to be dumped");
    }
}
