// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of the `mpool_*` methods and their validation, without SPDK and without pools.
//!
//! Each refusal names the parameter, what was given and what is allowed. What only the pool can judge (a name that
//! is taken, a zone size that does not suit the device) is refused by the pool.

use std::collections::BTreeMap;

use engine::pool::tunables::KeptTunable;
use uuid::Uuid;

use crate::params::{Fields, ParamError, Reader};

/// Settings of a pool that are kept on its media; none: as it is, or the default of a new pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// User that the pool's objects belong to.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permissions.
    pub mode: Option<u32>,
    /// Label.
    pub label: Option<String>,
    /// What the pool is used for, as its user says.
    pub user_type: Option<Uuid>,
    /// Largest number of pages of one readahead request.
    pub readahead_pages: Option<u32>,
    /// Spare zones of the CAPACITY class in percent.
    pub spare_percent_capacity: Option<u8>,
    /// Spare zones of the STAGING class in percent.
    pub spare_percent_staging: Option<u8>,
    /// Tunables. Their ranges are the engine's.
    pub tunables: BTreeMap<KeptTunable, u64>,
}

/// The bdevs of a pool that is not active. None: they are looked for on all bdevs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bdevs {
    /// The one of the CAPACITY class.
    pub capacity: Option<String>,
    /// The one of the STAGING class.
    pub staging: Option<String>,
}

/// Parameters of `mpool_create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateParams {
    /// Name of the new pool.
    pub name: String,
    /// Its CAPACITY drive.
    pub capacity_bdev: String,
    /// Its STAGING drive.
    pub staging_bdev: Option<String>,
    /// Zones of both drives, in MiB.
    pub zone_size_mib: Option<u32>,
    /// Metadata containers for clients' objects.
    pub mdc_count: Option<u32>,
    /// Capacity of each log of MDC0.
    pub mdc0_capacity_mib: Option<u32>,
    /// Capacity of each log of the other metadata containers.
    pub mdcn_capacity_mib: Option<u32>,
    /// A pool of this name on these bdevs is all that is asked for.
    pub unless_exists: bool,
    /// Overwrite what is on the bdevs.
    pub force: bool,
    /// What is kept on media.
    pub settings: Settings,
}

/// Parameters of `mpool_activate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivateParams {
    /// Name of the pool.
    pub name: String,
    /// Where it is.
    pub bdevs: Bdevs,
    /// Accept a missing drive, and a device that is not quite what the superblock says.
    pub force: bool,
    /// Rewrite metadata that is of an older version.
    pub permit_meta_conv: bool,
    /// Take in what a device has grown by.
    pub resize: bool,
    /// What replaces what is kept on media.
    pub settings: Settings,
}

/// Parameters of `mpool_destroy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestroyParams {
    /// Name of the pool.
    pub name: String,
    /// Where it is, unless it is active.
    pub bdevs: Bdevs,
    /// Accept superblocks that are not quite right.
    pub force: bool,
}

/// Parameters of `mpool_rename`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameParams {
    /// Name of the pool.
    pub name: String,
    /// Its name from now on.
    pub new_name: String,
    /// Where it is.
    pub bdevs: Bdevs,
}

/// Parameters of `mpool_drive_add`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveAddParams {
    /// Name of the pool.
    pub name: String,
    /// The new STAGING drive.
    pub staging_bdev: String,
    /// Its zones in MiB.
    pub zone_size_mib: Option<u32>,
    /// Take the bdev whatever is on it.
    pub force: bool,
}

/// Parameters of `mpool_import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportParams {
    /// The bdev with the CAPACITY drive of the copy.
    pub capacity_bdev: String,
    /// The bdev with its STAGING drive.
    pub staging_bdev: Option<String>,
    /// Its name from now on; as before when not given.
    pub new_name: Option<String>,
    /// Accept superblocks of which not enough is left, and a smaller bdev.
    pub force: bool,
}

