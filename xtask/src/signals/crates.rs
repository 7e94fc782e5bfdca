//! The crates of the workspace, as cargo knows them, and the product code of each.

use super::product_code::{product, test_modules};
use super::sources;
use crate::tools::{cargo, output};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that no user runs or links, and why. Every other one is product.
const TOOLS: &[(&str, &str)] = &[
    ("xtask", "chores of developers and CI"),
    ("volary-testkit", "what tests share"),
    ("volary-shaker", "preloaded into tests"),
];

/// A crate of the workspace.
pub(super) struct Crate {
    pub(super) name: String,
    directory: PathBuf,
    /// Whether Rust code links it, which is the case for neither a program nor a Python module.
    pub(super) is_library: bool,
    /// What it depends on outside of its tests.
    pub(super) dependencies: Vec<String>,
}

/// Every crate that users run or link.
pub(super) fn products() -> Vec<Crate> {
    let is_tool = |of: &Crate| TOOLS.iter().any(|(name, _)| *name == of.name);
    let (tools, products): (Vec<_>, Vec<_>) = all().into_iter().partition(is_tool);
    assert_eq!(tools.len(), TOOLS.len(), "a tool is listed that is not there");
    products
}

/// Those of them that Rust code links.
pub(super) fn libraries() -> Vec<Crate> {
    products().into_iter().filter(|of| of.is_library).collect()
}

pub(super) fn is_tool(name: &str) -> bool {
    TOOLS.iter().any(|(tool, _)| *tool == name)
}

fn all() -> Vec<Crate> {
    let metadata =
        output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"])).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let text = |of: &serde_json::Value| of.as_str().unwrap().to_owned();
    let of_package = |package: &serde_json::Value| {
        let list = |key: &str| package[key].as_array().unwrap().iter();
        let is_library = list("targets").any(|target| target["kind"][0] == "lib");
        let dependencies = list("dependencies").filter(|of| of["kind"] != "dev").map(|of| text(&of["name"]));
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let directory = manifest.parent().unwrap().to_owned();
        Crate { name: text(&package["name"]), directory, is_library, dependencies: dependencies.collect() }
    };
    metadata["packages"].as_array().unwrap().iter().map(of_package).collect()
}

impl Crate {
    /// The lines of its product code, as `(file:line, text)`.
    pub(super) fn code(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        sources(&self.directory.join("src"), &mut files);
        assert!(!files.is_empty(), "crate {} has no sources", self.name);
        let texts: Vec<_> = files.iter().map(|file| (file, fs::read_to_string(file).unwrap())).collect();
        let tests: BTreeSet<PathBuf> = texts
            .iter()
            .flat_map(|(file, text)| test_modules(text).into_iter().map(|name| modules_of(file).join(name)))
            .collect();
        let is_test = |file: &Path| file.ancestors().any(|part| tests.contains(&part.with_extension("")));
        let mut lines = Vec::new();
        for (file, text) in texts.iter().filter(|(file, _)| !is_test(file)) {
            for (line, n) in product(text).lines().zip(1..) {
                lines.push((format!("{}:{n}", file.display()), line.to_owned()));
            }
        }
        lines
    }
}

/// The directory in which the modules of a file are.
fn modules_of(file: &Path) -> PathBuf {
    let directory = file.parent().unwrap();
    let stem = file.file_stem().unwrap();
    if ["mod", "lib", "main"].iter().any(|name| stem == *name) {
        directory.to_owned()
    } else {
        directory.join(stem)
    }
}
