// SPDX-License-Identifier: BSD-3-Clause

//! A controller with an admin queue and I/O queues, and its namespace.

use std::time::{Duration, Instant};

use super::address::Address;
use super::command::{Entry, IoCommand};
use super::connection::{Answer, Connection, Ending, Limits};
use super::error::InitiatorError;
use super::fabrics;
use super::identify::{Capabilities, Namespace};
use super::session::{call, open};
use super::wait::wait_for;

/// The only namespace that is looked at.
const NAMESPACE: u32 = 1;
/// One would do, but the specification asks for a queue of 32 entries.
const ADMIN_DEPTH: u16 = 31;
/// Any controller takes so much with a command of the admin queue.
const ADMIN_IN_CAPSULE_BYTES: usize = 8192;
/// How long the controller may take to become ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(1);

const HOST_NQN: &str = "nqn.2024-01.io.spdk:dedupe-tests";
const HOST_ID: [u8; 16] = *b"dedupe-tests-kil";

/// Number and depth of I/O queues.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// I/O queues, at least 1; a target spreads them over its cores.
    pub queues: u16,
    /// Commands under way on each, at least 2.
    pub depth: u16,
}

/// A connected controller.
///
/// Commands are submitted to one of its queues and answered in any order. Once [`Controller::ending`] tells that a
/// connection has ended, no answer comes that is not there yet.
#[derive(Debug)]
pub struct Controller {
    /// Kept open: the target drops the I/O queues with it.
    admin: Connection,
    queues: Vec<Connection>,
    capabilities: Capabilities,
    namespace: Namespace,
    /// Queue that answers are taken from next, so that none starves.
    next: usize,
}

impl Controller {
    /// Connects to a subsystem, enables its controller and looks at its namespace.
    ///
    /// # Errors
    /// Nobody listens, the target refuses or dies, or the namespace has metadata or blocks of odd sizes.
    pub fn connect(address: &Address, shape: Shape) -> Result<Controller, InitiatorError> {
        let limits = Limits { depth: ADMIN_DEPTH, in_capsule_bytes: ADMIN_IN_CAPSULE_BYTES };
        let mut admin = open(address, limits)?;
        let controller = connect_queue(&mut admin, address, 0, ADMIN_DEPTH, fabrics::ANY_CONTROLLER)?;
        enable(&mut admin)?;
        let bytes = identify(&mut admin, fabrics::identify_controller())?;
        let capabilities = Capabilities::decode(&bytes)?;
        let bytes = identify(&mut admin, fabrics::identify_namespace(NAMESPACE))?;
        let namespace = Namespace::decode(&bytes)?.ok_or(InitiatorError::Unsuitable("metadata or odd blocks"))?;
        if namespace.blocks == 0 {
            return Err(InitiatorError::Unsuitable("no blocks"));
        }
        let mut queues = Vec::new();
        for queue in 1..=shape.queues.max(1) {
            let limits = Limits { depth: shape.depth.max(2), in_capsule_bytes: ADMIN_IN_CAPSULE_BYTES };
            let mut connection = open(address, limits)?;
            connect_queue(&mut connection, address, queue, limits.depth, controller)?;
            connection.set_in_capsule_bytes(capabilities.in_capsule_bytes);
            queues.push(connection);
        }
        Ok(Controller { admin, queues, capabilities, namespace, next: 0 })
    }

    /// What the controller can do.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Its namespace.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// A queue that can take another command.
    #[must_use]
    pub fn queue_with_room(&self) -> Option<usize> {
        let most = self.queues.iter().enumerate().filter(|(_, queue)| queue.has_room());
        most.min_by_key(|(_, queue)| queue.under_way().count()).map(|(index, _)| index)
    }

