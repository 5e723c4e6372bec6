// SPDX-License-Identifier: BSD-3-Clause

//! The pool: parameters, containers, root MDC and volumes, space maps, objects.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::table::Table;
use crate::metadata::{ContainerReport, PoolReport};
use crate::pair::PairReport;
use crate::shown;
use crate::space::{SpaceReport, Use};
use crate::volume::VolumeReport;
use crate::volumes::RootReport;

/// Most runs of a space map that are printed; `--json` has all.
const MOST_RUNS: usize = 200;

/// Most ids of each kind of a volume's objects that are printed; `--json` has all.
const MOST_IDS: usize = 8;

/// Prints the pool.
pub(super) fn pool(out: &mut impl Write, pool: &PoolReport) -> io::Result<()> {
    writeln!(out, "\nPOOL '{}' {}", pool.name, pool.uuid)?;
    properties(out, pool)?;
    containers(out, &pool.containers)?;
    root(out, &pool.root)?;
    for space in &pool.space {
        space_map(out, space)?;
    }
    objects(out, pool)
}

fn properties(out: &mut impl Write, pool: &PoolReport) -> io::Result<()> {
    for drive in &pool.recorded_drives {
        let spare = drive.spare_percent.map_or("default spare".to_owned(), |percent| format!("{percent} % spare"));
        let given = if drive.given { "" } else { ", NOT GIVEN" };
        let zones = format!("{} zones of {}", drive.zones, shown::bytes(drive.zone_bytes));
        writeln!(out, "  {:8} drive {}: {zones}, {} B in all, {spare}{given}", drive.class, drive.uuid, drive.bytes)?;
    }
    let Some(parameters) = &pool.parameters else { return writeln!(out, "  no parameters are recorded") };
    let owner = format!("uid {}, gid {}, mode {:o}", parameters.uid, parameters.gid, parameters.mode);
    writeln!(out, "  {owner}, label '{}', type {}", parameters.label, parameters.user_type)?;
    let root =
        format!("root logs {} of {}", parameters.root_logs.join(" and "), shown::bytes(parameters.root_log_bytes));
    let map = format!("maps of 2^{} B", parameters.map_bytes_shift);
    writeln!(out, "  readahead {} pages, {map}, {root}", parameters.readahead_pages)
}

fn containers(out: &mut impl Write, containers: &[ContainerReport]) -> io::Result<()> {
    writeln!(out, "\nMETADATA CONTAINERS (* the log in use)")?;
    let mut table =
        Table::new(["", "log", "generation", "zones", "fill", "state", "version", "objects", "checkpoint", "records"]);
    for container in containers {
        let name = format!("MDC{}", container.slot);
        let Some(pair) = &container.mdc else {
            let mut cells: [String; 10] = Default::default();
            (cells[0], cells[5]) = (name, "not readable".to_owned());
            table.row(cells);
            continue;
        };
        for side in 0..2 {
            let [log, generation, zones, fill, state] = log_cells(pair, side);
            let shown = pair.shown == Some(side);
            let only = |text: String| if shown { text } else { String::new() };
            table.row([
                if side == 0 { name.clone() } else { String::new() },
                log,
                generation,
                zones,
                fill,
                state,
                only(container.content_version.clone()),
                only(container.objects.to_string()),
                only(container.checkpoint.to_string()),
                only(counts(&container.records)),
            ]);
        }
    }
    table.print(out)?;
    for container in containers {
        if let Some(pair) = &container.mdc {
            let side = pair.active.map_or("neither log is in use".to_owned(), |side| format!("log {side} is in use"));
            writeln!(out, "  MDC{}: {side}: {}", container.slot, pair.why)?;
        }
    }
    Ok(())
}