/// Parameters of `mpool_set_params`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetParams {
    /// Name of the pool.
    pub name: String,
    /// What is to change.
    pub settings: Settings,
}

const POOL: &str = "the name of a media pool is needed";
const NEW_POOL: &str = "a name of 1 to 255 characters for the pool is needed";
const OPTIONAL_NAME: &str = "a name of 1 to 255 characters is allowed";
const BDEV: &str = "the name of a bdev with 512 or 4096-byte blocks is needed";
const OPTIONAL_BDEV: &str = "the name of a bdev is allowed";
const ZONE: &str = "a power of two from 1 to 64 is allowed";
const MDCS: &str = "a number from 1 to 255 is allowed";
const MDC_MIB: &str = "a number of MiB from 1 to 65536 is allowed";
const ID: &str = "a number from 0 to 4294967294 is allowed";
const MODE: &str = "a string of octal digits from \"0\" to \"777\" is allowed";
const LABEL: &str = "a string of 1 to 63 characters is allowed";
const TYPE: &str = "a UUID like \"f81d4fae-7dec-41d0-a765-00a0c91e6bf6\" is allowed, other than all zeros";
const READAHEAD: &str = "a number of pages from 0 to 32 is allowed";
const TUNABLE: &str = "a whole number is allowed";
const PERCENT: &str = "a number from 0 to 100 is allowed";

const CREATE: &[&str] = &[
    "name",
    "capacity_bdev",
    "staging_bdev",
    "zone_size_mib",
    "mdc_count",
    "mdc0_capacity_mib",
    "mdcn_capacity_mib",
    "unless_exists",
    "force",
];

const ACTIVATE: &[&str] = &["name", "capacity_bdev", "staging_bdev", "force", "permit_meta_conv", "resize"];

/// Settings besides the tunables.
const SETTINGS: &[&str] =
    &["uid", "gid", "mode", "label", "type", "readahead_pages", "spare_percent_capacity", "spare_percent_staging"];

/// A reader for a method that has these parameters and all settings.
fn with_settings(fields: Fields, names: &[&'static str]) -> Result<Reader, ParamError> {
    let tunables = KeptTunable::all().map(KeptTunable::name);
    Reader::of(fields, names.iter().chain(SETTINGS).copied().chain(tunables).collect())
}

impl Settings {
    fn parse(reader: &mut Reader) -> Result<Settings, ParamError> {
        let uid = reader.optional_number("uid", ID, |id| id < u64::from(u32::MAX))?;
        let gid = reader.optional_number("gid", ID, |id| id < u64::from(u32::MAX))?;
        let readahead = reader.optional_number("readahead_pages", READAHEAD, |pages| pages <= 32)?;
        let percent = |reader: &mut Reader, name| reader.optional_number(name, PERCENT, |percent| percent <= 100);
        Ok(Settings {
            uid: uid.map(|id| id as u32),
            gid: gid.map(|id| id as u32),
            mode: reader.optional_string("mode", MODE)?.map(|text| parse_mode(&text)).transpose()?,
            label: reader.optional_string("label", LABEL)?,
            user_type: reader.optional_string("type", TYPE)?.map(|text| parse_type(&text)).transpose()?,
            readahead_pages: readahead.map(|pages| pages as u32),
            spare_percent_capacity: percent(reader, "spare_percent_capacity")?.map(|percent| percent as u8),
            spare_percent_staging: percent(reader, "spare_percent_staging")?.map(|percent| percent as u8),
            tunables: parse_tunables(reader)?,
        })
    }
}

fn parse_tunables(reader: &mut Reader) -> Result<BTreeMap<KeptTunable, u64>, ParamError> {
    let mut tunables = BTreeMap::new();
    for tunable in KeptTunable::all() {
        if let Some(value) = reader.optional_number(tunable.name(), TUNABLE, |_| true)? {
            tunables.insert(tunable, value);
        }
    }
    Ok(tunables)
}

fn parse_mode(text: &str) -> Result<u32, ParamError> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
    mode.ok_or_else(|| ParamError::Bad { name: "mode", given: format!("\"{text}\""), allowed: MODE })
}

