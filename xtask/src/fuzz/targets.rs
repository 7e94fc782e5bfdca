//! The targets: those of fuzz/Cargo.toml, which also says how long the inputs of each may be.

use crate::tools::{Outcome, cargo, output};
use serde_json::Value;
use std::path::PathBuf;

/// A target and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The most bytes of an input.
    pub(crate) longest: u64,
}

/// The targets with these names, or all of them.
pub(crate) fn choose(names: &[String]) -> Outcome<Vec<Target>> {
    let all = all(&metadata()?)?;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|target| target.name != **name)) {
        let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        return Err(format!("no fuzz target is called {unknown}; there are {}", known.join(", ")).into());
    }
    Ok(all.into_iter().filter(|target| names.is_empty() || names.contains(&target.name)).collect())
}

/// Where their binaries are, once they are built.
pub(crate) fn binaries() -> Outcome<PathBuf> {
    let compiler = output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let target = metadata()?;
    let target = target["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target).join(host).join("release"))
}

fn metadata() -> Outcome<Value> {
    let path = ["--manifest-path", "fuzz/Cargo.toml"];
    // Locked without `--no-deps` would ask for every dependency's manifest; cargo-fuzz has no such flag, so it is asked for here.
    let text = output(cargo(&["metadata", "--format-version", "1", "--locked"]).args(path))?;
    Ok(serde_json::from_str(&text)?)
}

fn all(metadata: &Value) -> Outcome<Vec<Target>> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let fuzz = packages
        .into_iter()
        .find(|package| package["name"] == "volary-fuzz")
        .ok_or("no package volary-fuzz")?;
    let mut all = Vec::new();
    for name in fuzz["targets"].as_array().into_iter().flatten().filter_map(|target| target["name"].as_str())
    {
        let longest = fuzz["metadata"]["longest"][name].as_u64();
        let longest = longest
            .ok_or_else(|| format!("fuzz/Cargo.toml does not say how long an input of {name} may be"))?;
        all.push(Target { name: name.to_owned(), longest });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_seeds_and_its_length() {
        let targets = choose(&[]).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let folder = crate::tools::root().join("fuzz/fuzz_targets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(names, files, "fuzz/Cargo.toml names the files of fuzz/fuzz_targets");
        assert!(targets.iter().all(|target| (64..=1 << 20).contains(&target.longest)), "{targets:?}");
    }

    #[test]
    fn a_target_that_is_not_there_is_named_with_those_that_are() {
        let error = choose(&["qcow3".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("qcow3") && error.contains("qcow2"), "{error}");
    }
}
