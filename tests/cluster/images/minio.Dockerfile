# The harness's S3 server: the binary that tools.sh built, on the project's own base.
FROM docker.io/library/debian:trixie-slim
RUN useradd --uid 1000 --create-home minio
COPY minio /usr/local/bin/minio
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/minio"]
