# `make` alone explains. Every target fetches first what it needs (tools/setup); nothing is fetched twice.

.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-kafka pipeline test simulate mutants chaos soak fuzz bench bench-embedded bench-rules bench-micro bench-sink clean \
	up down pg-init ch-init topic-create-all connect-plugin-check connector-create-all connector-delete-all \
	connector-status run-anonymizer ch-shell db-load

help: ## this text
	@echo "Highwater: a stateful stream processor for change data, exactly once, anonymized."
	@echo
	@sed -n -e "s/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p" -e "s/^## \(.*\)/\n\1/p" $(MAKEFILE_LIST) | expand -t 30
	@echo
	@echo "First time here? make demo"
	@echo "Variables: HIGHWATER_CACHE (~/.cache/highwater), CARGO_TARGET_DIR (target), ROCKSDB_COMPILE=1 (compile RocksDB),"
	@echo "           ARGS (more arguments for the demo, or a filter for the tests), MINUTES (of chaos, soak, fuzz), SEED and REPORT (of chaos,"
	@echo "           soak), RATE (of soak), TARGETS (of fuzz)"

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

pipeline: ## all of it without Docker: Postgres, Debezium, Kafka, Highwater, ClickHouse; make pipeline ARGS='--count 5000 --once'
	@tools/setup postgres debezium clickhouse
	cargo build --release --locked
	@tools/pipeline $(ARGS)

test: setup ## format, lints and every test, on the embedded log and on a real Kafka
	cargo fmt --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo test --release --locked $(ARGS)

simulate: build ## SEEDS=100000 FIRST_SEED=1: the application in one thread under every kind of fault, one seed a run
	@SEEDS=$(or $(SEEDS),100000) FIRST_SEED=$(or $(FIRST_SEED),1) \
		cargo test --release --locked --quiet --test simulation --test sink_simulation -- --ignored --exact soak --nocapture

mutants: setup ## break each guarantee by a patch, and see which test notices: a table, in half an hour
	@tools/mutants $(ARGS)

chaos: ## three brokers and their instances under fire: make chaos MINUTES=30 SEED=7 REPORT=report.md
	@tools/setup kafka
	@CHAOS_MINUTES=$(or $(MINUTES),30) CHAOS_SEED=$(SEED) CHAOS_REPORT=$(abspath $(REPORT)) \
		cargo test --release --locked --test chaos -- --ignored --nocapture

soak: setup ## Postgres, Debezium, Kafka, Highwater, ClickHouse under load, some of them killed: make soak MINUTES=5 RATE=1000 REPORT=report.md
	@SOAK_MINUTES=$(or $(MINUTES),5) SOAK_RATE=$(or $(RATE),1000) SOAK_SEED=$(SEED) SOAK_REPORT=$(abspath $(REPORT)) \
		cargo test --release --locked --test pipeline -- --ignored --exact soak --nocapture

fuzz: ## throw bytes at what reads records, rules, topologies and state: make fuzz MINUTES=10
	@tools/setup fuzz
	@tools/fuzz $(or $(MINUTES),10) $(TARGETS)

bench: build ## the contest: Highwater, bare loops, Kafka Streams: make bench ROUNDS=1 RECORDS=200000 REPORT=report.md PART=latency
	@tools/setup kafka-streams
	@KAFKA_HEAP=1g KAFKA_JVM=-XX:+UseSerialGC cargo bench --profile release --locked --bench contest -- \
		--records $(or $(RECORDS),1000000) --rounds $(or $(ROUNDS),3) --part $(or $(PART),throughput) $(if $(REPORT),--report $(abspath $(REPORT))) $(ARGS)

bench-embedded: build ## the contest's job on the embedded log: records a second, CPU a record
	cargo bench --profile release --locked --bench embedded -- $(ARGS)

bench-rules: build ## what each rule costs a value, beside the SHA-256 of the same value
	cargo bench --profile release --locked --bench rules

bench-micro: ## the pieces of the hot path alone: splice, comparator, store
	@tools/setup
	cargo bench --profile release --locked --bench micro -- $(ARGS)

bench-sink: build ## the ClickHouse sink beside a bare client loop: rows a second, CPU a row
	@tools/setup tests
	cargo bench --profile release --locked --bench sink -- $(ARGS)

clean: ## remove what was built here; the cache of fetched things stays
	cargo clean

## The whole system, with Docker (docker-compose.yml; ports on 127.0.0.1):

# Passwords come from .env. `docker compose` would name one that is missing, but not how to begin.
compose = @test -f .env || { echo "make: no .env: cp .env.example .env, and fill it in" >&2; exit 1; }; docker compose

up: ## build and start everything, wait until it is healthy
	$(compose) up --detach --build --wait

down: ## stop everything; data stays (with it: docker compose down --volumes)
	$(compose) down

pg-init: ## db/init.sql on the running Postgres: tables, publication, the connector's role
	$(compose) exec -T postgres psql -q -U postgres -d brew -f /docker-entrypoint-initdb.d/init.sql

ch-init: ## ch/init.sql on the running ClickHouse: tables and views
	$(compose) exec -T clickhouse sh -c 'clickhouse-client --user "$$CLICKHOUSE_USER" --password "$$CLICKHOUSE_PASSWORD" --queries-file /docker-entrypoint-initdb.d/init.sql'

# Where DATABASE_URL says; else on compose's Postgres, whose password is in .env.
db-load: build ## invented customers, orders, events and visits, as changes: make db-load DLOAD_COUNT=200 DLOAD_RATE=50
	@PGPASSWORD="$${PGPASSWORD:-$$(sed -n 's/^POSTGRES_PASSWORD=//p' .env 2>/dev/null)}" \
		DATABASE_URL="$${DATABASE_URL:-postgres://postgres@localhost:15442/brew}" \
		cargo run --release --locked --quiet -- db-load --count $(or $(DLOAD_COUNT),1000) $(DLOAD_RATE:%=--rate %) $(ARGS)

topic-create-all: ## the topics that topology.yaml reads, writes and refuses to
	$(compose) run --rm topics

run-anonymizer: ## both instances of Highwater, from the files as they are now
	$(compose) up --detach --build --force-recreate --wait highwater-1 highwater-2

ch-shell: ## a ClickHouse client: select * from brew.customers_now
	$(compose) exec clickhouse sh -c 'exec clickhouse-client --user "$$CLICKHOUSE_USER" --password "$$CLICKHOUSE_PASSWORD" --database brew'

## Connectors, on the worker at CONNECT_URL (http://localhost:18083); need curl and jq:

connect-plugin-check: ## does the worker have the plugins of connectors/*.json?
	@tools/connectors check

connector-create-all: ## create or update them, and wait until they run
	@tools/connectors create

connector-delete-all: ## delete them
	@tools/connectors delete

connector-status: ## do they run, and why not?
	@tools/connectors status
