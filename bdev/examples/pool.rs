// SPDX-License-Identifier: BSD-3-Clause

//! A media pool used by itself inside an SPDK application: no volume, only a log and a block of bytes on a bdev.
//!
//! ```text
//! cargo run -p bdev --features load --example pool [-- --no-huge]
//! ```
//!
//! [`load::run`] starts the application and calls back on a thread of its own, which may block. Pools live on SPDK's
//! application thread: [`App::run_pool`] runs a future there and hands it the pools' [`Host`], which opens bdevs by their
//! names. A program that has an SPDK application of its own does the same with the RPCs `mpool_create` and `mpool_activate`,
//! and [`load::open_pool`].

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bdev_dedupe::load::{self, App, AppOptions};
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::mlog::OpenFlags;
use mpool::registry::Registry;
use mpool::tunables::Tunables;
use mpool::{Host, MediaClass, ObjectId, Pool, PoolError, PAGE_BYTES};

type Failure = Box<dyn Error + Send + Sync>;

const BDEV: &str = "Malloc0";
const POOL: &str = "example";
const TEXT: &[u8] = b"a record";

fn main() -> Result<(), Failure> {
    let socket = std::env::temp_dir().join(format!("pool-example-{}.sock", std::process::id()));
    let options = AppOptions {
        name: "pool_example".to_owned(),
        cores: vec![0],
        huge_pages: !std::env::args().any(|argument| argument == "--no-huge"),
        memory_mib: 1024,
        rpc_socket: socket.clone(),
    };
    load::run(&options, move |app| use_a_pool(app, &socket))?
}

fn use_a_pool(app: &App, socket: &Path) -> Result<(), Failure> {
    let params = format!(r#"{{"name": "{BDEV}", "num_blocks": 131072, "block_size": 4096}}"#);
    call(socket, "bdev_malloc_create", &params)?;
    let (log, block) = app.run_pool(write)??;
    app.run_pool(move |host| read(host, log, block))??;
    println!("log {log} and block {block} were there again after the pool's deactivation");
    Ok(())
}

/// Makes a pool on the bdev, and in it a log with a record and an mblock with a page.
async fn write(host: Rc<dyn Host>) -> Result<(ObjectId, ObjectId), PoolError> {
    let registry = Registry::new(host, Tunables::default());
    let request = CreateRequest { name: POOL.into(), capacity: BDEV.into(), ..CreateRequest::default() };
    let active = registry.create(&request).await?;
    let pool = Rc::clone(active.pool());
    drop(active);
    let log = pool.mlog_alloc(MediaClass::Capacity, 1 << 20, false).await?.id;
    // Until it is committed, an object is gone with the power.
    pool.mlog_commit(log).await?;
    let open = pool.mlog_open(log, OpenFlags::default()).await?;
    // Durable when it returns.
    open.log().append(TEXT, true).await?;
    open.close().await?;
    let block = write_block(&pool).await?;
    drop(pool);
    registry.deactivate(POOL).await?;
    Ok((log, block))
}

/// An mblock is written once, in whole pages, from memory that the bdev can reach.
async fn write_block(pool: &Pool) -> Result<ObjectId, PoolError> {
    let block = pool.mblock_alloc(MediaClass::Capacity, false).await?.id;
    let mut page = pool.drive_of(MediaClass::Capacity)?.allocate(PAGE_BYTES)?;
    (*page).as_mut()[..TEXT.len()].copy_from_slice(TEXT);
    pool.mblock_write(block, page, 0..PAGE_BYTES).await.1?;
    pool.mblock_commit(block).await?;
    Ok(block)
}

/// Activates the pool, as after a restart, and reads both back.
async fn read(host: Rc<dyn Host>, log: ObjectId, block: ObjectId) -> Result<(), PoolError> {
    let registry = Registry::new(host, Tunables::default());
    let request = ActivateRequest { paths: vec![BDEV.into()], ..ActivateRequest::default() };
    let active = registry.activate(&request).await?;
    let pool = Rc::clone(active.pool());
    drop(active);
    let open = pool.mlog_open(log, OpenFlags::default()).await?;
    open.log().rewind().await?;
    let record = open.log().next_vec(PAGE_BYTES).await?;
    assert_eq!(record.as_deref(), Some(TEXT));
    open.close().await?;
    let page = pool.drive_of(MediaClass::Capacity)?.allocate(PAGE_BYTES)?;
    let (page, outcome) = pool.mblock_read(block, 0, page, 0..PAGE_BYTES).await;
    outcome?;
    assert_eq!(&(*page).as_ref()[..TEXT.len()], TEXT);
    drop(pool);
    registry.deactivate(POOL).await
}

/// Calls an RPC method; the server listens a moment after the application runs.
fn call(socket: &Path, method: &str, params: &str) -> Result<(), Failure> {
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    write!(stream, r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {params}}}"#)?;
    let mut answer = [0; 4096];
    let bytes = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..bytes]);
    if answer.contains(r#""result""#) {
        Ok(())
    } else {
        Err(format!("{method}: {answer}").into())
    }
}
