# SPDX-License-Identifier: BSD-3-Clause
#
# Names for what the workspace's own programs do.
#
#   make demo   set up, then run the main job: write real data over NVMe/TCP, read it back, print what was saved
#   make test   set up, then pass the tests, on SPDK 26.01
#   make test-20.07, make simulate   what is left out there for time: the older SPDK, the campaigns at length
#   make bench  set up, then measure; writes target/bench/summary.json and target/bench/pool.json
#   make bench-checks  set up, then measure what the check of reads costs; writes target/bench/checks.json
#   make savings  set up, then compare what a volume saves with what an oracle would; writes target/savings/*.json
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

.PHONY: demo test test-20.07 bench bench-checks savings setup toolchain checks unit simulate end-to-end end-to-end-20.07 features module

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

# Rust 1.89 or newer: from Debian where it is new enough, else from rustup.
toolchain:
	@command -v $(CARGO) >/dev/null || { test "$$(id -u)" = 0 && apt-get update && apt-get install --yes cargo rustc; } \
		|| { echo "cargo is missing: install Rust 1.89 or newer (Debian: apt-get install cargo)" >&2; exit 1; }
	@command -v cc >/dev/null || { test "$$(id -u)" = 0 && apt-get update && apt-get install --yes gcc libc6-dev; } \
		|| { echo "cc is missing: apt-get install gcc libc6-dev" >&2; exit 1; }

setup: toolchain
	$(CARGO) run --package spdk-sys-build -- setup --release $(RELEASES)

module: setup
	$(CARGO) build --release --package bdev

checks:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --features $(FEATURES)

# One build for all crates; the campaigns' shares are among the tests.
TESTS = fuzz_corpus inspect engine_rows compression_rows index_rows relocation call_back features_up_to_date no_allocation simulator pool_rows pool_campaign volume_campaign failed_seeds

unit:
	$(CARGO) test --workspace --features $(FEATURES) --lib --bins $(addprefix --test ,$(TESTS))
	$(CARGO) test --package engine --doc

# The campaigns at length.
simulate:
	$(CARGO) run --profile campaign --package tests --bin simulate -- --seeds $(SEEDS)
	$(CARGO) test --profile campaign --package tests --test volume_campaign
	$(CARGO) run --profile campaign --package tests --bin volume_campaign -- --campaign random --seeds $(VOLUME_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign cuts --seeds $(SCRIPT_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign failures --stride 3 --seeds $(SCRIPT_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign lives --seeds $(LIFE_SEEDS)
	$(CARGO) run --profile campaign --package tests --bin pool_campaign -- --campaign logs --seeds $(LOG_SEEDS)

end-to-end:
	$(CARGO) test --workspace --features $(FEATURES) --test pool_on_spdk --test end_to_end

# What depends on the release: how the module is loaded, talks to RPC clients, lives and ends, and is exported.
end-to-end-20.07:
	E2E_RELEASE=20.07 DURABLE_ROUNDS=12 $(CARGO) test --package tests --features spdk,bench --test end_to_end -- \
		rpc loading life_cycle export a_volume_survives

features:
	$(CARGO) run --package tests --bin features
