//! Writes `docs/steps/*.md` from the step kinds: `make docs`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let pages = supercargo::reference::pages(&supercargo::wiring::steps(), &top)?;
    let folder = top.join("docs/steps");
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !pages.iter().any(|(page, _)| name == page.as_str()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    for (name, text) in pages {
        std::fs::write(folder.join(&name), text)?;
        println!("docs/steps/{name}");
    }
    Ok(())
}
