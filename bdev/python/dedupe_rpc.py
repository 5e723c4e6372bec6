# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the dedupe bdev, and of the media pools that it lives in, for SPDK's rpc.py.

    PYTHONPATH=/path/to/this/directory scripts/rpc.py --plugin dedupe_rpc bdev_dedupe_create -b Nvme0n1 -n Dedupe0

Works with the rpc.py of SPDK 20.07 to 26.x. An argument that is not given is not sent, so the module's own
defaults apply.
"""
import json

import mpool_rpc


def _given(**params):
    return {name: value for name, value in params.items() if value is not None}


def _switch(given):
    return None if given is None else given == "on"


def _call(args, method, **params):
    return args.client.call(method, _given(**params))


def spdk_rpc_plugin_initialize(subparsers):
    mpool_rpc.add_commands(subparsers)

    def bdev_dedupe_create(args):
        print(_call(args, "bdev_dedupe_create",
                    base_bdev_name=args.base_bdev_name,
                    pool_name=args.pool_name,
                    name=args.name,
                    uuid=args.uuid,
                    cpumask=args.cpumask,
                    block_size=args.block_size,
                    logical_size_mib=args.logical_size_mib,
                    slab_size_mib=args.slab_size_mib,
                    physical_size_mib=args.physical_size_mib,
                    index_memory_mib=args.index_memory_mib,
                    block_map_cache_mib=args.block_map_cache_mib,
                    journal_size_mib=args.journal_size_mib,
                    index_history_mib=args.index_history_mib,
                    compression=_switch(args.compression),
                    deduplication=_switch(args.deduplication),
                    reserve_percent=args.reserve_percent,
                    unless_exists=args.unless_exists or None,
                    force=args.force or None))

    p = subparsers.add_parser("bdev_dedupe_create",
                              help="Create a deduplicating bdev in a media pool, or on another bdev, which becomes "
                                   "a pool; prints its name")
    p.add_argument("-b", "--base-bdev-name",
                   help="bdev that stores the data, in a media pool that is made for the new bdev: 512 or 4096-byte "
                        "blocks without metadata; it is claimed")
    p.add_argument("-p", "--pool-name", help="active media pool that stores the data, instead of a bdev")
    p.add_argument("-n", "--name", required=True, help="name of the new bdev")
    p.add_argument("-u", "--uuid", help="UUID of the new bdev (default: a random one)")
    p.add_argument("-m", "--cpumask",
                   help='cores to run on, one shard each: "0x3" or "[0,2-5]" (default: all cores of the application)')
    p.add_argument("-s", "--block-size", type=int,
                   help="block size that the new bdev shows: 512 or 4096 (default: 4096)")
    p.add_argument("-l", "--logical-size-mib", type=int,
                   help="size that the new bdev shows, in MiB; may exceed that of the base (default: the room for "
                        "data, less some spare)")
    p.add_argument("-S", "--slab-size-mib", type=int,
                   help="unit of space management in MiB, a power of two from 8 to 32768, at least the pool's zone "
                        "size (default: by the free space)")
    p.add_argument("-P", "--physical-size-mib", type=int,
                   help="room for data in MiB (default: the free space of the pool, less some for metadata)")
    p.add_argument("-i", "--index-memory-mib", type=int,
                   help="memory for the deduplication index in MiB (default: room for every block)")
    p.add_argument("-C", "--block-map-cache-mib", type=int,
                   help="memory for the cache of the block map in MiB (default: 128)")
    p.add_argument("-j", "--journal-size-mib", type=int,
                   help="recovery journal of each core in MiB (default: 32, or less in a small pool)")
    p.add_argument("-H", "--index-history-mib", type=int,
                   help="history of the index on media in MiB, 0 for none (default: four times the index, or less "
                        "in a small pool)")
    p.add_argument("--compression", choices=["on", "off"], help="compress what is stored (default: off)")
    p.add_argument("--deduplication", choices=["on", "off"], help="look for duplicates in the index (default: on)")
    p.add_argument("--unless-exists", action="store_true",
                   help="a bdev of this name in this place is all that is asked for")
    p.add_argument("-f", "--force", action="store_true",
                   help="take the base bdev even if something is on it: a pool, a file system, a partition table")
    p.add_argument("--reserve-percent", type=int,
                   help="room for data that is kept until bdev_dedupe_set_reserve releases it, in percent (default: 1)")
    p.set_defaults(func=bdev_dedupe_create)

    def bdev_dedupe_delete(args):
        _call(args, "bdev_dedupe_delete", name=args.name, force=args.force or None)

    p = subparsers.add_parser("bdev_dedupe_delete",
                              help="Delete a deduplicating bdev with its content, loaded or not, and its pool if "
                                   "that was made for it; returns when it is gone")
    p.add_argument("name", help="name, UUID or alias of the dedupe bdev")
    p.add_argument("-f", "--force", action="store_true", help="even if somebody has it open or claimed")
    p.set_defaults(func=bdev_dedupe_delete)

    def bdev_dedupe_get_stats(args):
        print(json.dumps(_call(args, "bdev_dedupe_get_stats", name=args.name), indent=2))

    p = subparsers.add_parser("bdev_dedupe_get_stats",
                              help="Show the counters of one deduplicating bdev, or of all: in total and by shard")
    p.add_argument("-n", "--name", help="name of the dedupe bdev (default: all)")
    p.set_defaults(func=bdev_dedupe_get_stats)

    def bdev_dedupe_dump(args):
        print(json.dumps(_call(args, "bdev_dedupe_dump", name=args.name, max_entries=args.max_entries,
                               first_slab=args.first_slab), indent=2))

    p = subparsers.add_parser("bdev_dedupe_dump",
                              help="Show what a deduplicating bdev holds now, and who waits for what, by shard: requests, "
                                   "hash locks, PBN locks, slabs, scrubber, journal")
    p.add_argument("name", help="name, UUID or alias of the dedupe bdev")
    p.add_argument("-m", "--max-entries", type=int, help="entries of each list, 0 to 256 (default: 32)")
    p.add_argument("-s", "--first-slab", type=int,
                   help="show the slabs from this number on (default: those at which something goes on)")
    p.set_defaults(func=bdev_dedupe_dump)

    def bdev_dedupe_set_index_memory(args):
        _call(args, "bdev_dedupe_set_index_memory", name=args.name, index_memory_mib=args.index_memory_mib)

    p = subparsers.add_parser("bdev_dedupe_set_index_memory",
                              help="Change the size of a deduplicating bdev's index while it is in use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("index_memory_mib", type=int, help="memory for the index in MiB")
    p.set_defaults(func=bdev_dedupe_set_index_memory)

    def bdev_dedupe_set_index(args):
        _call(args, "bdev_dedupe_set_index", name=args.name, action=args.action)

    p = subparsers.add_parser("bdev_dedupe_set_index",
                              help="Create, close, disable or enable a deduplicating bdev's index while it is in use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("action", choices=["create", "close", "disable", "enable"],
                   help="create: a new, empty one; close: none, until it is opened again; disable: no look-ups; "
                        "enable: look-ups")
    p.set_defaults(func=bdev_dedupe_set_index)

    def bdev_dedupe_set_compression(args):
        _call(args, "bdev_dedupe_set_compression", name=args.name, enabled=_switch(args.enabled))

    p = subparsers.add_parser("bdev_dedupe_set_compression",
                              help="Turn compression of a deduplicating bdev on or off while it is in use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("enabled", choices=["on", "off"], help="whether what is written from now on is compressed")
    p.set_defaults(func=bdev_dedupe_set_compression)

    def bdev_dedupe_set_reserve(args):
        _call(args, "bdev_dedupe_set_reserve", name=args.name, percent=args.percent)

    p = subparsers.add_parser("bdev_dedupe_set_reserve",
                              help="Change how much room for data of a deduplicating bdev is kept while it is full; "
                                   "0 releases it")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("percent", type=int, help="percent of the room for data")
    p.set_defaults(func=bdev_dedupe_set_reserve)

    def bdev_dedupe_load(args):
        print(_call(args, "bdev_dedupe_load", name=args.name, pool_name=args.pool_name, cpumask=args.cpumask))

    p = subparsers.add_parser("bdev_dedupe_load",
                              help="Bring a deduplicating bdev that was unloaded back into service; prints its name")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("-p", "--pool-name", help="media pool that has it (default: the active one that does)")
    p.add_argument("-m", "--cpumask", help='cores to run on from now on: "0x3" or "[0,2-5]" (default: as before)')
    p.set_defaults(func=bdev_dedupe_load)

    def bdev_dedupe_rename(args):
        _call(args, "bdev_dedupe_rename", name=args.name, new_name=args.new_name)

    p = subparsers.add_parser("bdev_dedupe_rename",
                              help="Give a deduplicating bdev that is not loaded another name")
    p.add_argument("name", help="name or UUID of the dedupe bdev, or POOL/NAME")
    p.add_argument("new_name", help="its name from now on")
    p.set_defaults(func=bdev_dedupe_rename)

    for method, text in [
            ("bdev_dedupe_unload",
             "Save a deduplicating bdev and take it out of service; its content stays in its pool"),
            ("bdev_dedupe_suspend",
             "Let the requests to a deduplicating bdev wait until it is resumed, and save its metadata"),
            ("bdev_dedupe_resume", "End the suspension of a deduplicating bdev"),
            ("bdev_dedupe_set_read_only", "End writing to a deduplicating bdev; only bdev_dedupe_rebuild undoes that")]:
        def of_one_name(args, method=method):
            _call(args, method, name=args.name)

        p = subparsers.add_parser(method, help=text)
        p.add_argument("name", help="name of the dedupe bdev")
        p.set_defaults(func=of_one_name)

    for method, text in [
            ("bdev_dedupe_check",
             "Recount the references of a deduplicating bdev, loaded or not, and show what is wrong"),
            ("bdev_dedupe_rebuild",
             "Make a read-only or damaged deduplicating bdev usable again, and show what was lost")]:
        def report_on_one_name(args, method=method):
            print(json.dumps(_call(args, method, name=args.name), indent=2))

        p = subparsers.add_parser(method, help=text)
        p.add_argument("name", help="name of the dedupe bdev")
        p.set_defaults(func=report_on_one_name)

    def bdev_dedupe_grow_logical(args):
        _call(args, "bdev_dedupe_grow_logical", name=args.name, logical_size_mib=args.logical_size_mib)

    p = subparsers.add_parser("bdev_dedupe_grow_logical",
                              help="Make the size that a deduplicating bdev shows larger while it is in use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("logical_size_mib", type=int, help="its new size in MiB")
    p.set_defaults(func=bdev_dedupe_grow_logical)

    def bdev_dedupe_grow_physical(args):
        print(_call(args, "bdev_dedupe_grow_physical", name=args.name, physical_size_mib=args.physical_size_mib))

    p = subparsers.add_parser("bdev_dedupe_grow_physical",
                              help="Give a deduplicating bdev more room for data while it is in use; prints its "
                                   "size in MiB")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("-P", "--physical-size-mib", type=int,
                   help="its new room for data in MiB (default: what its pool has)")
    p.set_defaults(func=bdev_dedupe_grow_physical)

    def bdev_dedupe_set_block_map_cache(args):
        _call(args, "bdev_dedupe_set_block_map_cache", name=args.name, block_map_cache_mib=args.block_map_cache_mib)

    p = subparsers.add_parser("bdev_dedupe_set_block_map_cache",
                              help="Change the size of the cache of a deduplicating bdev's block map while it is in "
                                   "use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("block_map_cache_mib", type=int, help="memory for the cache in MiB")
    p.set_defaults(func=bdev_dedupe_set_block_map_cache)