    /// Submits a command under a name of the caller's; `data` is what a write writes, as long as its range. Returns
    /// false, and does nothing, if the queue has no room.
    pub fn submit(&mut self, queue: usize, command: IoCommand, data: Vec<u8>, tag: u64) -> bool {
        let data = if data.is_empty() { command.parameters() } else { data };
        let reads_bytes = command.reads_bytes(self.namespace.block_bytes);
        self.queues[queue].submit(command.entry(NAMESPACE), data, reads_bytes, tag).is_ok()
    }

    /// The next command that has ended.
    pub fn pop_answer(&mut self) -> Option<Answer> {
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            if let Some(answer) = self.queues[self.next].pop_answer() {
                return Some(answer);
            }
        }
        None
    }

    /// Sends and receives what can be, waiting for something to do no longer than `patience`.
    ///
    /// # Errors
    /// The target broke the protocol.
    pub fn advance(&mut self, patience: Duration) -> Result<(), InitiatorError> {
        self.advance_all()?;
        let idle = self.queues.iter().all(|queue| !queue.has_answer());
        if idle && self.ending().is_none() && !patience.is_zero() {
            wait_for(self.connections().map(|one| (one.socket(), one.wants_to_write())), patience)?;
            self.advance_all()?;
        }
        Ok(())
    }

    fn advance_all(&mut self) -> Result<(), InitiatorError> {
        self.admin.advance()?;
        for queue in &mut self.queues {
            queue.advance()?;
        }
        Ok(())
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        std::iter::once(&self.admin).chain(&self.queues)
    }

    /// How the first of its connections ended, if one did.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.connections().find_map(Connection::ending)
    }

    /// Names of the commands that are not answered.
    #[must_use]
    pub fn under_way(&self) -> Vec<u64> {
        self.queues.iter().flat_map(Connection::under_way).collect()
    }

    /// For a target that has ended: takes all that it sent before. Then [`Controller::under_way`] are the commands
    /// that it never answered.
    ///
    /// # Errors
    /// The connections do not end in time, or the target broke the protocol.
    pub fn drain(&mut self, patience: Duration) -> Result<(), InitiatorError> {
        let began = Instant::now();
        loop {
            self.advance_all()?;
            let mut open = self.queues.iter().filter(|queue| queue.ending().is_none()).peekable();
            if open.peek().is_none() {
                return Ok(());
            }
            let late = InitiatorError::Late { action: "waiting for the connections to end", after: patience };
            let left = patience.checked_sub(began.elapsed()).ok_or(late)?;
            wait_for(open.map(|queue| (queue.socket(), false)), left)?;
        }
    }
}

/// Connects a queue and returns the controller's number.
fn connect_queue(
    connection: &mut Connection,
    address: &Address,
    queue: u16,
    depth: u16,
    controller: u16,
) -> Result<u16, InitiatorError> {
    let data = fabrics::connect_data(&HOST_ID, controller, &address.nqn, HOST_NQN);
    let answer = call(connection, "connecting a queue", fabrics::connect(queue, depth), data, 0)?;
    Ok(answer.result as u16)
}

fn enable(admin: &mut Connection) -> Result<(), InitiatorError> {
    let entry = fabrics::set_property(fabrics::CONFIGURATION, fabrics::ENABLE);
    call(admin, "enabling the controller", entry, Vec::new(), 0)?;
    let began = Instant::now();
    loop {
        let answer = call(admin, "reading its status", fabrics::get_property(fabrics::STATUS), Vec::new(), 0)?;
        if answer.result & fabrics::READY != 0 {
            return Ok(());
        }
        if began.elapsed() > READY_PATIENCE {
            return Err(InitiatorError::Late { action: "enabling the controller", after: READY_PATIENCE });
        }
        std::thread::sleep(READY_INTERVAL);
    }
}

fn identify(admin: &mut Connection, entry: Entry) -> Result<Vec<u8>, InitiatorError> {
    let answer = call(admin, "identifying", entry, Vec::new(), fabrics::IDENTIFY_BYTES)?;
    Ok(answer.data)
}
