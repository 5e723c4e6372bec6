// SPDX-License-Identifier: BSD-3-Clause

//! Pools that the engine made, on the simulator's disks: shut down in good order, or cut off.

use std::path::PathBuf;
use std::rc::Rc;

use engine::volume::catalog::Catalog;
use engine::volume::inventory::VolumeConfig;
use engine::volume::store::{SlabWish, VolumeSpec, VolumeStore};
use engine::Blocks;
use mpool::device::PlainMemory;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::mlog::OpenFlags;
use mpool::params::{CreateParams, ParamChanges};
use mpool::registry::Registry;
use mpool::testing::{plain_disk, Birth, Image, Moment, Off};
use mpool::tunables::Tunables;
use mpool::{DeviceProperties, Host, MediaClass, ObjectId, Pool, PoolError};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::run::{errors, run};

/// What the test knows of the objects that were made.
#[derive(Debug, Clone)]
struct Contents {
    pool: Uuid,
    mblock: ObjectId,
    staged: ObjectId,
    mlog: ObjectId,
    deleted: ObjectId,
    slabs: usize,
    containers: usize,
}

fn disks() -> [DeviceProperties; 2] {
    let staging = DeviceProperties { volatile_cache: true, ..plain_disk("staging", 16 << 20, 4096) };
    [plain_disk("capacity", 48 << 20, 512), staging]
}

fn with_images(images: Vec<Image>) -> Vec<(DeviceProperties, Image)> {
    disks().into_iter().zip(images).collect()
}

async fn make(host: Rc<dyn Host>) -> Result<Contents, PoolError> {
    let registry = Registry::new(host, Tunables::default());
    let changes =
        ParamChanges { label: Some("night".to_owned()), spare_percent: [None, Some(10)], ..ParamChanges::default() };
    let request = CreateRequest {
        name: "mp1".to_owned(),
        capacity: "capacity".to_owned(),
        staging: Some("staging".to_owned()),
        params: CreateParams { changes, ..CreateParams::default() },
        ..CreateRequest::default()
    };
    let active = registry.create(&request).await?;
    let contents = fill(active.pool()).await?;
    drop(active);
    registry.deactivate("mp1").await?;
    Ok(contents)
}

async fn mblock(pool: &Pool, class: MediaClass, bytes: usize) -> Result<ObjectId, PoolError> {
    let id = pool.mblock_alloc(class, false).await?.id;
    let (_, written) = pool.mblock_write(id, Box::new(PlainMemory(vec![7; bytes])), 0..bytes).await;
    written?;
    pool.mblock_commit(id).await?;
    Ok(id)
}

async fn mlog(pool: &Rc<Pool>, records: usize) -> Result<ObjectId, PoolError> {
    let id = pool.mlog_alloc(MediaClass::Capacity, 0, false).await?.id;
    pool.mlog_commit(id).await?;
    let log = pool.mlog_open(id, OpenFlags::default()).await?;
    for number in 0..records {
        log.log().append(&vec![number as u8; 700], number % 3 == 0).await?;
    }
    log.close().await?;
    Ok(id)
}

fn volume(name: &str, uuid: u128, slabs: u64) -> VolumeSpec {
    VolumeSpec {
        name: name.to_owned(),
        uuid: Uuid::from_u128(uuid),
        slabs: SlabWish { least: slabs, wanted: slabs },
        shards: 1,
        config: VolumeConfig {
            slab_blocks: 256,
            index_mib: 1,
            map_cache_mib: 1,
            journal_mib: 1,
            core_mask: "0x1".to_owned(),
            ..VolumeConfig::default()
        },
    }
}

fn size(_: u64, config: &mut VolumeConfig) -> Result<(), PoolError> {
    config.logical_blocks = Blocks(1000);
    Ok(())
}

async fn fill(pool: &Rc<Pool>) -> Result<Contents, PoolError> {
    let kept = mblock(pool, MediaClass::Capacity, 12288).await?;
    let deleted = mblock(pool, MediaClass::Capacity, 4096).await?;
    let staged = mblock(pool, MediaClass::Staging, 8192).await?;
    let mlog = mlog(pool, 20).await?;
    pool.mblock_delete(deleted).await?;
    let catalog = Catalog::open(pool).await?;
    let store = VolumeStore::create(pool, &catalog, &volume("D0", 0x70, 3), size).await?;
    let slabs = store.slabs() as usize;
    store.close().await?;
    catalog.close().await?;
    Ok(Contents { pool: pool.uuid(), mblock: kept, staged, mlog, deleted, slabs, containers: pool.container_count() })
}

/// A pool with some objects, shut down in good order, and what its disks hold.
fn made() -> (Contents, Vec<Image>) {
    let unwritten = vec![Image::unwritten(1), Image::unwritten(2)];
    let life = Birth::new(1, with_images(unwritten)).live(Off::Orderly, |host| make(host)).expect("nothing is misused");
    (life.result.expect("no power cut").expect("the pool is made"), life.images)
}

