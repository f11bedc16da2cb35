//! How the operator is linked.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |key: &str| var(key).unwrap_or_default();
    // Its addresses are set right at each start: two megabytes of a table that is read once and stays mapped. Packed it is a
    // fiftieth; glibc reads that since 2.36.
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bin=sennight=-Wl,-z,pack-relative-relocs");
    }
}
