// SPDX-License-Identifier: BSD-3-Clause

use super::create::BlockSize;
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
        ("index_history_mib", number("0")),
        ("compression", Value::Bool(true)),
        ("deduplication", Value::Bool(false)),
        ("reserve_percent", number("7")),
    ])
    .expect("valid");
    assert_eq!(
        (params.index_history_mib, params.compression, params.deduplication),
        (Some(0), Some(true), Some(false))
    );
    assert_eq!(params.uuid.expect("given").to_string(), "f81d4fae-7dec-41d0-a765-00a0c91e6bf6");
    assert_eq!((params.reserve_percent(), create(&[]).expect("valid").reserve_percent()), (7, 1));
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
    assert!(matches!(parse_name(fields), Err(ParamError::Missing { name: "name", .. })));
}

#[test]
fn a_dump_is_bounded() {
    let dump = |given: &[(&str, Value)]| {
        let name = [("name".to_owned(), text("D0"))];
        DumpParams::parse(name.into_iter().chain(given.iter().map(|(n, v)| ((*n).to_owned(), v.clone()))).collect())
    };
    let default = dump(&[]).expect("valid");
    assert_eq!((default.max_entries, default.first_slab), (32, None));
    let most = dump(&[("max_entries", number("256")), ("first_slab", number("7"))]).expect("valid");
    assert_eq!((most.max_entries, most.first_slab), (256, Some(7)));
    let error = dump(&[("max_entries", number("257"))]).expect_err("too many").to_string();
    assert_eq!(error, "parameter 'max_entries' is 257: a whole number from 0 to 256 is allowed");
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
    let message = parse_name(fields).expect_err("empty").to_string();
    assert_eq!(message, "parameter 'name' is \"\": the name, UUID or alias of a dedupe bdev is needed");
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

#[test]
fn sizes_and_loads_are_read() {
    let fields = |more: &[(&str, Value)]| {
        let mut fields = vec![("name".to_owned(), text("D0"))];
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        fields
    };
    let size = |mib| Ok(SizeParams { name: "D0".to_owned(), mib });
    assert_eq!(SizeParams::parse_cache(fields(&[("block_map_cache_mib", number("64"))])), size(Some(64)));
    assert_eq!(SizeParams::parse_physical(fields(&[])), size(None));
    let message = SizeParams::parse_logical(fields(&[])).expect_err("no size").to_string();
    assert!(message.starts_with("parameter 'logical_size_mib' is missing"), "{message}");
    let message =
        SizeParams::parse_cache(fields(&[("block_map_cache_mib", number("0"))])).expect_err("none").to_string();
    assert!(message.starts_with("parameter 'block_map_cache_mib' is 0"), "{message}");
    let params = LoadParams::parse(fields(&[("pool_name", text("p0")), ("cpumask", text("0x2"))])).expect("valid");
    assert_eq!((params.pool_name.as_deref(), params.cpumask.as_deref()), (Some("p0"), Some("0x2")));
    assert!(LoadParams::parse(fields(&[("cpumask", text("0x0"))])).is_err());
}

#[test]
fn the_index_and_compression_are_switched_by_name() {
    let set = |action: Value| parse_set_index(vec![("name".to_owned(), text("D0")), ("action".to_owned(), action)]);
    let actions = [
        ("create", IndexAction::Create),
        ("close", IndexAction::Close),
        ("disable", IndexAction::Disable),
        ("enable", IndexAction::Enable),
    ];
    for (name, action) in actions {
        assert_eq!(set(text(name)), Ok(("D0".to_owned(), action)));
    }
    let message = |error: ParamError| error.to_string();
    assert!(message(set(text("drop")).expect_err("unknown")).contains("create, close, disable and enable"));
    assert!(matches!(set(Value::Null), Err(ParamError::Missing { name: "action", .. })));
    let reserve =
        |percent: Value| parse_set_reserve(vec![("name".to_owned(), text("D0")), ("percent".to_owned(), percent)]);
    assert_eq!(reserve(number("0")), Ok(("D0".to_owned(), 0)));
    assert!(message(reserve(number("51")).expect_err("too much")).contains("from 0 (none) to 50"));
    assert!(matches!(reserve(Value::Null), Err(ParamError::Missing { name: "percent", .. })));
    let switch =
        |enabled: Value| parse_set_compression(vec![("name".to_owned(), text("D0")), ("enabled".to_owned(), enabled)]);
    assert_eq!(switch(Value::Bool(true)), Ok(("D0".to_owned(), true)));
    assert!(message(switch(number("1")).expect_err("no switch")).contains("true and false"));
    assert!(matches!(switch(Value::Null), Err(ParamError::Missing { name: "enabled", .. })));
}
