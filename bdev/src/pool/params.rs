// SPDX-License-Identifier: BSD-3-Clause

//! Parameters of the `mpool_*` methods.
//!
//! What only the pool can judge (a name that is taken, a zone size that does not suit the device) is refused by the pool.

use std::collections::BTreeMap;

use mpool::tunables::{KeptTunable, Tunables as Values, READAHEAD_PAGES_MAX};
use uuid::Uuid;

use crate::params::{
    flag, mib, number, octal, params, percent, power_of_two_mib, quantity, text, uuid, Field, Param, ParamError,
    Params, Reader, BDEV, NEW_POOL, POOL,
};

/// Values of tunables that are given. Names, ranges, defaults and help texts are the engine's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tunables(pub BTreeMap<KeptTunable, u64>);

impl Tunables {
    fn param(tunable: KeptTunable) -> Param {
        let (least, most) = tunable.range().into_inner();
        let param = number(least, most).called(tunable.name()).or_number(Values::default().get(tunable));
        param.of::<Option<u64>>("", tunable.help())
    }
}

impl Params for Tunables {
    fn list(all: &mut Vec<Param>) {
        all.extend(KeptTunable::all().map(Tunables::param));
    }

    fn read(reader: &mut Reader) -> Result<Tunables, ParamError> {
        let mut values = BTreeMap::new();
        for tunable in KeptTunable::all() {
            if let Some(value) = Field::read(reader, &Tunables::param(tunable))? {
                values.insert(tunable, value);
            }
        }
        Ok(Tunables(values))
    }
}

const ID: Param = number(0, u32::MAX as u64 - 1);

params! {
    /// Settings of a pool that are kept on its media; none: as it is, or the default of a new pool.
    #[derive(Default)]
    pub struct Settings group "settings" {
        /// User that the pool's objects belong to; recorded only.
        pub uid: Option<u32> = ID,
        /// Group that the pool's objects belong to; recorded only.
        pub gid: Option<u32> = ID,
        /// Permissions in octal, e.g. `0660`; recorded only.
        pub mode: Option<u32> = octal(),
        /// Label: at most 63 characters out of A-Z a-z 0-9 _ . -; others become _.
        pub label: Option<String> = text("a string of 1 to 63 characters").or("raw"),
        /// UUID that says what the pool is used for.
        pub user_type: Option<Uuid> = uuid().called("type"),
        /// Largest readahead of cache maps; 0 for none.
        pub readahead_pages: Option<u32> = quantity(0, READAHEAD_PAGES_MAX as u64, "pages").or_number(READAHEAD_PAGES_MAX as u64),
        /// Zones of the CAPACITY class that are kept as spare.
        pub spare_percent_capacity: Option<u8> = percent(100).or_number(5),
        /// Zones of the STAGING class that are kept as spare.
        pub spare_percent_staging: Option<u8> = percent(100).or_number(5),
        pub tunables: Tunables,
    }
}

const SEARCHED: &str = "looked for on all bdevs";

params! {
    /// The bdevs of a pool that is not active. None: they are looked for on all bdevs.
    #[derive(Default)]
    pub struct Bdevs {
        /// Bdev with the pool's CAPACITY drive.
        pub capacity_bdev: Option<String> = BDEV.letter('c').or(SEARCHED),
        /// Bdev with the pool's STAGING drive.
        pub staging_bdev: Option<String> = BDEV.letter('s').or(SEARCHED),
    }
}

/// Zones of a new drive.
const ZONE: Param = power_of_two_mib(1, 64).letter('z').or("32, less on bdevs below 8 GiB");

/// Capacity of a metadata container.
const CONTAINER: Param = mib(1, 1 << 16).or("by the zone size");

params! {
    /// Parameters of `mpool_create`.
    pub struct CreateParams {
        /// Name of the pool: 1 to 255 characters out of A-Z a-z 0-9 _ . -; others become _.
        pub name: String = NEW_POOL,
        /// Bdev for the CAPACITY class: 512 or 4096-byte blocks without metadata; it is claimed.
        pub capacity_bdev: String = BDEV.letter('c'),
        /// Bdev for the STAGING class, which can also be added later.
        pub staging_bdev: Option<String> = BDEV.letter('s'),
        /// Unit of space management.
        pub zone_size_mib: Option<u32> = ZONE,
        /// Metadata containers for objects.
        pub mdc_count: Option<u32> = number(1, 255).or_number(16),
        /// Capacity of each log of MDC0.
        pub mdc0_capacity_mib: Option<u32> = CONTAINER,
        /// Capacity of each log of the other metadata containers.
        pub mdcn_capacity_mib: Option<u32> = CONTAINER,
        /// A pool of this name on these bdevs is all that is asked for.
        pub unless_exists: bool = flag(),
        /// Overwrite what is on the bdevs: a pool, a file system, a partition table.
        pub force: bool = flag().letter('f'),
        pub settings: Settings,
    }
}

params! {
    /// Parameters of `mpool_activate`.
    pub struct ActivateParams {
        pub name: String = POOL,
        pub bdevs: Bdevs,
        /// Activate without a drive that is missing, or on a bdev that differs from what is recorded.
        pub force: bool = flag().letter('f'),
        /// Rewrite metadata of an older version.
        pub permit_meta_conv: bool = flag().letter('m'),
        /// Use what a bdev has grown by; needs `permit_meta_conv`, too.
        pub resize: bool = flag().letter('r'),
        pub settings: Settings,
    }
}

