//! Writes `crds/*.yaml` from the types: `make crds`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    std::fs::create_dir_all(&folder)?;
    for (name, yaml) in api::crd::files() {
        std::fs::write(folder.join(&name), yaml)?;
        println!("crds/{name}");
    }
    Ok(())
}
