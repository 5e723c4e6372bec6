// SPDX-License-Identifier: BSD-3-Clause

use super::*;
use crate::volume::create_params::{BlockSize, CreateParams, Place};
use crate::volume::load_params::{IndexAction, LoadParams};

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn number(value: &str) -> Value {
    Value::Number(value.to_owned())
}

fn create(more: &[(&str, Value)]) -> Result<CreateParams, ParamError> {
    let mut fields = vec![("base_bdev_name".to_owned(), text("Malloc0")), ("name".to_owned(), text("D0"))];
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    read(fields)
}

fn message(more: &[(&str, Value)]) -> String {
    create(more).expect_err("refused").to_string()
}

#[test]
fn two_names_are_enough() {
    let params = create(&[]).expect("valid");
    assert_eq!((&params.place, params.name.as_str()), (&Place::Base("Malloc0".to_owned()), "D0"));
    assert_eq!((params.uuid, params.cpumask, params.block_size), (None, None, BlockSize::Block));
    assert_eq!((params.reserve_percent, params.block_map_cache_mib, params.force), (1, 128, false));
    assert_eq!((params.compression, params.deduplication), (false, true));
    assert_eq!(
        (params.sizes.logical_size_mib, params.sizes.slab_size_mib, params.sizes.index_memory_mib),
        (None, None, None)
    );
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
        ("index_history_mib", number("0")),
        ("compression", Value::Bool(true)),
        ("deduplication", Value::Bool(false)),
        ("reserve_percent", number("7")),
    ])
    .expect("valid");
    assert_eq!((params.sizes.index_history_mib, params.compression, params.deduplication), (Some(0), true, false));
    assert_eq!(params.uuid.expect("given").to_string(), "f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
    assert_eq!((params.reserve_percent, params.cpumask.as_deref()), (7, Some("[0,2]")));
    assert_eq!(params.block_size, BlockSize::Sector);
    assert_eq!(params.sizes.logical_size_mib, Some(1 << 32));
    assert_eq!((params.sizes.slab_size_mib, params.sizes.index_memory_mib), (Some(32768), Some(1)));
}

params! {
    /// One of each sort that volumes have no struct for.
    struct Several {
        pub name: Option<String> = VOLUME,
        pub action: IndexAction = one_of(IndexAction::NAMES),
        pub max_entries: usize = super::number(0, 256).or_number(32),
        pub first_slab: Option<u64> = super::number(0, u64::MAX),
        pub enabled: bool = switch(),
    }
}

fn several(more: &[(&str, Value)]) -> Result<Several, ParamError> {
    let given = [("action", text("close")), ("enabled", Value::Bool(true))];
    let kept = given.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    read(kept.chain(more).map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn null_means_not_given() {
    assert_eq!(create(&[("uuid", Value::Null)]).expect("valid").uuid, None);
    assert_eq!(several(&[("name", Value::Null)]).expect("valid").name, None);
    for name in ["action", "enabled"] {
        let error = several(&[(name, Value::Null)]).expect_err("needed");
        assert!(matches!(error, ParamError::Missing { name: missing, .. } if missing == name), "{error}");
    }
}

#[test]
fn a_number_has_a_range_and_a_default() {
    let default = several(&[]).expect("valid");
    assert_eq!((default.max_entries, default.first_slab), (32, None));
    let most =
        several(&[("max_entries", number("256")), ("first_slab", number("18446744073709551615"))]).expect("valid");
    assert_eq!((most.max_entries, most.first_slab), (256, Some(u64::MAX)));
    let error = several(&[("max_entries", number("257"))]).expect_err("too many").to_string();
    assert_eq!(error, "parameter 'max_entries' is 257: a whole number from 0 to 256 is allowed");
    let error = several(&[("first_slab", number("-1"))]).expect_err("negative").to_string();
    assert_eq!(error, "parameter 'first_slab' is -1: a whole number is allowed");
}

#[test]
fn an_action_is_called_by_its_name() {
    let actions = [IndexAction::Create, IndexAction::Close, IndexAction::Disable, IndexAction::Enable];
    for (name, action) in IndexAction::NAMES.iter().zip(actions) {
        assert_eq!(several(&[("action", text(name))]).expect("valid").action, action);
    }
    let error = several(&[("action", text("drop"))]).expect_err("unknown").to_string();
    assert_eq!(error, "parameter 'action' is \"drop\": create, close, disable and enable are allowed");
    let error = several(&[("enabled", number("1"))]).expect_err("no switch").to_string();
    assert_eq!(error, "parameter 'enabled' is 1: true and false are allowed");
}

#[test]
fn what_is_no_object_is_told_the_members() {
    let members = |params: fn(&mut Vec<Param>)| {
        let mut all = Vec::new();
        params(&mut all);
        Reader::new(None, &all).expect_err("no object").to_string()
    };
    assert_eq!(
        members(LoadParams::list),
        "parameters must be an object with the members name and optionally pool_name, cpumask"
    );
    assert_eq!(members(|_| ()), "parameters must be an object with the members none");
    let error = Reader::new(Some(vec![("x".to_owned(), Value::Null)]), &[]).expect_err("unknown").to_string();
    assert_eq!(error, "unknown parameter 'x': the method takes none");
}

#[test]
fn each_refusal_names_the_parameter_and_what_is_allowed() {
    let cases: [(&str, Value, &str); 17] = [
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
        ("reserve_percent", number("51"), "parameter 'reserve_percent' is 51: a whole number of percent from 0 to 50"),
        ("size", number("3"), "unknown parameter 'size': the method takes name, base_bdev_name, pool_name, uuid"),
    ];
    for (name, value, expected) in cases {
        let message = message(&[(name, value)]);
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(message(&[("name", text("D1"))]), "parameter 'name' is given more than once");
    let message = read::<LoadParams>(vec![("name".to_owned(), text(""))]).expect_err("empty").to_string();
    assert_eq!(message, "parameter 'name' is \"\": the name, UUID or alias of a dedupe bdev is needed");
    let message = read::<CreateParams>(Vec::new()).expect_err("empty").to_string();
    assert_eq!(message, "parameter 'name' is missing: a name for the new bdev, of 1 to 255 bytes, is needed");
}

#[test]
fn a_volume_is_in_one_place() {
    let name = ("name".to_owned(), text("D0"));
    let message = read::<CreateParams>(vec![name.clone()]).expect_err("nowhere").to_string();
    assert!(message.contains("'base_bdev_name'") && message.contains("'pool_name'"), "{message}");
    let params: CreateParams = read(vec![name, ("pool_name".to_owned(), text("p0"))]).expect("valid");
    assert_eq!(params.place, Place::Pool("p0".to_owned()));
    assert_eq!(create(&[("pool_name", text("p0"))]), Err(ParamError::OnePlace));
}

#[test]
fn a_load_names_pool_and_cores() {
    let load = |mask: &str| {
        let given = [("name", text("D0")), ("pool_name", text("p0")), ("cpumask", text(mask))];
        read::<LoadParams>(given.map(|(name, value)| (name.to_owned(), value)).to_vec())
    };
    let params = load("0x2").expect("valid");
    assert_eq!((params.pool_name.as_deref(), params.cpumask.as_deref()), (Some("p0"), Some("0x2")));
    assert!(matches!(load("0x0"), Err(ParamError::Mask(_))));
}
