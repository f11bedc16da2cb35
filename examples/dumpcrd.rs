//! x
fn main() {
    for (p, t) in sennight::api::crds::files().unwrap() {
        let p = std::path::Path::new(&p);
        std::fs::create_dir_all(p.parent().unwrap()).unwrap();
        std::fs::write(p, t).unwrap();
    }
}
