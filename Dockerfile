# syntax=docker/dockerfile:1
# Highwater in an image: the binary, the library of RocksDB, and what TLS needs.
#
#   docker build -t highwater:local .
#   docker run --rm -v ./topology.yaml:/etc/highwater/topology.yaml:ro -v state:/var/lib/highwater highwater:local run

FROM rust:1.95.0-bookworm AS build
WORKDIR /build
# As on any machine: packages, toolchain, RocksDB's ready-made library. Where it lies here becomes the run path.
ENV HIGHWATER_CACHE=/opt/highwater
COPY rust-toolchain.toml ./
COPY tools/setup tools/setup
COPY tools/rocksdb tools/rocksdb
RUN tools/setup
COPY Cargo.toml Cargo.lock build.rs ./
COPY bench bench
COPY src src
COPY fixtures/debezium fixtures/debezium
# What highwater_build_info says: --build-arg HIGHWATER_COMMIT=$(git rev-parse --short HEAD)
ARG HIGHWATER_COMMIT
# Neither crates nor objects become part of a layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin highwater \
    && strip --strip-debug -o /usr/local/bin/highwater target/release/highwater

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /var/lib/highwater highwater \
    && install -d -o highwater -g highwater -m 700 /var/lib/highwater \
    && install -d /etc/highwater
COPY --from=build /opt/highwater/lib/librocksdb.so /opt/highwater/lib/librocksdb.so
COPY --from=build /usr/local/bin/highwater /usr/local/bin/highwater
COPY tools/healthcheck /usr/local/bin/healthcheck
# The user highwater, by number: Kubernetes' runAsNonRoot cannot tell who a name is.
USER 10001
WORKDIR /etc/highwater
# One directory for each instance: it holds the stores and the instance's name.
ENV HIGHWATER_STATE=/var/lib/highwater
VOLUME /var/lib/highwater
EXPOSE 9464
# Ready, not merely alive: a store that is being restored may take its time.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10m --retries=3 CMD ["healthcheck"]
# SIGTERM commits, closes the stores and leaves the group.
ENTRYPOINT ["highwater"]
CMD ["run"]
