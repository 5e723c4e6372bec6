# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the media pool for SPDK's rpc.py; the plugin dedupe_rpc adds them to its own.

Works with the rpc.py of SPDK 20.07 to 26.x. An argument that is not given is not sent, so the module's own
defaults apply.
"""
import json


def _call(args, method, **params):
    return args.client.call(method, {name: value for name, value in params.items() if value is not None})


def _show(answer):
    print(answer if isinstance(answer, str) else json.dumps(answer, indent=2))


def _flag(given):
    """A flag that is not given is not sent."""
    return True if given else None


SETTINGS = [
    ("--uid", dict(type=int, help="user that the pool's objects belong to (recorded only)")),
    ("--gid", dict(type=int, help="group that the pool's objects belong to (recorded only)")),
    ("--mode", dict(help="permissions in octal, e.g. 0660 (recorded only)")),
    ("--label", dict(help="label, at most 63 characters out of A-Z a-z 0-9 _ . -; others become _ (default: raw)")),
    ("--type", dict(help="UUID that says what the pool is used for")),
    ("--readahead-pages", dict(type=int, help="largest readahead of cache maps in pages, 0 to 32")),
    ("--spare-percent-capacity", dict(type=int, help="zones of the CAPACITY class that are kept as spare, in percent")),
    ("--spare-percent-staging", dict(type=int, help="zones of the STAGING class that are kept as spare, in percent")),
    ("--chunk-kib", dict(type=int, help="largest piece of a transfer to a bdev, 128 to 1024 (default: 128)")),
    ("--io-mib-max", dict(type=int, help="largest read or write of an object, 1 to 128 (default: 32)")),
    ("--maps-max", dict(type=int, help="cache maps that there can be, 1024 to 2^30 (default: 2^27)")),
    ("--cache-mib", dict(type=int, help="memory for pages of cache maps, from the next activation on (default: 64)")),
    ("--load-jobs", dict(type=int, help="metadata containers that an activation reads together, 1 to 255 (default: 8)")),
    ("--precompact-fill-percent",
     dict(type=int, help="a container so full is compacted ahead of need, 0 to 100 (default: 70)")),
    ("--precompact-garbage-percent", dict(type=int, help="if so much of it is garbage, 0 to 100 (default: 20)")),
    ("--precompact-period-seconds",
     dict(type=int, help="time between two looks at containers, 1 to 3600 (default: 5)")),
    ("--no-alloc-mdcs", dict(type=int, help="containers after the next one to be compacted that get no new objects, 0 "
                                            "to 255; 0 disables compaction ahead of need (default: 2)")),
    ("--grow-fill-percent",
     dict(type=int, help="containers are added when those that exist are fuller, 0 to 100 (default: 50)")),
    ("--grow-garbage-percent", dict(type=int, help="and less of them is garbage, 0 to 100 (default: 20)")),
    ("--mdc-set", dict(type=int, help="the number of containers grows to a multiple of this, 1 to 255 (default: 16)")),
    ("--compaction-attempts", dict(type=int, help="attempts to compact a container before it fails (default: 5)")),
    ("--usage-log-period-ms", dict(type=int, help="time between two looks at the free space (default: 60000)")),
    ("--reap-mempct", dict(type=int, help="share of the cache's memory from which on it is reaped, 5 to 100 (default: 90)")),
    ("--reap-ttl-us", dict(type=int, help="time for which what is not used stays in the cache, at least 100 (default: 10 s)")),
    ("--reap-debug", dict(type=int, help="what the reaper logs at level debug, 0 to 3 (default: 0)")),
]


def _add_settings(parser):
    for option, settings in SETTINGS:
        parser.add_argument(option, **settings)


def _settings(args):
    names = [option[2:].replace("-", "_") for option, _ in SETTINGS]
    return {name: getattr(args, name) for name in names}


def _add_bdevs(parser):
    parser.add_argument("-c", "--capacity-bdev",
                        help="bdev with the pool's CAPACITY drive (default: looked for on all bdevs)")
    parser.add_argument("-s", "--staging-bdev",
                        help="bdev with the pool's STAGING drive (default: looked for on all bdevs)")


def add_commands(subparsers):
    def mpool_create(args):
        _show(_call(args, "mpool_create",
                    name=args.name,
                    capacity_bdev=args.capacity_bdev,
                    staging_bdev=args.staging_bdev,
                    zone_size_mib=args.zone_size_mib,
                    mdc_count=args.mdc_count,
                    mdc0_capacity_mib=args.mdc0_capacity_mib,
                    mdcn_capacity_mib=args.mdcn_capacity_mib,
                    unless_exists=_flag(args.unless_exists),
                    force=_flag(args.force),
                    **_settings(args)))

    p = subparsers.add_parser("mpool_create",
                              help="Format a bdev as a media pool and activate it; prints the pool's parameters")
    p.add_argument("name", help="name of the pool: 1 to 255 characters out of A-Z a-z 0-9 _ . -; others become _")
    p.add_argument("-c", "--capacity-bdev", required=True,
                   help="bdev for the CAPACITY class: 512 or 4096-byte blocks without metadata; it is claimed")
    p.add_argument("-s", "--staging-bdev", help="bdev for the STAGING class, which can also be added later")
    p.add_argument("-z", "--zone-size-mib", type=int,
                   help="unit of space management: a power of two from 1 to 64 (default: 32, less on small bdevs)")
    p.add_argument("--mdc-count", type=int, help="metadata containers for objects, 1 to 255 (default: 16)")
    p.add_argument("--mdc0-capacity-mib", type=int, help="capacity of each log of MDC0 (default: by the zone size)")
    p.add_argument("--mdcn-capacity-mib", type=int,
                   help="capacity of each log of the other metadata containers (default: by the zone size)")
    p.add_argument("--unless-exists", action="store_true",
                   help="a pool of this name on these bdevs is all that is asked for")
    p.add_argument("-f", "--force", action="store_true", help="overwrite what is on the bdevs: a pool, a file system, a partition table")
    _add_settings(p)
    p.set_defaults(func=mpool_create)

    def mpool_activate(args):
        _show(_call(args, "mpool_activate",
                    name=args.name,
                    capacity_bdev=args.capacity_bdev,
                    staging_bdev=args.staging_bdev,
                    force=_flag(args.force),
                    permit_meta_conv=_flag(args.permit_meta_conv),
                    resize=_flag(args.resize),
                    **_settings(args)))

    p = subparsers.add_parser("mpool_activate",
                              help="Activate a media pool, as examine does when a bdev appears; prints its parameters")
    p.add_argument("name", help="name of the pool")
    _add_bdevs(p)
    p.add_argument("-f", "--force", action="store_true",
                   help="activate without a drive that is missing, or on a bdev that differs from what is recorded")
    p.add_argument("-m", "--permit-meta-conv", action="store_true", help="rewrite metadata of an older version")
    p.add_argument("-r", "--resize", action="store_true",
                   help="use what a bdev has grown by; needs --permit-meta-conv, too")
    _add_settings(p)
    p.set_defaults(func=mpool_activate)

    def mpool_deactivate(args):
        _show(_call(args, "mpool_deactivate", name=args.name))

    p = subparsers.add_parser("mpool_deactivate",
                              help="Deactivate a media pool that nobody uses; its bdevs are free then")
    p.add_argument("name", help="name of the pool")
    p.set_defaults(func=mpool_deactivate)

    def mpool_destroy(args):
        _show(_call(args, "mpool_destroy",
                    name=args.name,
                    capacity_bdev=args.capacity_bdev,
                    staging_bdev=args.staging_bdev,
                    force=_flag(args.force)))

    p = subparsers.add_parser("mpool_destroy",
                              help="Destroy a media pool, deactivating it first; all of its objects are lost")
    p.add_argument("name", help="name of the pool")
    _add_bdevs(p)
    p.add_argument("-f", "--force", action="store_true", help="even if a bdev differs from what is recorded")
    p.set_defaults(func=mpool_destroy)

    def mpool_rename(args):
        _show(_call(args, "mpool_rename",
                    name=args.name,
                    new_name=args.new_name,
                    capacity_bdev=args.capacity_bdev,
                    staging_bdev=args.staging_bdev))

    p = subparsers.add_parser("mpool_rename", help="Give a media pool that is not active another name")
    p.add_argument("name", help="name of the pool")
    p.add_argument("new_name", help="its name from now on")
    _add_bdevs(p)
    p.set_defaults(func=mpool_rename)

    def mpool_import(args):
        _show(_call(args, "mpool_import",
                    capacity_bdev=args.capacity_bdev,
                    staging_bdev=args.staging_bdev,
                    new_name=args.new_name,
                    force=_flag(args.force)))

    p = subparsers.add_parser("mpool_import",
                              help="Make a media pool of its own of a copy of one: give pool, drives and volumes new "
                                   "UUIDs and activate it; prints its parameters")
    p.add_argument("-c", "--capacity-bdev", required=True, help="bdev with the copy of the CAPACITY drive")
    p.add_argument("-s", "--staging-bdev", help="bdev with the copy of the STAGING drive, if the pool has one")
    p.add_argument("-n", "--new-name", help="its name from now on (default: as before)")
    p.add_argument("-f", "--force", action="store_true",
                   help="even if not enough copies of its superblock are left to know that it is the newest")
    p.set_defaults(func=mpool_import)

    def mpool_drive_add(args):
        _show(_call(args, "mpool_drive_add",
                    name=args.name,
                    staging_bdev=args.staging_bdev,
                    zone_size_mib=args.zone_size_mib,
                    force=_flag(args.force)))

    p = subparsers.add_parser("mpool_drive_add", help="Add a STAGING drive to an active media pool")
    p.add_argument("name", help="name of the pool")
    p.add_argument("-s", "--staging-bdev", required=True, help="bdev for the STAGING class; it is claimed")
    p.add_argument("-z", "--zone-size-mib", type=int,
                   help="unit of its space management: a power of two from 1 to 64 (default: 32, less on small bdevs)")
    p.add_argument("-f", "--force", action="store_true", help="overwrite what is on the bdev")
    p.set_defaults(func=mpool_drive_add)

    def mpool_set_params(args):
        _show(_call(args, "mpool_set_params", name=args.name, **_settings(args)))

    p = subparsers.add_parser("mpool_set_params",
                              help="Change parameters of an active media pool; they are kept on its media")
    p.add_argument("name", help="name of the pool")
    _add_settings(p)
    p.set_defaults(func=mpool_set_params)

    def add_show(method, text):
        def show(args):
            _show(_call(args, method, name=args.name))

        p = subparsers.add_parser(method, help=text)
        p.add_argument("name", help="name of the pool")
        p.set_defaults(func=show)

    add_show("mpool_get_params", "Show the parameters of an active media pool")
    add_show("mpool_get_usage", "Show how full an active media pool is, and of what: in total and by media class")
    add_show("mpool_get_props", "Show an active media pool with its media classes and drives, and their state")

    def mpool_get_iostat(args):
        _show(_call(args, "mpool_get_iostat", name=args.name))

    p = subparsers.add_parser("mpool_get_iostat",
                              help="Show what was read, written, flushed and discarded by an active media pool and its "
                                   "volumes, or by all: in total and by media class")
    p.add_argument("-n", "--name", help="name of the pool (default: all)")
    p.set_defaults(func=mpool_get_iostat)

    def add_list(method, text):
        def show(args):
            _show(_call(args, method))

        subparsers.add_parser(method, help=text).set_defaults(func=show)

    add_list("mpool_list", "List the active media pools")
    add_list("mpool_scan", "Look for media pools on all bdevs, active or not, without activating any")
