//! Prints the configuration reference: `cargo run -p penstock-model --example reference > docs/configuration.md`.

fn main() {
    print!("{}", penstock_model::reference());
}
