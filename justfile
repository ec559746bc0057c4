# What is done often, by `just NAME`. Each line is the whole of it and works without `just`.

# a local cluster of three replicas
cluster:
    cargo run --release

# every test, those in containers included where there is Docker
test:
    cargo nextest run

# what the editor should not have let pass
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# the container image
image:
    docker build -t causet .

# all that must hold before a change is merged
ci:
    bash .ci/run
