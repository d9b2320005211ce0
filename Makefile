# `make` alone explains. Every target fetches first what it needs (tools/setup); nothing is fetched twice.

.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-kafka test bench-embedded bench-rules clean

help: ## this text
	@echo "Highwater: a stateful stream processor for change data, exactly once, anonymized."
	@echo
	@sed -n "s/^\\([a-z-]*\\):.*## \\(.*\\)/  make \\1\t\\2/p" $(MAKEFILE_LIST) | expand -t 26
	@echo
	@echo "First time here? make demo"
	@echo "Variables: HIGHWATER_CACHE (~/.cache/highwater), CARGO_TARGET_DIR (target), ROCKSDB_COMPILE=1 (compile RocksDB),"
	@echo "           ARGS (more arguments for the demo, or a filter for the tests)"

setup: ## fetch what building, testing and both demos need
	@tools/setup tests

build: ## build the binary
	@tools/setup
	cargo build --release --locked

demo: build ## the whole story on the embedded log, in seconds; again, and it goes on
	@cargo run --release --locked --quiet -- demo $(ARGS)

demo-kafka: ## the same on a real Kafka, started for it
	@tools/setup kafka
	cargo build --release --locked
	@cargo run --release --locked --quiet -- demo --kafka --state state/demo-kafka $(ARGS)

test: setup ## format, lints and every test, on the embedded log and on a real Kafka
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo test --release --locked $(ARGS)

bench-embedded: build ## the contest's job on the embedded log: records a second, CPU a record
	cargo bench --profile release --locked --bench embedded -- $(ARGS)

bench-rules: build ## what each rule costs a value, beside the SHA-256 of the same value
	cargo bench --profile release --locked --bench rules

clean: ## remove what was built here; the cache of fetched things stays
	cargo clean
