# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the dedupe bdev, and of the media pools that it lives in, for SPDK's rpc.py.

    PYTHONPATH=/path/to/this/directory scripts/rpc.py --plugin dedupe_rpc bdev_dedupe_create -b Nvme0n1 -n Dedupe0

Works with the rpc.py of SPDK 20.07 to 26.x. An argument that is not given is not sent, so the module's own defaults apply.
"""
import json

import mpool_rpc


def _given(**params):
    return {name: value for name, value in params.items() if value is not None}


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
                    index_memory_mib=args.index_memory_mib))

    p = subparsers.add_parser("bdev_dedupe_create",
                              help="Create a deduplicating bdev in a media pool, or on another bdev, which becomes a pool; prints its name")
    p.add_argument("-b", "--base-bdev-name",
                   help="bdev that stores the data, in a media pool that is made for the new bdev: 512 or 4096-byte blocks without metadata; it is claimed")
    p.add_argument("-p", "--pool-name", help="active media pool that stores the data, instead of a bdev")
    p.add_argument("-n", "--name", required=True, help="name of the new bdev")
    p.add_argument("-u", "--uuid", help="UUID of the new bdev (default: a random one)")
    p.add_argument("-m", "--cpumask",
                   help='cores to run on, one shard each: "0x3" or "[0,2-5]" (default: all cores of the application)')
    p.add_argument("-s", "--block-size", type=int,
                   help="block size that the new bdev shows: 512 or 4096 (default: 4096)")
    p.add_argument("-l", "--logical-size-mib", type=int,
                   help="size that the new bdev shows, in MiB; may exceed that of the base (default: the room for data, less some spare)")
    p.add_argument("-S", "--slab-size-mib", type=int,
                   help="unit of space management in MiB, a power of two from 8 to 32768, at least the pool's zone size (default: by the free space)")
    p.add_argument("-P", "--physical-size-mib", type=int,
                   help="room for data in MiB (default: the free space of the pool, less some for metadata)")
    p.add_argument("-i", "--index-memory-mib", type=int,
                   help="memory for the deduplication index in MiB (default: room for every block)")
    p.set_defaults(func=bdev_dedupe_create)

    def bdev_dedupe_delete(args):
        _call(args, "bdev_dedupe_delete", name=args.name)

    p = subparsers.add_parser("bdev_dedupe_delete",
                              help="Delete a deduplicating bdev with its content, and its pool if that was made for it; returns when it is gone")
    p.add_argument("name", help="name of the dedupe bdev")
    p.set_defaults(func=bdev_dedupe_delete)

    def bdev_dedupe_get_stats(args):
        print(json.dumps(_call(args, "bdev_dedupe_get_stats", name=args.name), indent=2))

    p = subparsers.add_parser("bdev_dedupe_get_stats",
                              help="Show the counters of one deduplicating bdev, or of all: in total and by shard")
    p.add_argument("-n", "--name", help="name of the dedupe bdev (default: all)")
    p.set_defaults(func=bdev_dedupe_get_stats)

    def bdev_dedupe_set_index_memory(args):
        _call(args, "bdev_dedupe_set_index_memory", name=args.name, index_memory_mib=args.index_memory_mib)

    p = subparsers.add_parser("bdev_dedupe_set_index_memory",
                              help="Change the size of a deduplicating bdev's index while it is in use")
    p.add_argument("name", help="name of the dedupe bdev")
    p.add_argument("index_memory_mib", type=int, help="memory for the index in MiB")
    p.set_defaults(func=bdev_dedupe_set_index_memory)
