// SPDX-License-Identifier: BSD-3-Clause

//! The I/O of one active pool or of all, in total and by media class.

use std::rc::Rc;

use mpool::drive::IoCounters;
use mpool::PoolError;

use crate::pool::runtime::Runtime;
use crate::rpc::method::Answer;
use crate::spdk::json::Writer;
use crate::volume::iostat::{self, ClassIo, PoolIo};

/// What was read and written.
pub struct IoStatistics(Vec<PoolIo>);

/// Asks one pool, or all.
///
/// # Errors
/// There is no active pool of this name.
pub async fn gather(runtime: &Rc<Runtime>, name: Option<String>) -> Result<IoStatistics, PoolError> {
    let pools = match name {
        Some(name) => vec![runtime.service.find(&name)?],
        None => runtime.service.active(),
    };
    let mut gathered = Vec::new();
    for pool in pools {
        gathered.push(iostat::gather(pool).await);
    }
    Ok(IoStatistics(gathered))
}

impl Answer for IoStatistics {
    const WORDS: &'static str = "of each pool: what was done, by `total` and `classes`";
    const TYPE: &'static str = "array";

    fn write(&self, writer: &mut Writer) {
        writer.array(|writer| self.0.iter().for_each(|pool| write(writer, pool)));
    }
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