/// Writes images to files.
fn files(images: &[Image]) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |(image, disk): (&Image, DeviceProperties)| {
        let path = dir.path().join(&disk.name);
        std::fs::write(&path, image.bytes(0, disk.bytes as usize)).expect("a file");
        path
    };
    let paths = images.iter().zip(disks()).map(write).collect();
    (dir, paths)
}

fn inspect(images: &[Image], options: &[&str]) -> (Option<i32>, Value) {
    let (_dir, paths) = files(images);
    // The order in which they are given does not matter.
    let outcome = run(&[options, &["--json"]].concat(), &[&paths[1], &paths[0]]);
    (outcome.status, serde_json::from_str(&outcome.out).expect("a document"))
}

#[test]
fn a_pool_is_seen_as_the_engine_made_it() {
    let (contents, images) = made();
    let (status, document) = inspect(&images, &["--verify"]);
    assert_eq!((status, errors(&document)), (Some(0), Vec::new()));
    let pool = &document["pool"];
    assert_eq!((pool["name"].as_str(), pool["uuid"].as_str()), (Some("mp1"), Some(&*contents.pool.to_string())));
    assert_eq!(pool["parameters"]["label"], "night");
    assert_eq!(pool["containers"].as_array().map(Vec::len), Some(contents.containers));
    let find = |id: ObjectId| {
        let id = format!("{:#x}", id.0);
        pool["objects"].as_array().expect("objects").iter().find(|object| object["id"] == *id)
    };
    let mblock = find(contents.mblock).expect("the mblock");
    assert_eq!((mblock["written_bytes"].as_u64(), mblock["class"].as_str()), (Some(12288), Some("CAPACITY")));
    assert_eq!(find(contents.staged).map(|staged| staged["class"].as_str()), Some(Some("STAGING")));
    assert!(find(contents.deleted).is_none());
    let volume = &pool["root"]["volumes"][0];
    assert_eq!((volume["name"].as_str(), volume["slabs"].as_array().map(Vec::len)), (Some("D0"), Some(contents.slabs)));
    let logs = document["verified_logs"].as_array().expect("logs");
    assert_eq!((logs.len(), volume["segments"].as_array().map(Vec::len)), (5, Some(4)), "journals are logs too");
    assert!(logs.iter().any(|log| log["id"] == *format!("{:#x}", contents.mlog.0)));
    assert_eq!((&volume["config"]["metadata_class"], &volume["state"]["state"]), (&"STAGING".into(), &"NEW".into()));
    for (space, zones) in pool["space"].as_array().expect("space maps").iter().zip([15, 47]) {
        let used = space["used_zones"].as_object().expect("uses").values().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((space["zones"].as_u64(), used), (Some(zones), zones), "every zone has one use");
    }
    assert_eq!(pool["recorded_drives"][1]["spare_percent"], 10);
}

#[test]
fn a_log_that_the_engine_wrote_is_dumped_whole() {
    let (contents, images) = made();
    let (status, document) = inspect(&images, &["--log", &format!("{:#x}", contents.mlog.0)]);
    assert_eq!(status, Some(0));
    let items = document["items"].as_array().expect("items");
    let chunks = items.iter().filter_map(|item| item["chunks"].as_array()).flatten();
    let records = chunks.filter(|chunk| chunk["chunk"] == "FULL" || chunk["chunk"] == "LAST").count();
    assert_eq!(records, 20);
}

/// Work on a pool that is there.
async fn go_on(host: Rc<dyn Host>) -> Result<(), PoolError> {
    let registry = Registry::new(host, Tunables::default());
    let paths = vec!["capacity".to_owned(), "staging".to_owned()];
    let active = registry.activate(&ActivateRequest { paths, ..ActivateRequest::default() }).await?;
    let pool = active.pool();
    for _ in 0..3 {
        let id = mblock(pool, MediaClass::Capacity, 4096).await?;
        mlog(pool, 6).await?;
        pool.mblock_delete(id).await?;
    }
    let catalog = Catalog::open(pool).await?;
    let store = VolumeStore::create(pool, &catalog, &volume("D1", 0x71, 1), size).await?;
    store.prepare_journals(1).await?;
    store.grow(SlabWish { least: 1, wanted: 1 }).await?;
    Ok(())
}

/// What activation copes with is no error here, so a power cut leaves none.
#[test]
fn a_power_cut_leaves_no_errors() {
    let (_, images) = made();
    let whole = Birth::new(7, with_images(images.clone())).live(Off::Cut, |host| go_on(host)).expect("no misuse");
    let operations = whole.counts.operations;
    assert!(operations > 100, "{operations} operations");
    for seed in 0..12 {
        let cut = Moment::Torn(operations * seed / 12);
        let birth = Birth { cut: Some(cut), ..Birth::new(seed, with_images(images.clone())) };
        let life = birth.live(Off::Cut, |host| go_on(host)).expect("no misuse");
        let (status, document) = inspect(&life.images, &["--verify"]);
        assert_eq!((status, errors(&document)), (Some(0), Vec::new()), "seed {seed}, {cut:?}");
    }
}
