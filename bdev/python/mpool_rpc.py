# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the media pool for SPDK's rpc.py; the plug-in dedupe_rpc brings them with its own.

Works with the rpc.py of SPDK 20.07 to 26.x. Made by `make rpc` of the table of methods in bdev/src/rpc: change that.
"""
import argparse
import json


def switch(text):
    """What is `true` or `false` in JSON."""
    if text not in ("on", "off"):
        raise argparse.ArgumentTypeError("on or off is allowed, not '%s'" % text)
    return text == "on"


def option(*names, **settings):
    return names, settings


def add_commands(subparsers, methods):
    for method, help, options in methods:
        def run(args, method=method, options=options):
            params = {name: getattr(args, name) for name in map(_destination, options)}
            # An argument that is not given is not sent, so the module's own defaults apply.
            _show(method, args.client.call(method, {name: given for name, given in params.items() if given is not None}))

        parser = subparsers.add_parser(method, help=help, description=help)
        for names, settings in options:
            parser.add_argument(*names, **settings)
        parser.set_defaults(func=run)


def _destination(option):
    return option[0][-1].lstrip("-").replace("-", "_")


def _show(method, answer):
    # As SPDK's own, commands for bdevs are silent when there is nothing to tell but that it is done.
    if answer is True and method.startswith("bdev_"):
        return
    print(answer if isinstance(answer, str) else json.dumps(answer, indent=2))


SETTINGS = [
    option("--uid", type=int,
           help="User that the pool's objects belong to; recorded only (0 to 4294967294)"),
    option("--gid", type=int,
           help="Group that the pool's objects belong to; recorded only (0 to 4294967294)"),
    option("--mode",
           help="Permissions in octal, e.g. 0660; recorded only"),
    option("--label",
           help="Label: at most 63 characters out of A-Z a-z 0-9 _ . -; others become _ (default: raw)"),
    option("--type",
           help="UUID that says what the pool is used for"),
    option("--readahead-pages", type=int,
           help="Largest readahead of cache maps; 0 for none (0 to 32 pages; default: 32)"),
    option("--spare-percent-capacity", type=int,
           help="Zones of the CAPACITY class that are kept as spare (0 to 100 percent; default: 5)"),
    option("--spare-percent-staging", type=int,
           help="Zones of the STAGING class that are kept as spare (0 to 100 percent; default: 5)"),
    option("--chunk-kib", type=int,
           help="Largest piece of a transfer to a bdev, in KiB (128 to 1024; default: 128)"),
    option("--io-mib-max", type=int,
           help="Largest read or write of an object, in MiB (1 to 128; default: 32)"),
    option("--maps-max", type=int,
           help="Cache maps that there can be (1024 to 1073741824; default: 134217728)"),
    option("--cache-mib", type=int,
           help="Memory for pages of cache maps, in MiB, from the next activation on (1 to 4294967295; default: 64)"),
    option("--load-jobs", type=int,
           help="Metadata containers that an activation reads together (1 to 255; default: 8)"),
    option("--precompact-fill-percent", type=int,
           help="A metadata container filled so far, in percent, is compacted ahead of need (0 to 100; default: 70)"),
    option("--precompact-garbage-percent", type=int,
           help="It is compacted only if so much of it is garbage, in percent (0 to 100; default: 20)"),
    option("--precompact-period-seconds", type=int,
           help="Time between two looks at the metadata containers, in seconds (1 to 3600; default: 5)"),
    option("--no-alloc-mdcs", type=int,
           help="Metadata containers after the next one to be compacted that get no new objects; 0 disables compaction ahead of need (0 to 255; default: 2)"),
    option("--grow-fill-percent", type=int,
           help="Metadata containers are added when those that exist are fuller than that, in percent (0 to 100; default: 50)"),
    option("--grow-garbage-percent", type=int,
           help="They are added only if less of them is garbage, in percent (0 to 100; default: 20)"),
    option("--mdc-set", type=int,
           help="The number of metadata containers grows to a multiple of this (1 to 255; default: 16)"),
    option("--compaction-attempts", type=int,
           help="Attempts to compact a metadata container before it fails (1 to 4294967295; default: 5)"),
    option("--usage-log-period-ms", type=int,
           help="Time between two looks at the free space, in ms; it is logged when it becomes scarce (1 to 4294967295; default: 60000)"),
    option("--reap-mempct", type=int,
           help="Share of the cache's memory, in percent, from which on it is reaped (5 to 100; default: 90)"),
    option("--reap-ttl-us", type=int,
           help="Time for which what is not used stays in the cache, in us (from 100; default: 10000000)"),
    option("--reap-debug", type=int,
           help="What the reaper logs at level debug: nothing, pressure, ticks, objects (0 to 3; default: 0)"),
]

METHODS = [
    ("mpool_create", "Format one or two bdevs as a media pool and activate it",
     [
        option("name",
               help="Name of the pool: 1 to 255 characters out of A-Z a-z 0-9 _ . -; others become _"),
        option("-c", "--capacity-bdev", required=True,
               help="Bdev for the CAPACITY class: 512 or 4096-byte blocks without metadata; it is claimed"),
        option("-s", "--staging-bdev",
               help="Bdev for the STAGING class, which can also be added later"),
        option("-z", "--zone-size-mib", type=int,
               help="Unit of space management (a power of two from 1 to 64 MiB; default: 32, less on bdevs below 8 GiB)"),
        option("--mdc-count", type=int,
               help="Metadata containers for objects (1 to 255; default: 16)"),
        option("--mdc0-capacity-mib", type=int,
               help="Capacity of each log of MDC0 (1 to 65536 MiB; default: by the zone size)"),
        option("--mdcn-capacity-mib", type=int,
               help="Capacity of each log of the other metadata containers (1 to 65536 MiB; default: by the zone size)"),
        option("--unless-exists", action="store_true", default=None,
               help="A pool of this name on these bdevs is all that is asked for"),
        option("-f", "--force", action="store_true", default=None,
               help="Overwrite what is on the bdevs: a pool, a file system, a partition table"),
    ] + SETTINGS),
    ("mpool_activate", "Activate a media pool and load its volumes, as examine does when a bdev appears",
     [
        option("name",
               help="Name or UUID of the pool"),
        option("-c", "--capacity-bdev",
               help="Bdev with the pool's CAPACITY drive (default: looked for on all bdevs)"),
        option("-s", "--staging-bdev",
               help="Bdev with the pool's STAGING drive (default: looked for on all bdevs)"),
        option("-f", "--force", action="store_true", default=None,
               help="Activate without a drive that is missing, or on a bdev that differs from what is recorded"),
        option("-m", "--permit-meta-conv", action="store_true", default=None,
               help="Rewrite metadata of an older version"),
        option("-r", "--resize", action="store_true", default=None,
               help="Use what a bdev has grown by; needs permit_meta_conv, too"),
    ] + SETTINGS),
    ("mpool_deactivate", "Deactivate a media pool that nobody uses; its bdevs are free then",
     [
        option("name",
               help="Name or UUID of the pool"),
    ]),
    ("mpool_destroy", "Destroy a media pool, deactivating it first; all of its objects are lost",
     [
        option("name",
               help="Name or UUID of the pool"),
        option("-c", "--capacity-bdev",
               help="Bdev with the pool's CAPACITY drive (default: looked for on all bdevs)"),
        option("-s", "--staging-bdev",
               help="Bdev with the pool's STAGING drive (default: looked for on all bdevs)"),
        option("-f", "--force", action="store_true", default=None,
               help="Even if a bdev differs from what is recorded"),
    ]),
    ("mpool_rename", "Give a media pool that is not active another name",
     [
        option("name",
               help="Name or UUID of the pool"),
        option("new_name",
               help="Its name from now on"),
        option("-c", "--capacity-bdev",
               help="Bdev with the pool's CAPACITY drive (default: looked for on all bdevs)"),
        option("-s", "--staging-bdev",
               help="Bdev with the pool's STAGING drive (default: looked for on all bdevs)"),
    ]),
    ("mpool_import", "Make a media pool of its own of a copy of one: give pool, drives and volumes new UUIDs, activate it and load its volumes",
     [
        option("-c", "--capacity-bdev", required=True,
               help="Bdev with the copy of the CAPACITY drive"),
        option("-s", "--staging-bdev",
               help="Bdev with the copy of the STAGING drive, if the pool has one"),
        option("-n", "--new-name",
               help="Its name from now on (default: as before)"),
        option("-f", "--force", action="store_true", default=None,
               help="Even if not enough copies of its superblock are left to know that it is the newest"),
    ]),
    ("mpool_drive_add", "Add a STAGING drive to an active media pool",
     [
        option("name",
               help="Name or UUID of the pool"),
        option("-s", "--staging-bdev", required=True,
               help="Bdev for the STAGING class; it is claimed"),
        option("-z", "--zone-size-mib", type=int,
               help="Unit of its space management (a power of two from 1 to 64 MiB; default: 32, less on bdevs below 8 GiB)"),
        option("-f", "--force", action="store_true", default=None,
               help="Overwrite what is on the bdev"),
    ]),
    ("mpool_set_params", "Change settings of an active media pool; they are kept on its media",
     [
        option("name",
               help="Name or UUID of the pool"),
    ] + SETTINGS),
    ("mpool_get_params", "Show the parameters of an active media pool",
     [
        option("name",
               help="Name or UUID of the pool"),
    ]),
    ("mpool_get_usage", "Show how full an active media pool is, and of what: in total and by media class",
     [
        option("name",
               help="Name or UUID of the pool"),
    ]),
    ("mpool_get_props", "Show an active media pool with its media classes and drives, and their state",
     [
        option("name",
               help="Name or UUID of the pool"),
    ]),
    ("mpool_get_iostat", "Show what was read, written, flushed and discarded by an active media pool and its volumes, or by all: in total and by media class",
     [
        option("-n", "--name",
               help="Name or UUID of the pool (default: all)"),
    ]),
    ("mpool_list", "List the active media pools",
     []),
    ("mpool_scan", "Look for media pools on all bdevs, active or not, without activating any",
     []),
]


def spdk_rpc_plugin_initialize(subparsers):
    add_commands(subparsers, METHODS)