fn parse_type(text: &str) -> Result<Uuid, ParamError> {
    let uuid = Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil());
    uuid.ok_or_else(|| ParamError::Bad { name: "type", given: format!("\"{text}\""), allowed: TYPE })
}

fn zone_size(reader: &mut Reader) -> Result<Option<u32>, ParamError> {
    let is_allowed = |mib: u64| mib.is_power_of_two() && (1..=64).contains(&mib);
    Ok(reader.optional_number("zone_size_mib", ZONE, is_allowed)?.map(|mib| mib as u32))
}

fn mdc_capacity(reader: &mut Reader, name: &'static str) -> Result<Option<u32>, ParamError> {
    Ok(reader.optional_number(name, MDC_MIB, |mib| (1..=65536).contains(&mib))?.map(|mib| mib as u32))
}

impl Bdevs {
    fn parse(reader: &mut Reader) -> Result<Bdevs, ParamError> {
        Ok(Bdevs {
            capacity: reader.optional_string("capacity_bdev", OPTIONAL_BDEV)?,
            staging: reader.optional_string("staging_bdev", OPTIONAL_BDEV)?,
        })
    }
}

impl CreateParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// The first parameter that is unknown, missing or not allowed; so for all of these types.
    pub fn parse(fields: Fields) -> Result<CreateParams, ParamError> {
        let mut reader = with_settings(fields, CREATE)?;
        Ok(CreateParams {
            name: reader.string("name", NEW_POOL)?,
            capacity_bdev: reader.string("capacity_bdev", BDEV)?,
            staging_bdev: reader.optional_string("staging_bdev", OPTIONAL_BDEV)?,
            zone_size_mib: zone_size(&mut reader)?,
            mdc_count: reader.optional_number("mdc_count", MDCS, |n| (1..=255).contains(&n))?.map(|n| n as u32),
            mdc0_capacity_mib: mdc_capacity(&mut reader, "mdc0_capacity_mib")?,
            mdcn_capacity_mib: mdc_capacity(&mut reader, "mdcn_capacity_mib")?,
            unless_exists: reader.flag("unless_exists")?,
            force: reader.flag("force")?,
            settings: Settings::parse(&mut reader)?,
        })
    }
}

impl ActivateParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<ActivateParams, ParamError> {
        let mut reader = with_settings(fields, ACTIVATE)?;
        Ok(ActivateParams {
            name: reader.string("name", POOL)?,
            bdevs: Bdevs::parse(&mut reader)?,
            force: reader.flag("force")?,
            permit_meta_conv: reader.flag("permit_meta_conv")?,
            resize: reader.flag("resize")?,
            settings: Settings::parse(&mut reader)?,
        })
    }
}

impl DestroyParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<DestroyParams, ParamError> {
        let mut reader = Reader::new(fields, &["name", "capacity_bdev", "staging_bdev", "force"])?;
        let name = reader.string("name", POOL)?;
        Ok(DestroyParams { name, bdevs: Bdevs::parse(&mut reader)?, force: reader.flag("force")? })
    }
}

impl RenameParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<RenameParams, ParamError> {
        let mut reader = Reader::new(fields, &["name", "new_name", "capacity_bdev", "staging_bdev"])?;
        let name = reader.string("name", POOL)?;
        let new_name = reader.string("new_name", NEW_POOL)?;
        Ok(RenameParams { name, new_name, bdevs: Bdevs::parse(&mut reader)? })
    }
}

impl DriveAddParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<DriveAddParams, ParamError> {
        let mut reader = Reader::new(fields, &["name", "staging_bdev", "zone_size_mib", "force"])?;
        let name = reader.string("name", POOL)?;
        let staging_bdev = reader.string("staging_bdev", BDEV)?;
        let zone_size_mib = zone_size(&mut reader)?;
        Ok(DriveAddParams { name, staging_bdev, zone_size_mib, force: reader.flag("force")? })
    }
}

