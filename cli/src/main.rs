//! The `hedgerow` command.

fn main() -> std::process::ExitCode {
    hedgerow_cli::run(std::env::args_os())
}
