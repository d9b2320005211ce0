//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    highwater::cli::main()
}
