#!/usr/bin/env bash
# Makes the two base images that the Dockerfile names, for machines whose Docker can pull nothing:
#   debian:bookworm-slim     by debootstrap
#   rust:1-slim-bookworm     that, with gcc and this machine's own Rust toolchain
# Does nothing where they exist. Needs root, Docker and a Debian mirror. About 90 s the first time.
set -euo pipefail

have() { docker image inspect "$1" >/dev/null 2>&1; }
# Runs a command quietly; where it fails, shows the end of what it said.
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! have debian:bookworm-slim; then
  if ! command -v debootstrap >/dev/null; then
    quietly apt-get update
    quietly apt-get install -y debootstrap
  fi
  quietly debootstrap --variant=minbase bookworm "$work/rootfs"
  tar -C "$work/rootfs" -c . | docker import - debian:bookworm-slim >/dev/null
fi

if ! have rust:1-slim-bookworm; then
  mkdir "$work/rust"
  cp -a "$(rustc --print sysroot)" "$work/rust/toolchain"
  rm -rf "$work/rust/toolchain/share/doc"
  # A machine behind a certificate authority of its own can build as well.
  cp /etc/ssl/certs/ca-certificates.crt "$work/rust/"
  cat >"$work/rust/Dockerfile" <<'EOF'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev ca-certificates pkg-config make && rm -rf /var/lib/apt/lists/*
COPY toolchain /usr/local/rust
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/rust/bin:$PATH
EOF
  DOCKER_BUILDKIT=0 quietly docker build -t rust:1-slim-bookworm "$work/rust"
fi
