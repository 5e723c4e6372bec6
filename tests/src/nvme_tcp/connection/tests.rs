// SPDX-License-Identifier: BSD-3-Clause

//! A connection to a target that the test plays.

use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::nvme_tcp::command::IoCommand;
use crate::nvme_tcp::wait::wait_for;

const LIMITS: Limits = Limits { depth: 4, in_capsule_bytes: 4096 };

/// A connection and the other end of it, which has sent its response with 4096 bytes as the most in a unit.
fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (mut target, _) = listener.accept().expect("connected");
    socket.set_nonblocking(true).expect("a socket");
    let mut connection = Connection::new(socket, LIMITS);
    let mut response = vec![1, 0, 128, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
    response.resize(128, 0);
    target.write_all(&response).expect("sent");
    settle(&mut connection);
    assert!(connection.is_connected());
    target.read_exact(&mut [0; 128]).expect("a request");
    (connection, target)
}

fn settle(connection: &mut Connection) {
    let sockets = [(connection.socket(), connection.wants_to_write())];
    wait_for(sockets.into_iter(), Duration::from_secs(5)).expect("waits");
    connection.advance().expect("speaks the protocol");
}

fn submit(connection: &mut Connection, command: IoCommand, data: Vec<u8>, tag: u64) {
    let submitted = connection.submit(command.entry(1), data, command.reads_bytes(512), tag);
    assert!(submitted.is_ok());
    connection.advance().expect("sent");
}

fn response(command: u8) -> [u8; 24] {
    let mut bytes = [0; 24];
    (bytes[0], bytes[2], bytes[4], bytes[20]) = (5, 24, 24, command);
    bytes
}

#[test]
fn large_writes_are_sent_when_the_target_is_ready() {
    let (mut connection, mut target) = pair();
    let data: Vec<u8> = (0..16_384_u32).map(|at| (at / 512) as u8).collect();
    submit(&mut connection, IoCommand::Write { lba: 0, blocks: 32 }, data.clone(), 7);
    let mut command = [0; 72];
    target.read_exact(&mut command).expect("a command");
    assert_eq!((command[4], command[8], command[47]), (72, 1, 0x5a));
    // Ready for 6000 bytes at 2000, which takes two units.
    let mut ready = [0; 24];
    (ready[0], ready[2], ready[4], ready[8], ready[10]) = (9, 24, 24, command[10], 5);
    ready[12..16].copy_from_slice(&2000_u32.to_le_bytes());
    ready[16..20].copy_from_slice(&6000_u32.to_le_bytes());
    target.write_all(&ready).expect("sent");
    settle(&mut connection);
    let mut units = vec![0; 24 + 4096 + 24 + 1904];
    target.read_exact(&mut units).expect("data");
    assert_eq!((units[1], units[24 + 4096 + 1]), (0, 4), "the last one says so");
    let sent = [&units[24..24 + 4096], &units[24 + 4096 + 24..]].concat();
    assert_eq!(sent, data[2000..8000]);
    target.write_all(&response(command[10])).expect("sent");
    settle(&mut connection);
    let answer = connection.pop_answer().expect("answered");
    assert_eq!((answer.tag, answer.status), (7, Status::SUCCESS));
    assert_eq!(connection.under_way().count(), 0);
}

#[test]
fn a_target_that_dies_leaves_its_answers() {
    let (mut connection, mut target) = pair();
    for tag in 0..4 {
        submit(&mut connection, IoCommand::Write { lba: tag, blocks: 1 }, vec![tag as u8; 512], tag);
    }
    assert!(!connection.has_room());
    let mut first = [0; 72 + 512];
    target.read_exact(&mut first).expect("a command");
    assert_eq!((first[47], first[72 + 511]), (1, 0), "small data goes with the command");
    target.write_all(&response(first[10])).expect("sent");
    // Unread commands make the kernel reset the connection.
    drop(target);
    while connection.ending().is_none() {
        settle(&mut connection);
    }
    assert_eq!(connection.pop_answer().map(|answer| answer.tag), Some(0));
    let mut lost: Vec<_> = connection.under_way().collect();
    lost.sort_unstable();
    assert_eq!(lost, [1, 2, 3]);
    assert!(!connection.has_room());
}

#[test]
fn reads_are_put_together() {
    let (mut connection, mut target) = pair();
    submit(&mut connection, IoCommand::Read { lba: 0, blocks: 2 }, Vec::new(), 9);
    let mut command = [0; 72];
    target.read_exact(&mut command).expect("a command");
    for (offset, flags) in [(512_u32, 0), (0, 12)] {
        let mut unit = vec![7, flags, 24, 24, 0, 0, 0, 0, command[10], 0, 0, 0];
        unit[4..8].copy_from_slice(&536_u32.to_le_bytes());
        unit.extend_from_slice(&offset.to_le_bytes());
        unit.extend_from_slice(&512_u32.to_le_bytes());
        unit.resize(24, 0);
        unit.resize(536, 1 + (offset / 512) as u8);
        target.write_all(&unit).expect("sent");
    }
    let mut answer = None;
    while answer.is_none() {
        settle(&mut connection);
        answer = connection.pop_answer();
    }
    let answer = answer.expect("answered");
    assert_eq!((answer.data[0], answer.data[511], answer.data[512], answer.data.len()), (1, 1, 2, 1024));
}

#[test]
fn what_belongs_to_no_command_is_an_error() {
    let (mut connection, mut target) = pair();
    target.write_all(&response(3)).expect("sent");
    let sockets = [(connection.socket(), false)];
    wait_for(sockets.into_iter(), Duration::from_secs(5)).expect("waits");
    assert_eq!(connection.advance(), Err(PduError::Command(3)));
}
