//! x
fn main() {
    for f in std::env::args().skip(1) {
        println!("--- {f}");
        match penstock_model::check(&[f.into()], &penstock_model::Disk, &|n| std::env::var(n).ok()) {
            Ok(_) => println!("ok"),
            Err(l) => {
                for p in l {
                    println!("{p}\n{}", p.excerpt());
                }
            }
        }
    }
}
