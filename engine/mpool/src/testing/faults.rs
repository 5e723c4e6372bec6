// SPDX-License-Identifier: BSD-3-Clause

//! What goes wrong in one life of a machine besides its end.

use super::random::Random;
use crate::DeviceError;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What its caller is told.
    pub error: DeviceError,
    /// It took effect all the same.
    pub effect: bool,
}

/// The faults of one life. The default is none.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The operation of this number fails.
    pub failing: Option<(u64, Failure)>,
    /// What it touched cannot be transferred in its direction ever after.
    pub lasting: bool,
    /// From the operation of this number on, so many fail, whatever they are.
    pub outage: Option<(u64, u64)>,
    /// The allocation of memory of this number, from 0, fails.
    pub no_memory: Option<u64>,
    /// Operations, of 1000, that fail.
    pub errors: u32,
    /// Operations, of 1000, that take up to a second.
    pub slow: u32,
}

impl Faults {
    /// How the operation `number` fails, if it does.
    pub fn failure(&mut self, number: u64, random: &mut Random) -> Option<Failure> {
        if let Some((first, left)) = &mut self.outage {
            if number >= *first && *left > 0 {
                *left -= 1;
                return Some(Failure { error: DeviceError::Io, effect: random.chance(300) });
            }
        }
        if let Some((_, failure)) = self.failing.filter(|(failing, _)| *failing == number) {
            return Some(failure);
        }
        random.chance(self.errors).then(|| {
            let error = random.pick(&[DeviceError::Io, DeviceError::Io, DeviceError::NoMemory]);
            Failure { error, effect: random.chance(500) }
        })
    }

    /// Nanoseconds that an operation takes at least.
    pub fn delay(&self, random: &mut Random) -> u64 {
        if random.chance(self.slow) {
            random.below(1_000_000_000)
        } else {
            0
        }
    }
}
