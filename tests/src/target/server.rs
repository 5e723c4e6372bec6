// SPDX-License-Identifier: BSD-3-Clause

//! A stock target (`spdk_tgt` or `nvmf_tgt`) that answers JSON-RPC.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{json, Value};

use super::error::TargetError;
use super::process::Process;
use super::rig::Rig;
use super::rpc::RpcClient;

const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How a target is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// How many of the rig's cores it polls.
    pub cores: usize,
    /// Memory for DPDK in MiB; 0: as much as it comes to need.
    pub memory_mib: u64,
    /// Whether the dedupe module is preloaded.
    pub with_module: bool,
    /// `nvmf_tgt` instead of `spdk_tgt`.
    pub nvmf_tgt: bool,
    /// A configuration file.
    pub config: Option<PathBuf>,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { cores: 1, memory_mib: 0, with_module: true, nvmf_tgt: false, config: None, arguments: Vec::new() }
    }
}

/// A running target; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    socket: PathBuf,
}

impl Server {
    /// Starts a target and waits until it has initialised.
    ///
    /// # Errors
    /// The tree has no such program, or it ends, or is not ready in time.
    pub fn start(rig: &Rig, options: &ServerOptions) -> Result<Self, TargetError> {
        let mut server = Self::spawn(rig, options)?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts a target and does not wait for it.
    ///
    /// # Errors
    /// The tree has no such program, or it cannot be started.
    pub fn spawn(rig: &Rig, options: &ServerOptions) -> Result<Self, TargetError> {
        let (program, name) = if options.nvmf_tgt {
            (&rig.tree.apps.nvmf_tgt, "nvmf_tgt")
        } else {
            (&rig.tree.apps.spdk_tgt, "spdk_tgt")
        };
        let program =
            program.as_deref().ok_or_else(|| TargetError::NoProgram { root: rig.tree.root.clone(), program: name })?;
        let socket = rig.path("rpc.sock");
        let cores = &rig.cores()[..options.cores.min(rig.cores().len())];
        let mut arguments = rig.common_arguments(cores, options.memory_mib, &socket);
        if let Some(config) = &options.config {
            arguments.extend(["--json".to_owned(), config.display().to_string()]);
        }
        if options.with_module && !rig.is_old() {
            // What is only shown to those who ask for it is in the logs of tests that fail.
            arguments.extend(["-L".to_owned(), "dedupe".to_owned()]);
        }
        arguments.extend(options.arguments.iter().cloned());
        let mut launch = rig.launch(program, options.with_module);
        launch.arguments = arguments.into_iter().map(Into::into).collect();
        Ok(Self { process: launch.start()?, socket })
    }

    fn wait_until_ready(&mut self) -> Result<(), TargetError> {
        let socket = self.socket.clone();
        let mut client =
            self.process.wait_for(START_PATIENCE, "open its RPC socket", |process| match process.status()? {
                Some(status) => Err(process.ended(status)),
                None => Ok(RpcClient::connect(&socket).ok()),
            })?;
        match client.call("framework_wait_init", &Value::Null) {
            Ok(_) => Ok(()),
            // The connection breaks if the target ends while it initialises: its log tells more.
            Err(error) => match self.process.wait(Duration::from_secs(2)) {
                Ok(status) => Err(self.process.ended(status)),
                Err(_) => Err(error),
            },
        }
    }

    /// Calls a method, on a connection of its own.
    ///
    /// # Errors
    /// The target refuses, or the connection fails.
    #[allow(clippy::needless_pass_by_value, reason = "every caller makes the parameters where it calls")]
    pub fn call(&self, method: &str, params: Value) -> Result<Value, TargetError> {
        RpcClient::connect(&self.socket)?.call(method, &params)
    }

    /// The RPC socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What `bdev_get_bdevs` says of a bdev.
    ///
    /// # Errors
    /// There is no such bdev.
    pub fn bdev(&self, name: &str) -> Result<Value, TargetError> {
        let list = self.call("bdev_get_bdevs", json!({"name": name}))?;
        Ok(list[0].clone())
    }

    /// Names of all bdevs, in the target's order.
    ///
    /// # Errors
    /// The connection fails.
    pub fn bdev_names(&self) -> Result<Vec<String>, TargetError> {
        let list = self.call("bdev_get_bdevs", Value::Null)?;
        let bdevs = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |bdev: &Value| bdev["name"].as_str().map(str::to_owned);
        Ok(bdevs.iter().filter_map(name).collect())
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Interrupts it and waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(&mut self) -> Result<ExitStatus, TargetError> {
        self.process.interrupt()?;
        self.process.wait(STOP_PATIENCE)
    }
}
