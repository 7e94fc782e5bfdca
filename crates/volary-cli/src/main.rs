//! The `volary` command.

fn main() {}
