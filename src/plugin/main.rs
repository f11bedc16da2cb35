//! sennight
fn main() {}
