# The image: one static binary on nothing. `make image` builds it where a
# container engine runs; `make static` builds the same binary without one.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t supercargo .

FROM rust:1.95-bookworm AS build
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends cmake perl && rm -rf /var/lib/apt/lists/*
COPY . .
ARG SUPERCARGO_GIT_COMMIT=unknown
ARG SUPERCARGO_BUILD_DATE=unknown
# glibc, linked in: starts in an empty root (docs/decisions.md).
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN target="$(uname -m)-unknown-linux-gnu" \
 && cargo build --locked --profile dist --target "$target" -p supercargo --bin supercargo \
 && cp "target/$target/dist/supercargo" /supercargo \
 && mkdir -p /root-tree/tmp /root-tree/data && chmod 1777 /root-tree/tmp /root-tree/data

FROM scratch
COPY --from=build /root-tree/ /
# What TLS trusts; a mounted /etc/ssl/certs takes its place.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /supercargo /supercargo
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/supercargo"]
CMD ["controller"]
