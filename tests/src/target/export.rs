// SPDX-License-Identifier: BSD-3-Clause

//! Exporting a bdev as an NVMe-oF namespace, over TCP on the loopback interface or over vfio-user.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use serde_json::{json, Value};

use super::error::{io, TargetError};
use super::rig::Rig;
use super::server::Server;
use crate::nvme_tcp;

/// Someone else may take a free port between our looking and the target's listening.
const PORT_ATTEMPTS: u32 = 5;

/// An exported bdev.
#[derive(Debug, Clone)]
pub struct Export {
    /// The subsystem's name.
    pub nqn: String,
    address: Address,
}

#[derive(Debug, Clone)]
enum Address {
    Tcp { port: u16 },
    VfioUser { dir: PathBuf },
}

impl Export {
    /// Exports a bdev over NVMe/TCP, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The target refuses.
    pub fn tcp(server: &Server, bdev: &str) -> Result<Self, TargetError> {
        create_transport(server, "TCP")?;
        let nqn = create_subsystem(server, bdev)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let address = Address::Tcp { port: free_port()? };
            let listen = json!({"nqn": nqn, "listen_address": address.listen()});
            match server.call("nvmf_subsystem_add_listener", listen) {
                Ok(_) => return Ok(Self { nqn, address }),
                Err(error) if attempt == PORT_ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Exports a bdev over vfio-user, through a socket in a directory of the rig.
    ///
    /// # Errors
    /// The target refuses, for instance because its SPDK lacks the transport.
    pub fn vfio_user(rig: &Rig, server: &Server, bdev: &str) -> Result<Self, TargetError> {
        create_transport(server, "VFIOUSER")?;
        let nqn = create_subsystem(server, bdev)?;
        let dir = rig.path("vfio-user");
        std::fs::create_dir(&dir).map_err(io("creating", &dir))?;
        let address = Address::VfioUser { dir };
        let listen = json!({"nqn": nqn, "listen_address": address.listen()});
        server.call("nvmf_subsystem_add_listener", listen)?;
        Ok(Self { nqn, address })
    }

    /// Where an initiator of this crate finds it; none over vfio-user.
    #[must_use]
    pub fn tcp_address(&self) -> Option<nvme_tcp::Address> {
        let Address::Tcp { port } = self.address else {
            return None;
        };
        Some(nvme_tcp::Address { socket: (Ipv4Addr::LOCALHOST, port).into(), nqn: self.nqn.clone() })
    }

    /// A configuration that attaches the namespace as bdev `NAMEn1`, for a program that acts as initiator.
    #[must_use]
    pub fn initiator_config(&self, name: &str) -> Value {
        let mut params = json!({"name": name, "subnqn": self.nqn});
        if let (Some(params), Some(address)) = (params.as_object_mut(), self.address.attach().as_object()) {
            params.extend(address.clone());
        }
        bdev_config(&[("bdev_nvme_attach_controller", params)])
    }
}

impl Address {
    fn listen(&self) -> Value {
        match self {
            Self::Tcp { port } => {
                json!({"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": port.to_string()})
            }
            // With raw JSON-RPC this transport wants no address family.
            Self::VfioUser { dir } => {
                json!({"trtype": "VFIOUSER", "traddr": text(dir), "trsvcid": "0"})
            }
        }
    }

    fn attach(&self) -> Value {
        match self {
            Self::Tcp { .. } => self.listen(),
            Self::VfioUser { dir } => json!({"trtype": "VFIOUSER", "traddr": text(dir)}),
        }
    }
}

/// A configuration file's content that calls methods of the bdev subsystem.
#[must_use]
pub fn bdev_config(calls: &[(&str, Value)]) -> Value {
    let calls: Vec<_> = calls.iter().map(|(method, params)| json!({"method": method, "params": params})).collect();
    json!({"subsystems": [{"subsystem": "bdev", "config": calls}]})
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn create_transport(server: &Server, kind: &str) -> Result<(), TargetError> {
    let transports = server.call("nvmf_get_transports", Value::Null)?;
    let exists = transports.as_array().is_some_and(|list| list.iter().any(|transport| transport["trtype"] == kind));
    if !exists {
        server.call("nvmf_create_transport", json!({"trtype": kind}))?;
    }
    Ok(())
}

fn create_subsystem(server: &Server, bdev: &str) -> Result<String, TargetError> {
    let nqn = format!("nqn.2024-01.io.spdk:dedupe:{}", bdev.to_lowercase());
    let subsystem = json!({"nqn": nqn, "allow_any_host": true, "serial_number": "DEDUPE", "max_namespaces": 1});
    server.call("nvmf_create_subsystem", subsystem)?;
    let namespace = json!({"nqn": nqn, "namespace": {"bdev_name": bdev}});
    server.call("nvmf_subsystem_add_ns", namespace)?;
    Ok(nqn)
}

fn free_port() -> Result<u16, TargetError> {
    let loopback = Path::new("127.0.0.1");
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(io("listening on", loopback))?;
    let address = listener.local_addr().map_err(io("listening on", loopback))?;
    Ok(address.port())
}

impl std::fmt::Display for Export {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp { port } => write!(formatter, "{} on 127.0.0.1:{port}", self.nqn),
            Address::VfioUser { dir } => write!(formatter, "{} in {}", self.nqn, dir.display()),
        }
    }
}
