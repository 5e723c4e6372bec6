# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the dedupe bdev, and of the media pools that it lives in, for SPDK's rpc.py.

    PYTHONPATH=/path/to/this/directory scripts/rpc.py --plugin dedupe_rpc bdev_dedupe_create -b Nvme0n1 -n Dedupe0

Works with the rpc.py of SPDK 20.07 to 26.x. Made by `make rpc` of the table of methods in bdev/src/rpc: change that.
"""
import mpool_rpc
from mpool_rpc import option, switch

METHODS = [
    ("bdev_dedupe_create", "Create a deduplicating bdev in a media pool, or on another bdev, which becomes a pool",
     [
        option("-n", "--name", required=True,
               help="Name of the new bdev"),
        option("-b", "--base-bdev-name",
               help="Bdev that stores the data, in a media pool that is made for the new bdev: 512 or 4096-byte blocks without metadata; it is claimed. This or pool_name is needed"),
        option("-p", "--pool-name",
               help="Active media pool that stores the data. This or base_bdev_name is needed"),
        option("-u", "--uuid",
               help="UUID of the new bdev (default: a random one)"),
        option("-m", "--cpumask",
               help="Cores to run on, one shard each, 32 at most: \"0x3\" or \"[0,2-5]\" (default: all cores of the application)"),
        option("-s", "--block-size", type=int,
               help="Block size that the new bdev shows; with 512, what is not aligned to 4096 is read, changed and written (512 or 4096; default: 4096)"),
        option("-l", "--logical-size-mib", type=int,
               help="Size that the new bdev shows; may exceed that of the base (1 to 4294967296 MiB; default: the room for data, less a little spare)"),
        option("-S", "--slab-size-mib", type=int,
               help="Unit of space management, at least the pool's zone size (a power of two from 8 to 32768 MiB; default: by the free space)"),
        option("-P", "--physical-size-mib", type=int,
               help="Room for data (8 to 268435456 MiB; default: what is free in the pool, less the volume's metadata and 1/32 of the pool)"),
        option("-i", "--index-memory-mib", type=int,
               help="Memory for the deduplication index (1 to 1048576 MiB; default: room for every block; in large volumes less, and a quarter of the free memory at most)"),
        option("-j", "--journal-size-mib", type=int,
               help="Recovery journal of each core, which bounds the time of a recovery (1 to 65536 MiB; default: 32, less in pools below 512 MiB a core)"),
        option("-H", "--index-history-mib", type=int,
               help="History of the index in the pool, its level 2; 0 for none (0 to 1048576 MiB; default: four times the index, 1/64 of the free space at most)"),
        option("-C", "--block-map-cache-mib", type=int,
               help="Memory for the cache of the block map; it takes at least 8.5 MiB a core (1 to 1048576 MiB; default: 128)"),
        option("--compression", type=switch, metavar="{on,off}",
               help="Compress what is stored (on or off; default: off)"),
        option("--deduplication", type=switch, metavar="{on,off}",
               help="Look for duplicates of what is stored (on or off; default: on)"),
        option("--unless-exists", action="store_true", default=None,
               help="A bdev of this name in this place is all that is asked for"),
        option("-f", "--force", action="store_true", default=None,
               help="Take the base bdev even if something is on it: a pool, a file system, a partition table"),
        option("--reserve-percent", type=int,
               help="Room for data that is kept until bdev_dedupe_set_reserve releases it (0 to 50 percent; default: 1)"),
    ]),
    ("bdev_dedupe_delete", "Delete a deduplicating bdev with its content, loaded or not, and its pool if that was made for it; returns when it is gone",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("-f", "--force", action="store_true", default=None,
               help="Even if somebody has it open or claimed"),
    ]),
    ("bdev_dedupe_get_stats", "Show the counters of one deduplicating bdev, or of all: in total and by shard",
     [
        option("-n", "--name",
               help="Name, UUID or alias of the dedupe bdev (default: all)"),
    ]),
    ("bdev_dedupe_dump", "Show what a deduplicating bdev holds now, and who waits for what, by shard",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("-m", "--max-entries", type=int,
               help="Entries of each list (0 to 256; default: 32)"),
        option("-s", "--first-slab", type=int,
               help="Show the slabs from this number on (default: those at which something goes on)"),
    ]),
    ("bdev_dedupe_load", "Bring a deduplicating bdev that was unloaded back into service",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("-p", "--pool-name",
               help="Media pool that has it (default: the active one that does)"),
        option("-m", "--cpumask",
               help="Cores to run on from now on, which is kept: \"0x3\" or \"[0,2-5]\" (default: as before)"),
    ]),
    ("bdev_dedupe_unload", "Save a deduplicating bdev and take it out of service; its content stays in its pool",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
    ("bdev_dedupe_rename", "Give a deduplicating bdev that is not loaded another name",
     [
        option("name",
               help="Name or UUID of the dedupe bdev, or POOL/NAME"),
        option("new_name",
               help="Its name from now on"),
    ]),
    ("bdev_dedupe_suspend", "Let the requests to a deduplicating bdev wait until it is resumed, and save its metadata",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
    ("bdev_dedupe_resume", "End the suspension of a deduplicating bdev",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
    ("bdev_dedupe_grow_logical", "Make the size that a deduplicating bdev shows larger while it is in use",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("logical_size_mib", type=int,
               help="Its new size (1 to 4294967296 MiB)"),
    ]),
    ("bdev_dedupe_grow_physical", "Give a deduplicating bdev more room for data while it is in use",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("-P", "--physical-size-mib", type=int,
               help="Its new room for data (8 to 268435456 MiB; default: what its pool has)"),
    ]),
    ("bdev_dedupe_set_index", "Create, close, disable or enable a deduplicating bdev's index while it is in use",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("action", choices=["create", "close", "disable", "enable"],
               help="create: a new, empty one; close: none, until it is opened again; disable: no look-ups; enable: look-ups, and it is opened"),
    ]),
    ("bdev_dedupe_set_index_memory", "Change the size of a deduplicating bdev's index while it is in use",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("index_memory_mib", type=int,
               help="Memory for the index (1 to 1048576 MiB)"),
    ]),
    ("bdev_dedupe_set_compression", "Turn compression of a deduplicating bdev on or off while it is in use, which is kept",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("enabled", type=switch,
               help="Whether what is written from now on is compressed (on or off)"),
    ]),
    ("bdev_dedupe_set_reserve", "Change how much room for data of a deduplicating bdev is kept while it is full; 0 releases it",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("percent", type=int,
               help="Share of the room for data (0 to 50 percent)"),
    ]),
    ("bdev_dedupe_set_block_map_cache", "Change the size of the cache of a deduplicating bdev's block map while it is in use",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
        option("block_map_cache_mib", type=int,
               help="Memory for the cache (1 to 1048576 MiB)"),
    ]),
    ("bdev_dedupe_set_read_only", "End writing to a deduplicating bdev; only bdev_dedupe_rebuild undoes that",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
    ("bdev_dedupe_check", "Recount the references of a deduplicating bdev, loaded or not, and show what is wrong",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
    ("bdev_dedupe_rebuild", "Make a read-only or damaged deduplicating bdev usable again, load it, and show what was lost",
     [
        option("name",
               help="Name, UUID or alias of the dedupe bdev"),
    ]),
]


def spdk_rpc_plugin_initialize(subparsers):
    mpool_rpc.spdk_rpc_plugin_initialize(subparsers)
    mpool_rpc.add_commands(subparsers, METHODS)
