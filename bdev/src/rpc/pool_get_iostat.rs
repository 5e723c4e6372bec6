// SPDX-License-Identifier: BSD-3-Clause

//! `mpool_get_iostat`: shows the I/O of one active pool or of all, in total and by media class.

use std::rc::Rc;

use engine::pool::drive::IoCounters;
use engine::pool::PoolError;

use crate::ffi;
use crate::json::Writer;
use crate::pool::iostat::{self, ClassIo, PoolIo};
use crate::pool::params::parse_optional_name;
use crate::pool::runtime::Runtime;
use crate::rpc::serve::serve;

/// SPDK's callback.
///
/// # Safety
/// Called by SPDK with a request and its decoded parameters.
pub unsafe extern "C" fn handle(request: *mut ffi::spdk_jsonrpc_request, params: *const ffi::spdk_json_val) {
    // SAFETY: the caller's promise.
    unsafe {
        serve(
            request,
            params,
            "name (optional)",
            parse_optional_name,
            |runtime, name| async move { gather(&runtime, name).await },
            |writer, pools: &Vec<PoolIo>| writer.array(|writer| pools.iter().for_each(|pool| write(writer, pool))),
        );
    }
}

async fn gather(runtime: &Rc<Runtime>, name: Option<String>) -> Result<Vec<PoolIo>, PoolError> {
    let pools = match name {
        Some(name) => vec![runtime.service.find(&name)?],
        None => runtime.service.active(),
    };
    let mut gathered = Vec::new();
    for pool in pools {
        gathered.push(iostat::gather(pool).await);
    }
    Ok(gathered)
}

fn write(writer: &mut Writer, io: &PoolIo) {
    let total = io.classes.iter().fold(IoCounters::default(), |sum, class| sum.plus(class.all));
    writer.object(|writer| {
        writer.named_string("name", io.pool.name());
        writer.named_string("uuid", &io.pool.uuid().to_string());
        writer.named_object("total", |writer| write_counters(writer, &total));
        writer.named_array("classes", |writer| io.classes.iter().for_each(|class| write_class(writer, class)));
    });
}

fn write_class(writer: &mut Writer, class: &ClassIo) {
    writer.object(|writer| {
        writer.named_string("class", &class.class.to_string());
        if let Some(bdev) = &class.bdev {
            writer.named_string("bdev", bdev);
        }
        write_counters(writer, &class.all);
        writer.named_object("volumes", |writer| write_counters(writer, &class.volumes));
    });
}

fn write_counters(writer: &mut Writer, counters: &IoCounters) {
    counters.fields().for_each(|(name, value)| writer.named_number(name, value));
}
