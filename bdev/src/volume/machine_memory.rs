// SPDX-License-Identifier: BSD-3-Clause

//! Free memory of the machine, so that a volume too large for it is refused instead of killing the process.

/// The machine's memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub total: u64,
    /// Usable without swapping, as estimated by the kernel.
    pub available: u64,
}

/// Reads /proc/meminfo. None if it cannot be read.
pub fn machine() -> Option<Machine> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse(meminfo: &str) -> Option<Machine> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Machine { total: field("MemTotal")?, available: field("MemAvailable")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let text = "MemTotal:       24094600 kB\nMemFree:        1 kB\nMemAvailable:   23008000 kB\n";
        assert_eq!(parse(text), Some(Machine { total: 24_094_600 * 1024, available: 23_008_000 * 1024 }));
        assert_eq!(parse("MemTotal: x kB"), None);
        assert!(machine().is_some_and(|machine| machine.available <= machine.total));
    }
}
