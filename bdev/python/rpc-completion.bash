# SPDX-License-Identifier: BSD-3-Clause
#
# Completes the commands of the plug-in dedupe_rpc for SPDK's rpc.py, and for an alias `rpc`; SPDK's own commands are
# completed too if scripts/bash-completion/spdk was sourced before. To be sourced by ~/.bashrc.
# Made by `make rpc` of the table of methods in bdev/src/rpc: change that.

# What can follow a method.
declare -gA _dedupe_rpc_words=(
    [bdev_dedupe_create]="-h --help -n --name -b --base-bdev-name -p --pool-name -u --uuid -m --cpumask -s --block-size -l --logical-size-mib -S --slab-size-mib -P --physical-size-mib -i --index-memory-mib -j --journal-size-mib -H --index-history-mib -C --block-map-cache-mib --compression --deduplication --unless-exists -f --force --reserve-percent"
    [bdev_dedupe_delete]="-h --help -f --force"
    [bdev_dedupe_get_stats]="-h --help -n --name"
    [bdev_dedupe_dump]="-h --help -m --max-entries -s --first-slab"
    [bdev_dedupe_load]="-h --help -p --pool-name -m --cpumask"
    [bdev_dedupe_unload]="-h --help"
    [bdev_dedupe_rename]="-h --help"
    [bdev_dedupe_suspend]="-h --help"
    [bdev_dedupe_resume]="-h --help"
    [bdev_dedupe_grow_logical]="-h --help"
    [bdev_dedupe_grow_physical]="-h --help -P --physical-size-mib"
    [bdev_dedupe_set_index]="-h --help create close disable enable"
    [bdev_dedupe_set_index_memory]="-h --help"
    [bdev_dedupe_set_compression]="-h --help on off"
    [bdev_dedupe_set_reserve]="-h --help"
    [bdev_dedupe_set_block_map_cache]="-h --help"
    [bdev_dedupe_set_read_only]="-h --help"
    [bdev_dedupe_check]="-h --help"
    [bdev_dedupe_rebuild]="-h --help"
    [mpool_create]="-h --help -c --capacity-bdev -s --staging-bdev -z --zone-size-mib --mdc-count --mdc0-capacity-mib --mdcn-capacity-mib --unless-exists -f --force --uid --gid --mode --label --type --readahead-pages --spare-percent-capacity --spare-percent-staging --chunk-kib --io-mib-max --maps-max --cache-mib --load-jobs --precompact-fill-percent --precompact-garbage-percent --precompact-period-seconds --no-alloc-mdcs --grow-fill-percent --grow-garbage-percent --mdc-set --compaction-attempts --usage-log-period-ms --reap-mempct --reap-ttl-us --reap-debug"
    [mpool_activate]="-h --help -c --capacity-bdev -s --staging-bdev -f --force -m --permit-meta-conv -r --resize --uid --gid --mode --label --type --readahead-pages --spare-percent-capacity --spare-percent-staging --chunk-kib --io-mib-max --maps-max --cache-mib --load-jobs --precompact-fill-percent --precompact-garbage-percent --precompact-period-seconds --no-alloc-mdcs --grow-fill-percent --grow-garbage-percent --mdc-set --compaction-attempts --usage-log-period-ms --reap-mempct --reap-ttl-us --reap-debug"
    [mpool_deactivate]="-h --help"
    [mpool_destroy]="-h --help -c --capacity-bdev -s --staging-bdev -f --force"
    [mpool_rename]="-h --help -c --capacity-bdev -s --staging-bdev"
    [mpool_import]="-h --help -c --capacity-bdev -s --staging-bdev -n --new-name -f --force"
    [mpool_drive_add]="-h --help -s --staging-bdev -z --zone-size-mib -f --force"
    [mpool_set_params]="-h --help --uid --gid --mode --label --type --readahead-pages --spare-percent-capacity --spare-percent-staging --chunk-kib --io-mib-max --maps-max --cache-mib --load-jobs --precompact-fill-percent --precompact-garbage-percent --precompact-period-seconds --no-alloc-mdcs --grow-fill-percent --grow-garbage-percent --mdc-set --compaction-attempts --usage-log-period-ms --reap-mempct --reap-ttl-us --reap-debug"
    [mpool_get_params]="-h --help"
    [mpool_get_usage]="-h --help"
    [mpool_get_props]="-h --help"
    [mpool_get_iostat]="-h --help -n --name"
    [mpool_list]="-h --help"
    [mpool_scan]="-h --help"
)

# What can follow an option of a method.
declare -gA _dedupe_rpc_values=(
    ["bdev_dedupe_create -s"]="512 4096"
    ["bdev_dedupe_create --block-size"]="512 4096"
    ["bdev_dedupe_create -S"]="8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768"
    ["bdev_dedupe_create --slab-size-mib"]="8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768"
    ["bdev_dedupe_create --compression"]="on off"
    ["bdev_dedupe_create --deduplication"]="on off"
    ["mpool_create -z"]="1 2 4 8 16 32 64"
    ["mpool_create --zone-size-mib"]="1 2 4 8 16 32 64"
    ["mpool_drive_add -z"]="1 2 4 8 16 32 64"
    ["mpool_drive_add --zone-size-mib"]="1 2 4 8 16 32 64"
)

_dedupe_rpc() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word words
    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        if [[ -n $word && -n ${_dedupe_rpc_words["$word"]} ]]; then
            words=${_dedupe_rpc_values["$word $prev"]:-${_dedupe_rpc_words["$word"]}}
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
            return
        fi
    done
    COMPREPLY=()
    if declare -F _rpc > /dev/null; then
        _rpc "$@"
    fi
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "${!_dedupe_rpc_words[*]}" -- "$cur")
}

complete -o default -F _dedupe_rpc rpc.py rpc
