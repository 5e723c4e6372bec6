// SPDX-License-Identifier: BSD-3-Clause

//! A client of SPDK's JSON-RPC server: one connection over a UNIX socket.
//!
//! SPDK frames nothing: an answer ends where its JSON value ends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{json, Value};

use super::error::{io, TargetError};

/// How long an answer may take; deleting a loaded bdev or resetting one waits for its requests.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub struct RpcClient {
    stream: UnixStream,
    path: PathBuf,
    next_id: u64,
}

impl RpcClient {
    /// Connects to the server's socket.
    ///
    /// # Errors
    /// There is no such socket, or nobody listens.
    pub fn connect(path: &Path) -> Result<Self, TargetError> {
        let stream = UnixStream::connect(path).map_err(io("connecting to", path))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(io("connecting to", path))?;
        Ok(Self { stream, path: path.to_owned(), next_id: 1 })
    }

    /// Calls a method; `params` may be null for none.
    ///
    /// # Errors
    /// [`TargetError::Refused`] with the server's error, or the connection fails.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, TargetError> {
        let mut request = json!({"jsonrpc": "2.0", "id": self.next_id, "method": method});
        self.next_id += 1;
        if !params.is_null() {
            request["params"] = params.clone();
        }
        let answer = self.exchange(method, request.to_string().as_bytes())?;
        result_of(method, &answer)
    }

    /// Sends bytes as they are and returns the answer that comes; for what is no JSON-RPC.
    ///
    /// # Errors
    /// The connection fails or the answer is no JSON.
    pub fn exchange(&mut self, method: &str, request: &[u8]) -> Result<Value, TargetError> {
        self.stream.write_all(request).map_err(io("writing to", &self.path))?;
        let mut received = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            let length = self.stream.read(&mut chunk).map_err(io("reading from", &self.path))?;
            received.extend_from_slice(&chunk[..length]);
            match serde_json::from_slice(&received) {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_eof() && length > 0 => {}
                Err(_) => {
                    return Err(TargetError::Answer {
                        method: method.to_owned(),
                        answer: String::from_utf8_lossy(&received).into_owned(),
                    })
                }
            }
        }
    }
}

fn result_of(method: &str, answer: &Value) -> Result<Value, TargetError> {
    let error = &answer["error"];
    if error.is_object() {
        return Err(TargetError::Refused {
            method: method.to_owned(),
            code: error["code"].as_i64().unwrap_or(0),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        });
    }
    answer
        .get("result")
        .cloned()
        .ok_or_else(|| TargetError::Answer { method: method.to_owned(), answer: answer.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_are_told_apart() {
        assert_eq!(result_of("m", &json!({"id": 1, "result": true})).ok(), Some(json!(true)));
        let error = json!({"error": {"code": -32602, "message": "parameter 'x'"}});
        let error = result_of("m", &error).expect_err("an error");
        assert_eq!(error.refusal(), Some("parameter 'x'"));
        assert_eq!(error.to_string(), "m: error -32602: parameter 'x'");
        assert!(matches!(result_of("m", &json!([])), Err(TargetError::Answer { .. })));
    }
}