impl ImportParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<ImportParams, ParamError> {
        let mut reader = Reader::new(fields, &["capacity_bdev", "staging_bdev", "new_name", "force"])?;
        Ok(ImportParams {
            capacity_bdev: reader.string("capacity_bdev", BDEV)?,
            staging_bdev: reader.optional_string("staging_bdev", OPTIONAL_BDEV)?,
            new_name: reader.optional_string("new_name", OPTIONAL_NAME)?,
            force: reader.flag("force")?,
        })
    }
}

impl SetParams {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// See [`CreateParams::parse`].
    pub fn parse(fields: Fields) -> Result<SetParams, ParamError> {
        let mut reader = with_settings(fields, &["name"])?;
        Ok(SetParams { name: reader.string("name", POOL)?, settings: Settings::parse(&mut reader)? })
    }
}

/// The parameter of methods that take the name of a pool and nothing else.
///
/// # Errors
/// See [`CreateParams::parse`].
pub fn parse_name(fields: Fields) -> Result<String, ParamError> {
    Reader::new(fields, &["name"])?.string("name", POOL)
}

/// The parameter of methods that take the name of a pool, or none for all pools.
///
/// # Errors
/// See [`CreateParams::parse`].
pub fn parse_optional_name(fields: Fields) -> Result<Option<String>, ParamError> {
    Reader::new(fields, &["name"])?.optional_string("name", POOL)
}

