# Sennight's image: the operator and its worker are one binary; beside it the plugin and PostgreSQL's client tools.
#   docker build .                                    compiles in the image
#   buildah build --build-arg BINARIES=prebuilt .     takes dist/sennight and dist/kubectl-sennight
ARG BINARIES=build

FROM docker.io/library/rust:1.95-slim-trixie AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
# The workspace names the tests' packages; nothing of them is compiled.
COPY tests/Cargo.toml tests/Cargo.toml
COPY tests/guards/Cargo.toml tests/guards/Cargo.toml
COPY crds crds
COPY charts charts
RUN cargo build --release --locked --package sennight --package kubectl-sennight --bins && mkdir /dist && cp target/release/sennight target/release/kubectl-sennight /dist/

FROM scratch AS prebuilt
COPY dist/sennight dist/kubectl-sennight /dist/

FROM ${BINARIES} AS binaries

FROM docker.io/library/debian:trixie-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates postgresql-client-17 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* \
    && groupadd --gid 65532 sennight \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sennight
COPY --from=binaries --chmod=755 /dist/sennight /dist/kubectl-sennight /usr/local/bin/
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/sennight"]
