//! Arguments to exit status, nothing else.

fn main() {
    std::process::exit(learnc::cli::main());
}