/// Refuses every parameter.
///
/// # Errors
/// There is one.
pub fn parse_nothing(fields: Fields) -> Result<(), ParamError> {
    match fields.into_iter().next() {
        None => Ok(()),
        Some((name, _)) => Err(ParamError::Unknown { name, allowed: "none".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Value;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn number(value: &str) -> Value {
        Value::Number(value.to_owned())
    }

    fn fields(given: &[(&str, Value)]) -> Fields {
        given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn create(more: &[(&str, Value)]) -> Result<CreateParams, ParamError> {
        let mut given = vec![("name", text("p0")), ("capacity_bdev", text("Malloc0"))];
        given.extend(more.iter().cloned());
        CreateParams::parse(fields(&given))
    }

    #[test]
    fn a_name_and_a_bdev_are_enough() {
        let params = create(&[]).expect("valid");
        assert_eq!((params.name.as_str(), params.capacity_bdev.as_str()), ("p0", "Malloc0"));
        assert_eq!((params.staging_bdev, params.zone_size_mib, params.force), (None, None, false));
        assert_eq!(params.settings, Settings::default());
    }

    #[test]
    fn every_setting_is_read() {
        let params = create(&[
            ("staging_bdev", text("Malloc1")),
            ("zone_size_mib", number("64")),
            ("mdc_count", number("255")),
            ("mdc0_capacity_mib", number("1")),
            ("mdcn_capacity_mib", number("65536")),
            ("force", Value::Bool(true)),
            ("uid", number("0")),
            ("gid", number("4294967294")),
            ("mode", text("0640")),
            ("label", text("hot")),
            ("type", text("f81d4fae-7dec-41d0-a765-00a0c91e6bf6")),
            ("readahead_pages", number("0")),
            ("spare_percent_capacity", number("100")),
            ("spare_percent_staging", number("7")),
            ("mdc_set", number("3")),
            ("reap_ttl_us", number("18446744073709551615")),
        ])
        .expect("valid");
        assert_eq!((params.staging_bdev.as_deref(), params.zone_size_mib), (Some("Malloc1"), Some(64)));
        assert_eq!((params.mdc_count, params.mdc0_capacity_mib), (Some(255), Some(1)));
        assert_eq!((params.mdcn_capacity_mib, params.force), (Some(65536), true));
        let settings = params.settings;
        assert_eq!((settings.uid, settings.gid, settings.mode), (Some(0), Some(4_294_967_294), Some(0o640)));
        assert_eq!((settings.label.as_deref(), settings.readahead_pages), (Some("hot"), Some(0)));
        assert_eq!((settings.spare_percent_capacity, settings.spare_percent_staging), (Some(100), Some(7)));
        assert!(settings.user_type.is_some());
    }

    #[test]
    fn each_refusal_names_the_parameter_and_what_is_allowed() {
        let cases: [(&str, Value, &str); 15] = [
            ("zone_size_mib", number("3"), "parameter 'zone_size_mib' is 3: a power of two from 1 to 64 is allowed"),
            ("zone_size_mib", number("0"), "parameter 'zone_size_mib' is 0"),
            ("zone_size_mib", number("128"), "parameter 'zone_size_mib' is 128"),
            ("mdc_count", number("256"), "parameter 'mdc_count' is 256: a number from 1 to 255 is allowed"),
            ("mdc_count", number("0"), "parameter 'mdc_count' is 0"),
            ("mdc0_capacity_mib", number("0"), "parameter 'mdc0_capacity_mib' is 0"),
            ("force", number("1"), "parameter 'force' is 1: true and false are allowed"),
            ("uid", number("4294967295"), "parameter 'uid' is 4294967295"),
            ("mode", text("888"), "parameter 'mode' is \"888\": a string of octal digits"),
            ("mode", text("1000"), "parameter 'mode' is \"1000\""),
            ("mode", number("660"), "parameter 'mode' is 660: a string of octal digits"),
            ("type", text("x"), "parameter 'type' is \"x\": a UUID like"),
            ("readahead_pages", number("33"), "parameter 'readahead_pages' is 33: a number of pages from 0 to 32"),
            (
                "spare_percent_staging",
                number("101"),
                "parameter 'spare_percent_staging' is 101: a number from 0 to 100",
            ),
            ("resize", Value::Bool(true), "unknown parameter 'resize': the method takes name, capacity_bdev"),
        ];
        for (name, value, expected) in cases {
            let message = create(&[(name, value)]).expect_err("refused").to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let message = CreateParams::parse(fields(&[("name", text("p0"))])).expect_err("no bdev").to_string();
        assert!(message.starts_with("parameter 'capacity_bdev' is missing: the name of a bdev"), "{message}");
    }

    #[test]
    fn the_other_methods_read_theirs() {
        let name = ("name", text("p0"));
        let flags = [("force", Value::Bool(true)), ("permit_meta_conv", Value::Bool(true)), ("resize", Value::Null)];
        let activate = ActivateParams::parse(fields(&[&[name.clone()][..], &flags].concat())).expect("valid");
        assert_eq!((activate.force, activate.permit_meta_conv, activate.resize), (true, true, false));
        assert_eq!(activate.bdevs, Bdevs::default());
        let given = [name.clone(), ("new_name", text("p1")), ("staging_bdev", text("S"))];
        let rename = RenameParams::parse(fields(&given)).expect("valid");
        assert_eq!((rename.new_name.as_str(), rename.bdevs.staging.as_deref()), ("p1", Some("S")));
        let destroy = DestroyParams::parse(fields(&[name.clone(), ("capacity_bdev", text("C"))])).expect("valid");
        assert_eq!((destroy.bdevs.capacity.as_deref(), destroy.force), (Some("C"), false));
        let add = DriveAddParams::parse(fields(&[name.clone(), ("staging_bdev", text("S"))])).expect("valid");
        assert_eq!((add.staging_bdev.as_str(), add.zone_size_mib), ("S", None));
        let set = SetParams::parse(fields(&[name.clone(), ("label", text("l"))])).expect("valid");
        assert_eq!(set.settings.label.as_deref(), Some("l"));
        assert_eq!(parse_name(fields(&[name])).as_deref(), Ok("p0"));
        assert_eq!(parse_nothing(Vec::new()), Ok(()));
        let message = parse_nothing(fields(&[("x", Value::Null)])).expect_err("unknown").to_string();
        assert_eq!(message, "unknown parameter 'x': the method takes none");
    }
}