/// Log, generation, zones, fill and state of one log of a pair.
fn log_cells(pair: &PairReport, side: usize) -> [String; 5] {
    let log = &pair.logs[side];
    let mark = if pair.active == Some(side) { "*" } else { "" };
    let percent = (u128::from(log.used_blocks) * 100).checked_div(log.blocks.into()).unwrap_or(0);
    let zones = shown::zones(mpool::Extent { first: log.first_zone, zones: log.zones });
    [
        format!("{}{mark}", shown::id(log.id)),
        log.generation.to_string(),
        zones,
        format!("{percent} % ({} of {} blocks)", log.used_blocks, log.blocks),
        log.state.to_owned(),
    ]
}

fn counts(records: &BTreeMap<&'static str, u64>) -> String {
    records.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn root(out: &mut impl Write, root: &RootReport) -> io::Result<()> {
    writeln!(out, "\nROOT MDC")?;
    match &root.mdc {
        Some(pair) => pair_lines(out, pair)?,
        None => writeln!(out, "  cannot be read")?,
    }
    let (catalog, others, bytes) = (root.catalog_records, root.other_records, shown::bytes(root.record_bytes));
    writeln!(out, "  {catalog} records of volumes, {others} of others, {bytes} in all")?;
    for volume in &root.volumes {
        writeln!(out, "  volume '{}' {}", shown::text(&volume.name), volume.uuid)?;
        volume_lines(out, volume)?;
        if let Some(pair) = &volume.mdc {
            pair_lines(out, pair)?;
        }
    }
    Ok(())
}

fn volume_lines(out: &mut impl Write, volume: &VolumeReport) -> io::Result<()> {
    if !volume.whole {
        writeln!(out, "    NOT WHOLE: its creation or deletion was cut short")?;
    }
    let blocks = |blocks: u64| shown::bytes(blocks.saturating_mul(engine::BLOCK_SIZE as u64));
    let (slabs, areas, segments) = (volume.slabs.len(), volume.areas.len(), volume.segments.len());
    if let Some(config) = &volume.config {
        let sizes = format!("{slabs} slabs of {} zones ({})", config.slab_zones, blocks(config.slab_blocks));
        writeln!(out, "    {sizes}, logical size {}, nonce {}", blocks(config.logical_blocks), config.nonce)?;
        let index = format!("index {} MiB, its history {} MiB", config.index_mib, config.history_mib);
        let caches = format!("{index}, map cache {} MiB", config.map_cache_mib);
        let exposed = format!("blocks of {} B, cores '{}'", config.block_size, shown::text(&config.core_mask));
        writeln!(out, "    {exposed}, {caches}, journals of {} MiB", config.journal_mib)?;
        let switches = [("compression", config.compression), ("deduplication", config.deduplication)];
        let [compression, deduplication] = switches.map(|(what, on)| format!("{what} {}", shown::on(on)));
        let (chapters, images) = (volume.chapters.len(), volume.images.len());
        writeln!(out, "    {compression}, {deduplication}, {chapters} chapters and {images} images of the index")?;
        let roots = volume.roots.as_deref().unwrap_or("none");
        let packed = format!("{areas} objects of {} slab areas", config.areas_per_object);
        writeln!(out, "    on {}: {packed}, roots {roots}, {segments} journal segments", config.metadata_class)?;
    }
    if let Some(state) = &volume.state {
        let reason = if state.reason.is_empty() { String::new() } else { format!(" ({})", shown::text(&state.reason)) };
        let load = format!("generation {} of {} shards", state.generation, state.shards);
        let used = format!("{} logical blocks in use, {} map pages", state.logical_blocks_used, state.map_pages);
        let past = format!("{} recoveries, {} rebuilds", state.complete_recoveries, state.read_only_recoveries);
        writeln!(out, "    state {}{reason}, {load}, {used}, {past}", state.state)?;
    }
    id_line(out, "journal segments", &volume.segments)?;
    id_line(out, "left of a step that was cut short:", &volume.uncounted)?;
    writeln!(out, "    logs {}", volume.logs.join(" and "))
}

fn id_line(out: &mut impl Write, what: &str, ids: &[String]) -> io::Result<()> {
    let (first, more) = ids.split_at(ids.len().min(MOST_IDS));
    match more.len() {
        _ if ids.is_empty() => Ok(()),
        0 => writeln!(out, "    {what} {}", first.join(" ")),
        more => writeln!(out, "    {what} {} and {more} more: see --json", first.join(" ")),
    }
}

fn pair_lines(out: &mut impl Write, pair: &PairReport) -> io::Result<()> {
    for side in 0..2 {
        let [log, generation, zones, fill, state] = log_cells(pair, side);
        writeln!(out, "    log {log} generation {generation}, zones {zones}, {fill}, {state}")?;
    }
    let side = pair.active.map_or("neither log is in use".to_owned(), |side| format!("log {side} is in use"));
    writeln!(out, "    {side}: {}", pair.why)
}

fn space_map(out: &mut impl Write, space: &SpaceReport) -> io::Result<()> {
    let spare = space.spare_percent.map_or("default".to_owned(), |percent| format!("{percent} %"));
    let zone = shown::bytes(space.zone_bytes);
    writeln!(out, "\nSPACE OF {} ({} zones of {zone}, {spare} spare)", space.class, space.zones)?;
    let mut table = Table::new(["use", "zones", "bytes", "share"]);
    for (used_by, zones) in &space.used_zones {
        let percent = (u128::from(*zones) * 100).checked_div(space.zones.into()).unwrap_or(0);
        let bytes = shown::bytes(zones.saturating_mul(space.zone_bytes));
        table.row([used_by.name().to_owned(), zones.to_string(), bytes, format!("{percent} %")]);
    }
    table.print(out)?;
    writeln!(out)?;
    let mut table = Table::new(["region", "first zone", "zones", "free", "largest free piece", "used by"]);
    for (number, region) in space.regions.iter().enumerate() {
        let used = region.used_zones.iter().filter(|(used_by, _)| **used_by != Use::Free);
        let used: Vec<_> = used.map(|(used_by, zones)| format!("{} {zones}", used_by.name())).collect();
        table.row([
            number.to_string(),
            region.first_zone.to_string(),
            region.zones.to_string(),
            region.free_zones.to_string(),
            region.largest_free_zones.to_string(),
            used.join(", "),
        ]);
    }
    table.print(out)?;
    writeln!(out)?;
    let mut table = Table::new(["zones", "count", "use", "objects"]);
    for run in space.runs.iter().take(MOST_RUNS) {
        let zones = shown::zones(mpool::Extent { first: run.first_zone, zones: run.zones });
        table.row([zones, run.zones.to_string(), run.used_by.name().to_owned(), run.objects.to_string()]);
    }
    table.print(out)?;
    match space.runs.len().saturating_sub(MOST_RUNS) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more runs: see --json"),
    }
}

fn objects(out: &mut impl Write, pool: &PoolReport) -> io::Result<()> {
    writeln!(out, "\nOBJECTS ({})", pool.objects.len())?;
    let mut table = Table::new(["id", "kind", "MDC", "class", "zones", "capacity", "written", "generation", "uuid"]);
    for object in &pool.objects {
        let zones = shown::zones(mpool::Extent { first: object.first_zone, zones: object.zones });
        let is_log = object.uuid.is_some();
        table.row([
            shown::id(object.id),
            object.kind.to_owned(),
            object.slot.to_string(),
            object.class.to_owned(),
            zones,
            object.capacity_bytes.map_or("-".to_owned(), shown::bytes),
            if object.kind == "mblock" { shown::bytes(object.written_bytes) } else { "-".to_owned() },
            if is_log { object.generation.to_string() } else { "-".to_owned() },
            object.uuid.map_or(String::new(), |uuid| uuid.to_string()),
        ]);
    }
    table.print(out)
}
