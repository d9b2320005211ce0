# `make` alone explains. Every target fetches first what it needs (tools/setup); nothing is fetched twice.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test clean

help: ## this text
	@echo "Highwater: a stateful stream processor for change data, exactly once, anonymized."
	@echo
	@sed -n "s/^\\([a-z]*\\):.*## \\(.*\\)/  make \\1\t\\2/p" $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "First time here? make demo"
	@echo "Variables: HIGHWATER_CACHE (~/.cache/highwater), CARGO_TARGET_DIR (target), ROCKSDB_COMPILE=1 (compile RocksDB),"
	@echo "           ARGS (more arguments for the demo, or a filter for the tests)"

setup: ## fetch what building, testing and the demo need
	@tools/setup

build: setup ## build the binary
	cargo build --release --locked

demo: build ## the whole story on a Kafka of its own, in seconds
	@cargo run --release --locked --quiet -- demo $(ARGS)

test: setup ## format, lints and every test, on a real Kafka
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo test --release --locked $(ARGS)

clean: ## remove what was built here; the cache of fetched things stays
	cargo clean
