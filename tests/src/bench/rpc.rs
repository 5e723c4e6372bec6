// SPDX-License-Identifier: BSD-3-Clause

//! JSON-RPC to the application in this process, over its UNIX socket: what a user would send.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use thiserror::Error;

/// The server listens a moment after the application runs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Creating a bdev may clear a GiB of memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a call gave no result.
#[derive(Debug, Error)]
pub enum RpcError {
    /// No connection, or it broke.
    #[error("RPC {method}: {error}")]
    Io {
        /// The method.
        method: String,
        /// What happened.
        error: std::io::Error,
    },
    /// The method answered with an error.
    #[error("RPC {method}: {message}")]
    Refused {
        /// The method.
        method: String,
        /// The server's words.
        message: String,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    next_id: u64,
}

impl Client {
    /// Connects, waiting for the server to listen.
    ///
    /// # Errors
    /// It does not within some seconds.
    pub fn connect(socket: &Path) -> Result<Client, RpcError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let failed = |error| RpcError::Io { method: format!("connection to {}", socket.display()), error };
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => return Err(failed(error)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        Ok(Client { stream, next_id: 1 })
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// The connection breaks, or the method fails.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let mut request = json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method });
        if !params.is_null() {
            request["params"] = params.clone();
        }
        self.next_id += 1;
        let answer = self.exchange(&request).map_err(|error| RpcError::Io { method: method.to_owned(), error })?;
        match answer.get("error") {
            None => Ok(answer.get("result").cloned().unwrap_or_default()),
            Some(error) => {
                let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
                Err(RpcError::Refused { method: method.to_owned(), message })
            }
        }
    }

    /// SPDK ends an answer with nothing in particular, so bytes are read until they are a whole value.
    fn exchange(&mut self, request: &Value) -> std::io::Result<Value> {
        self.stream.write_all(request.to_string().as_bytes())?;
        let mut answer = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&chunk[..count]);
            match serde_json::from_slice(&answer) {
                Ok(value) => return Ok(value),
                Err(error) if error.is_eof() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
