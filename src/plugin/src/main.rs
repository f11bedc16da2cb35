//! `kubectl-sennight`: kubectl finds it by its name in PATH.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    Box::pin(kubectl_sennight::main(std::env::args_os())).await
}
