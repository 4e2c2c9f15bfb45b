//! Writes the chart's README and values schema: `make chart-docs`.

use std::fs;

fn main() -> std::io::Result<()> {
    let folder = e2e::chart::folder();
    let values = fs::read_to_string(folder.join("values.yaml"))?;
    fs::write(folder.join("README.md"), e2e::chart::readme(&values))?;
    fs::write(folder.join("values.schema.json"), e2e::chart::schema(&values))
}
