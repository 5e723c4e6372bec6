// SPDX-License-Identifier: BSD-3-Clause

//! One life of a machine: it is switched on with some disks, something runs on it, and it ends.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use uuid::Uuid;

use super::disk::{Disk, Keep};
use super::executor::{Executor, Stop};
use super::faults::Faults;
use super::host::SimHost;
use super::image::Image;
use super::machine::{Counts, Machine, Moment, Order};
use super::random::Random;
use crate::units::Nanos;
use crate::{DeviceProperties, DeviceType, Level};

/// What a life begins with.
#[derive(Debug, Clone)]
pub struct Birth {
    /// Seed of everything that is left to chance.
    pub seed: u64,
    /// The disks.
    pub disks: Vec<Disk>,
    /// What goes wrong.
    pub faults: Faults,
    /// When the power is cut, if not when the first task ends.
    pub cut: Option<Moment>,
    /// At that moment the process is killed instead, and the power stays on.
    pub kill: bool,
    /// What the power cut leaves; drawn when not given.
    pub keep: Option<Keep>,
    /// In which order operations are served; drawn when not given.
    pub order: Option<Order>,
    /// Print every event.
    pub trace: bool,
}

/// How a life ended.
#[derive(Debug)]
pub struct Life<T> {
    /// What the first task returned; none when the power was cut before.
    pub result: Option<T>,
    /// What a power cut at the end has left on the disks; empty if the power stayed on.
    pub images: Vec<Image>,
    /// The disks, with what is in their caches; empty if the power went off.
    pub disks: Vec<Disk>,
    /// Totals.
    pub counts: Counts,
    /// Steps of the executor.
    pub steps: u64,
    /// How long it lasted.
    pub time: Nanos,
    /// What the operator was told.
    pub log: Vec<(Level, String)>,
}

/// How the power goes off when the first task has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// At once, as by a cut.
    Cut,
    /// After all that is in flight has ended and was made durable.
    Orderly,
    /// It does not: another process is started next.
    No,
}

impl Birth {
    /// A life without faults or cut.
    #[must_use]
    pub fn new(seed: u64, disks: Vec<(DeviceProperties, Image)>) -> Birth {
        Birth::on(seed, disks.into_iter().map(|(properties, image)| Disk::new(properties, image)).collect())
    }

    /// A life without faults or cut, on disks that were not switched off.
    #[must_use]
    pub const fn on(seed: u64, disks: Vec<Disk>) -> Birth {
        let faults = Faults { failing: None, lasting: false, outage: None, no_memory: None, errors: 0, slow: 0 };
        Birth { seed, disks, faults, cut: None, kill: false, keep: None, order: None, trace: false }
    }

    /// Lives.
    ///
    /// # Errors
    /// The tasks got stuck, or misused a device.
    pub fn live<T: 'static, F: Future<Output = T> + 'static>(
        self,
        off: Off,
        body: impl FnOnce(Rc<SimHost>) -> F,
    ) -> Result<Life<T>, String> {
        let mut random = Random::stream(self.seed, 0x6c69);
        let order = random.pick(&[Order::Any, Order::Any, Order::Any, Order::First, Order::Last]);
        let keep = Keep::draw(&mut random);
        let (order, keep) = (self.order.unwrap_or(order), self.keep.unwrap_or(keep));
        let machine = Machine::new(self.disks, self.seed, order, self.faults, self.cut, self.trace);
        let machine = Rc::new(RefCell::new(machine));
        let nursery = Rc::default();
        let host = Rc::new(SimHost::new(Rc::clone(&machine), Rc::clone(&nursery)));
        let result = Rc::new(RefCell::new(None));
        let main = {
            let (body, result) = (body(host), Rc::clone(&result));
            Box::pin(async move {
                let ended = body.await;
                *result.borrow_mut() = Some(ended);
            })
        };
        let mut executor = Executor::new(Rc::clone(&machine), nursery);
        let stop = executor.run(main);
        executor.drop_tasks();
        let mut machine = machine.borrow_mut();
        if let Stop::Stuck(what) = stop {
            return Err(what);
        }
        if let Some(what) = machine.misuse.take() {
            return Err(what);
        }
        let (mut images, mut disks) = (Vec::new(), Vec::new());
        match (off, stop) {
            (Off::Orderly, Stop::Ended) => images = machine.stop_disks(),
            (Off::No, Stop::Ended) => disks = machine.leave_disks(),
            (_, Stop::Cut) if self.kill => disks = machine.leave_disks(),
            _ => images = machine.cut_disks(keep),
        }
        let result = result.borrow_mut().take();
        let log = std::mem::take(&mut machine.log);
        Ok(Life { result, images, disks, counts: machine.counts, steps: executor.steps, time: machine.now, log })
    }
}

/// A disk without a volatile cache and with all abilities; a test changes what it likes.
#[must_use]
pub fn plain_disk(name: &str, bytes: u64, sector_bytes: u32) -> DeviceProperties {
    DeviceProperties {
        name: name.to_owned(),
        model: "virtual disk".to_owned(),
        uuid: identity_of(name),
        uuid_lasts: true,
        layered: false,
        kind: DeviceType::StandardBlock,
        bytes,
        sector_bytes,
        optimal_write_bytes: 4096,
        discard: true,
        discard_granularity: u64::from(sector_bytes),
        dif: false,
        sed: false,
        sector_updatable: true,
        volatile_cache: false,
        fua: false,
        atomic_write: 512,
    }
}

/// The identity of the disk with a name.
fn identity_of(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    name.bytes().zip(&mut bytes).for_each(|(byte, to)| *to = byte);
    Uuid::from_bytes(bytes)
}

/// A disk whose abilities are drawn.
#[must_use]
pub fn drawn_disk(name: &str, bytes: u64, random: &mut Random) -> DeviceProperties {
    let sector_bytes = random.pick(&[512, 4096]);
    let volatile_cache = random.chance(600);
    DeviceProperties {
        optimal_write_bytes: random.pick(&[4096, 4096, 16384]),
        discard: random.chance(700),
        volatile_cache,
        fua: volatile_cache && random.chance(500),
        atomic_write: random.pick(&[512, sector_bytes]),
        ..plain_disk(name, bytes, sector_bytes)
    }
}
