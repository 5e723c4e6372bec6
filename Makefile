# SPDX-License-Identifier: BSD-3-Clause
#
# Names for what the workspace's own programs do.
#
#   make demo   set up, then run the main job: write real data over NVMe/TCP, read it back, print what was saved
#   make test   set up, then pass the tests, on SPDK 26.01
#   make test-20.07, make simulate   what is left out there for time: the older SPDK, the campaigns at length
#   make fresh-seeds   each campaign over seeds that nobody has run, drawn from the commit's id; some 15 minutes on two cores. Before a
#               release: make fresh-seeds FRESH_SIMULATE=20000 FRESH_RANDOM=20000 FRESH_LIVES=20000 FRESH_LOGS=200000 \
#                             FRESH_VOLUME_SCRIPTS=300 FRESH_POOL_SCRIPTS=300
#   make mutants  try a random sample of the mutants of the engine's heart, SAMPLE=300 of them drawn from SEED: hours; goes on where it
#               was when it was stopped
#   make fresh  make demo and make test in a bare Debian, from the installation of packages to the end, with the time each took
#   make check-spdk SPDK_DIR=/path   tell whether the module can be built for the SPDK there, a built tree or an installation
#   make bench  set up, then measure; writes target/bench/summary.json and target/bench/pool.json
#   make bench-checks  set up, then measure what the check of reads costs; writes target/bench/checks.json
#   make savings  set up, then compare what a volume saves with what an oracle would; writes target/savings/*.json
#   make rpc    write the plug-ins for rpc.py, their completion, the schema and doc/rpc.md from the table of RPC methods
#   make setup  packages, SPDK and fio; nothing to do when they are there

CARGO ?= cargo
SEEDS ?= 0..20000
# Volumes in random use on disks that lose power, life after life.
VOLUME_SEEDS ?= 0..2000
# Of the media pool's crash campaigns: short scripts are cut at each of their I/Os.
SCRIPT_SEEDS ?= 0..17
LIFE_SEEDS ?= 0..200
LOG_SEEDS ?= 0..5000
RELEASES ?= all
FEATURES = tests/spdk,tests/bench

# The system's python3 builds SPDK; the toolchain may live in the user's home.
export PATH := $(HOME)/.cargo/bin:$(PATH)
# Progress that is read in a log needs no colour.
export CARGO_TERM_PROGRESS_WHEN ?= never

.PHONY: demo test test-20.07 fresh fresh-seeds mutants check-spdk bench bench-checks savings setup toolchain checks unit simulate end-to-end end-to-end-20.07 features rpc module

demo: RELEASES = 26.01
demo: setup
	$(CARGO) run --release --package tests --features spdk --bin demo

test: RELEASES = 26.01
test: setup checks unit end-to-end

test-20.07: setup end-to-end-20.07

bench: RELEASES = 26.01
bench: setup
	$(CARGO) run --release --package tests --features bench --bin bench
	$(CARGO) run --release --package tests --features bench --bin bench -- --pool

# Apart from all other builds: this one can switch the check off.
bench-checks: RELEASES = 26.01
bench-checks: setup
	$(CARGO) run --release --target-dir target/measure-unchecked --package tests --features checks --bin bench -- \
		--checks --qd 1,32 --cores 1 --repeats 15

savings: RELEASES = 26.01
savings: setup
	$(CARGO) run --release --package tests --features spdk --bin savings -- run
	$(CARGO) run --release --package tests --features spdk --bin savings -- history --depths 128

# $(call install,COMMAND,PACKAGES): installs the packages, as root with apt, unless the command runs.
install = @{ $(1); } >/dev/null 2>&1 || { test "$$(id -u)" = 0 && apt-get update && apt-get install --yes $(2); } \
	|| { echo "missing: install $(2), or Rust 1.89 or newer with rustup" >&2; exit 1; }

# Debian's own Rust is new enough from Debian 14 on; older ones take it from rustup.
toolchain:
	$(call install,command -v $(CARGO),cargo rustc ca-certificates)
	$(call install,command -v cc,gcc libc6-dev)
	@printf '%s\n' 1.89 "$$(rustc --version | cut -d ' ' -f 2)" | sort --check=quiet --version-sort \
		|| { echo "$$(rustc --version) is too old: 1.89 or newer is needed (Debian 14 has it, or rustup)" >&2; exit 1; }

setup: toolchain
	$(CARGO) run --package spdk-sys-build -- setup --release $(RELEASES)

module: setup
	$(CARGO) build --release --package bdev

# A warning is an error to CI alone, whose Rust is known: a newer one warns of what nobody has seen yet.
DENY = $(if $(CI),-D warnings)

checks: toolchain
	$(call install,$(CARGO) fmt --version && $(CARGO) clippy --version,rustfmt rust-clippy)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features $(FEATURES) -- $(DENY)
	RUSTDOCFLAGS="$(DENY)" $(CARGO) doc --workspace --no-deps --features $(FEATURES)

# One build for all crates; the campaigns' shares are among the tests.
TESTS = tidy fuzz_corpus inspect dump engine_rows compression_rows index_rows relocation call_back changing_memory features_up_to_date no_allocation simulator pool_rows pool_campaign volume_campaign failed_seeds full_volume releases

unit:
	$(CARGO) test --workspace --features $(FEATURES) --lib --bins $(addprefix --test ,$(TESTS))
	$(CARGO) test --package mpool --features testing --doc

# The campaigns at length.
simulate:
	$(CARGO) run --profile campaign --package tests --bin simulate -- --seeds $(SEEDS)
	$(CARGO) test --profile campaign --package tests --test volume_campaign
	$(CARGO) run --profile campaign --package tests --bin volume_campaign -- --campaign random --seeds $(VOLUME_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign cuts --seeds $(SCRIPT_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign failures --stride 3 --seeds $(SCRIPT_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign lives --seeds $(LIFE_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign twins --seeds $(LIFE_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign logs --seeds $(LOG_SEEDS)

# What fails prints the command that runs its seed again.
fresh-seeds: toolchain
	.ci/fresh-seeds

mutants: toolchain
	.ci/mutants

fresh:
	.ci/fresh

check-spdk: toolchain
	@test -n "$(SPDK_DIR)" || { echo "which SPDK? make check-spdk SPDK_DIR=/path/to/spdk" >&2; exit 1; }
	SPDK_DIR=$(abspath $(SPDK_DIR)) $(CARGO) run --quiet --package spdk-sys-build -- check
	SPDK_DIR=$(abspath $(SPDK_DIR)) $(CARGO) check --target-dir target/check-spdk --package bdev --features load
	@echo "the module fits: SPDK_DIR=$(abspath $(SPDK_DIR)) cargo build --release -p bdev"

# The kernel's ext4 and xfs are run on volumes.
end-to-end:
	$(call install,PATH=$$PATH:/usr/sbin:/sbin; mke2fs -V && mkfs.xfs -V && losetup --version,e2fsprogs mount xfsprogs)
	$(CARGO) test --workspace --features $(FEATURES) --test pool_on_spdk --test end_to_end

# What depends on the release: how the module is loaded, talks to RPC clients, lives and ends, and is exported.
end-to-end-20.07:
	E2E_RELEASE=20.07 DURABLE_ROUNDS=12 $(CARGO) test --package tests --features spdk,bench --test end_to_end -- \
		rpc loading life_cycle export a_volume_survives --skip in_interrupt_mode

# What is written from the table of RPC methods.
rpc: toolchain
	WRITE_RPC_FILES=1 $(CARGO) test --package bdev --lib rpc::generate

features:
	$(CARGO) run --package tests --bin features
