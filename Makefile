# Sluice: every target works on a fresh machine (Debian 12 or 13, or a current Ubuntu; root; Node.js: tools/node.sh).
SHELL := /bin/bash
# A Node.js that tools/node.sh fetched goes before the machine's.
export PATH := $(CURDIR)/build/node/bin:$(PATH)
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CLANG ?= clang
# The version that formats bpf/: Debian 12's.
CLANG_FORMAT := 14
CFLAGS_BPF := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter \
	-I maps-schema/gen -I bpf -I /usr/include/$(shell uname -m)-linux-gnu
# tc and xdp are made twice: the second objects look into nf_conntrack, for kernels that let them (bpf/lib/owner.h).
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,dist/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c)) \
	dist/bpf/tc-conntrack.bpf.o dist/bpf/xdp-conntrack.bpf.o
TS_SOURCES := $(shell find src maps-schema -name '*.ts' -not -path '*/gen/*')

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: node_modules ## install what building and testing needs (apt packages, npm ci)
	@tools/setup.sh

node_modules: package-lock.json
	@tools/node.sh
	npm ci --no-audit --no-fund
	@touch node_modules

.PHONY: generate
generate: maps-schema/gen/schema.h

maps-schema/gen/schema.h: $(wildcard maps-schema/*.ts) | node_modules
	node_modules/.bin/tsx maps-schema/generate.ts

dist/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/lib/*.h) maps-schema/gen/schema.h
	@mkdir -p dist/bpf
	@command -v $(CLANG) >/dev/null || { echo "clang is missing: run 'make setup', or apt-get install clang" >&2; exit 1; }
	$(CLANG) $(CFLAGS_BPF) -c $< -o $@

dist/bpf/%-conntrack.bpf.o: bpf/%.bpf.c $(wildcard bpf/lib/*.h) maps-schema/gen/schema.h
	@mkdir -p dist/bpf
	$(CLANG) $(CFLAGS_BPF) -DSLUICE_CONNTRACK -c $< -o $@

dist/sluice.cjs: $(TS_SOURCES) maps-schema/gen/schema.h tools/bundle.mjs
	node tools/bundle.mjs

bin/sluice: dist/sluice.cjs $(BPF_OBJECTS) tools/sluice.sh
	@mkdir -p bin
	install -m 0755 tools/sluice.sh bin/sluice

.PHONY: build
build: setup ## compile the programs and the agent: leaves bin/sluice
	@$(MAKE) --no-print-directory bin/sluice

.PHONY: demo
demo: build ## lay out a small cluster in namespaces and show Sluice at work (KEEP=1 leaves it up)
	node_modules/.bin/tsx demo/main.ts

.PHONY: demo-down
demo-down: node_modules ## remove every trace of a demo that was kept
	node_modules/.bin/tsx demo/down.ts

.PHONY: test
test: build lint image ## the whole suite (root; under 30 minutes)
	node_modules/.bin/vitest run

.PHONY: image
image: ## build the container image without asking a registry (root; IMAGE=name, ARCHIVE=file)
	@tools/deploy/setup.sh
	@IMAGE="$(IMAGE)" ARCHIVE="$(ARCHIVE)" tools/image/build.sh

.PHONY: manifests
manifests: node_modules ## write deploy/kustomize from the chart
	@tools/deploy/setup.sh
	node_modules/.bin/tsx tools/deploy/generate.ts

.PHONY: deploy-check
deploy-check: node_modules generate ## chart, kustomize, rules and the kubectl plugin; the image run as its DaemonSet says (root)
	@tools/deploy/setup.sh
	@[ -e build/image/config.json ] || $(MAKE) --no-print-directory image
	node_modules/.bin/vitest run --project deploy

.PHONY: docs-check
docs-check: build ## the commands of the documentation, typed into a node of the lab (root)
	@tools/deploy/setup.sh
	node_modules/.bin/vitest run --project docs

.PHONY: test-unit
test-unit: generate ## the tests that need no kernel
	node_modules/.bin/vitest run --project unit

.PHONY: test-kernels
test-kernels: build ## the programs on Debian's other kernels, in qemu (root; KERNELS="5.10 6.1" chooses)
	@tools/kernels/setup.sh
	node_modules/.bin/tsx tools/kernels/main.ts $(KERNELS)

.PHONY: fuzz-semantics
fuzz-semantics: build ## random clusters against a model of the rules (root; SEED=n, TIME=seconds, REPLAY=file.yaml)
	SEED="$(SEED)" TIME="$(TIME)" REPLAY="$(REPLAY)" node_modules/.bin/tsx test/differential/fuzz.ts

.PHONY: fuzz-foreign
fuzz-foreign: build ## traffic that is no Service's, with and without Sluice (root; SEED=n, TIME=seconds, MODE=xdp)
	SEED="$(SEED)" TIME="$(TIME)" MODE="$(MODE)" node_modules/.bin/tsx test/differential/fuzz-foreign.ts

.PHONY: chaos
chaos: build ## kills, faults of the API and of the kernel under load (root; SEED=n, TIME=seconds, default 600)
	SEED="$(SEED)" TIME="$(TIME)" node_modules/.bin/tsx test/chaos/main.ts

.PHONY: lint
lint: generate ## types, formatting and import rules
	node_modules/.bin/tsc --noEmit
	node_modules/.bin/biome check --error-on-warnings .
	@if clang-format --version | grep -q 'version $(CLANG_FORMAT)\.'; then clang-format --dry-run -Werror bpf/*.c bpf/lib/*.h bench/bpf/*.[ch] bench/load/*.[ch]; \
	else echo "the format of bpf/ is not checked: that wants clang-format $(CLANG_FORMAT), others differ in details"; fi

.PHONY: format
format: node_modules ## format TypeScript and C
	node_modules/.bin/biome check --write .
	clang-format -i bpf/*.c bpf/lib/*.h bench/bpf/*.[ch] bench/load/*.[ch]

.PHONY: bench
bench: build ## measure beside iptables and nftables mode (root; PARTS=, SIZES=, KUBE_PROXY=; under 30 minutes)
	node_modules/.bin/tsx bench/main.ts

.PHONY: bench-quick
bench-quick: build ## the data path in under 3 minutes: before and after a change
	node_modules/.bin/tsx bench/main.ts --quick

.PHONY: bench-profile
bench-profile: build ## where the time of a packet's path goes, with perf (root; PROGRAM=, CASE=, FAMILY=)
	PROGRAM="$(PROGRAM)" CASE="$(CASE)" node_modules/.bin/tsx bench/profile.ts

.PHONY: bench-compare
bench-compare: node_modules ## compare two results: A=old.json B=new.json
	@node_modules/.bin/tsx bench/compare.ts $(A) $(B)

.PHONY: clean
clean: ## remove what was built
	rm -rf dist bin build maps-schema/gen coverage