params! {
    /// Parameters of `mpool_destroy`.
    pub struct DestroyParams {
        pub name: String = POOL,
        pub bdevs: Bdevs,
        /// Even if a bdev differs from what is recorded.
        pub force: bool = flag().letter('f'),
    }
}

params! {
    /// Parameters of `mpool_rename`.
    pub struct RenameParams {
        pub name: String = POOL,
        /// Its name from now on.
        pub new_name: String = NEW_POOL,
        pub bdevs: Bdevs,
    }
}

params! {
    /// Parameters of `mpool_drive_add`.
    pub struct DriveAddParams {
        pub name: String = POOL,
        /// Bdev for the STAGING class; it is claimed.
        pub staging_bdev: String = BDEV.letter('s'),
        /// Unit of its space management.
        pub zone_size_mib: Option<u32> = ZONE,
        /// Overwrite what is on the bdev.
        pub force: bool = flag().letter('f'),
    }
}

params! {
    /// Parameters of `mpool_import`.
    pub struct ImportParams {
        /// Bdev with the copy of the CAPACITY drive.
        pub capacity_bdev: String = BDEV.letter('c'),
        /// Bdev with the copy of the STAGING drive, if the pool has one.
        pub staging_bdev: Option<String> = BDEV.letter('s'),
        /// Its name from now on.
        pub new_name: Option<String> = NEW_POOL.letter('n').or("as before"),
        /// Even if not enough copies of its superblock are left to know that it is the newest.
        pub force: bool = flag().letter('f'),
    }
}

params! {
    /// Parameters of `mpool_set_params`.
    pub struct SetParams {
        pub name: String = POOL,
        pub settings: Settings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::read;
    use crate::spdk::json::{Fields, Value};

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
        read(fields(&given))
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
        let cases: [(&str, Value, &str); 16] = [
            (
                "zone_size_mib",
                number("3"),
                "parameter 'zone_size_mib' is 3: a power of two from 1 to 64 MiB is allowed",
            ),
            ("zone_size_mib", number("0"), "parameter 'zone_size_mib' is 0"),
            ("zone_size_mib", number("128"), "parameter 'zone_size_mib' is 128"),
            ("mdc_count", number("256"), "parameter 'mdc_count' is 256: a whole number from 1 to 255 is allowed"),
            ("mdc_count", number("0"), "parameter 'mdc_count' is 0"),
            ("mdc0_capacity_mib", number("0"), "parameter 'mdc0_capacity_mib' is 0"),
            ("force", number("1"), "parameter 'force' is 1: true and false are allowed"),
            ("uid", number("4294967295"), "parameter 'uid' is 4294967295"),
            ("mode", text("888"), "parameter 'mode' is \"888\": a string of octal digits"),
            ("mode", text("1000"), "parameter 'mode' is \"1000\""),
            ("mode", number("660"), "parameter 'mode' is 660: a string of octal digits"),
            ("type", text("x"), "parameter 'type' is \"x\": a UUID like"),
            (
                "readahead_pages",
                number("33"),
                "parameter 'readahead_pages' is 33: a whole number of pages from 0 to 32",
            ),
            (
                "spare_percent_staging",
                number("101"),
                "parameter 'spare_percent_staging' is 101: a whole number of percent from 0 to 100",
            ),
            ("chunk_kib", number("64"), "parameter 'chunk_kib' is 64: a whole number from 128 to 1024 is allowed"),
            ("resize", Value::Bool(true), "unknown parameter 'resize': the method takes name, capacity_bdev"),
        ];
        for (name, value, expected) in cases {
            let message = create(&[(name, value)]).expect_err("refused").to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let message = read::<CreateParams>(fields(&[("name", text("p0"))])).expect_err("no bdev").to_string();
        assert!(message.starts_with("parameter 'capacity_bdev' is missing: the name of a bdev"), "{message}");
    }

    #[test]
    fn the_other_methods_read_theirs() {
        let name = ("name", text("p0"));
        let flags = [("force", Value::Bool(true)), ("permit_meta_conv", Value::Bool(true)), ("resize", Value::Null)];
        let activate = read::<ActivateParams>(fields(&[&[name.clone()][..], &flags].concat())).expect("valid");
        assert_eq!((activate.force, activate.permit_meta_conv, activate.resize), (true, true, false));
        assert_eq!(activate.bdevs, Bdevs::default());
        let given = [name.clone(), ("new_name", text("p1")), ("staging_bdev", text("S"))];
        let rename = read::<RenameParams>(fields(&given)).expect("valid");
        assert_eq!((rename.new_name.as_str(), rename.bdevs.staging_bdev.as_deref()), ("p1", Some("S")));
        let destroy = read::<DestroyParams>(fields(&[name.clone(), ("capacity_bdev", text("C"))])).expect("valid");
        assert_eq!((destroy.bdevs.capacity_bdev.as_deref(), destroy.force), (Some("C"), false));
        let add = read::<DriveAddParams>(fields(&[name.clone(), ("staging_bdev", text("S"))])).expect("valid");
        assert_eq!((add.staging_bdev.as_str(), add.zone_size_mib), ("S", None));
        let set = read::<SetParams>(fields(&[name.clone(), ("label", text("l"))])).expect("valid");
        assert_eq!(set.settings.label.as_deref(), Some("l"));
    }
}
