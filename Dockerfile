FROM rust:1-slim-bookworm AS build
WORKDIR /build
# The dependencies alone, behind an empty crate: a layer that only a change of Cargo.toml or Cargo.lock builds anew.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked \
 && rm -r src
# Copied files keep their times, older than what was just built of the empty crate: without `touch`
# cargo would take that for up to date.
COPY src src
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked

FROM debian:bookworm-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin causet
COPY --from=build /build/target/release/causet /usr/local/bin/causet
USER causet
EXPOSE 8090/tcp 8090/udp
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s --retries=3 CMD ["/usr/local/bin/causet", "health"]
ENTRYPOINT ["/usr/local/bin/causet"]
