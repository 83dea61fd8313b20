//! The machine an image is for: this one, and the choice in an index.
//!
//! image-spec, image-index.md, "platform object": Go's words for architectures, and a variant for some of them.
//! A machine of a later variant runs programs of an earlier one: arm's v7 those of v6.

use super::document::{Descriptor, Index, Platform};
use crate::error::{Error, Result};

/// Rust's word for an architecture, Go's, and the variant that is meant where none is written.
const NAMES: [(&str, &str, Option<&str>); 10] = [
    ("x86_64", "amd64", None),
    ("aarch64", "arm64", Some("v8")),
    ("arm", "arm", Some("v7")),
    ("x86", "386", None),
    ("riscv64", "riscv64", None),
    ("powerpc64", "ppc64le", None),
    ("s390x", "s390x", None),
    ("loongarch64", "loong64", None),
    ("mips64", "mips64le", None),
    ("mips", "mipsle", None),
];

impl Platform {
    /// Of this machine.
    pub fn here() -> Platform {
        let rust = std::env::consts::ARCH;
        let (go, variant) = NAMES
            .iter()
            .find(|(known, ..)| *known == rust)
            .map_or((rust, None), |(_, go, variant)| (*go, *variant));
        Platform {
            architecture: go.to_owned(),
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// `linux/arm64/v8`, `linux/amd64`; `arm64` alone is of linux.
    pub fn parse(text: &str) -> Result<Platform> {
        let word = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            _ if !parts.iter().all(word) => return Err(no_platform(text)),
            [architecture] => ("linux", architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(no_platform(text)),
        };
        // What uname(1) says is understood too, but where it is Go's word for another machine.
        let go = NAMES.iter().find(|(rust, ..)| *rust == architecture).map(|(_, go, _)| *go);
        let go = go.filter(|_| !["mips", "mips64"].contains(&architecture));
        Ok(Platform {
            architecture: go.unwrap_or(architecture).to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
        })
    }

    /// The variant, or what is meant where none is written.
    fn variant(&self) -> &str {
        let usual = NAMES.iter().find(|(_, go, _)| *go == self.architecture);
        let usual = usual.and_then(|(.., variant)| *variant);
        self.variant.as_deref().or(usual).unwrap_or_default()
    }

    /// Whether a machine of this platform runs an image for `other`.
    pub fn runs(&self, other: &Platform) -> bool {
        self.fit(other).is_some()
    }

    /// How well: higher is better. `None`: not at all.
    fn fit(&self, other: &Platform) -> Option<u32> {
        if (&self.os, &self.architecture) != (&other.os, &other.architecture) {
            return None;
        }
        if self.variant() == other.variant() {
            return Some(u32::MAX);
        }
        let level = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
        // No variant is the first of them.
        let mine = level(self.variant()).unwrap_or(1);
        let theirs = if other.variant().is_empty() { 1 } else { level(other.variant())? };
        (theirs <= mine).then_some(theirs)
    }

    /// The image for this platform in an index: the best, and of several the first, as image-spec has it.
    pub fn choose<'a>(&self, index: &'a Index) -> Result<&'a Descriptor> {
        let mut best: Option<(u32, &Descriptor)> = None;
        for image in index.manifests.iter().filter(|image| image.is_manifest() || image.is_index())
        {
            let Some(fit) = image.platform.as_ref().and_then(|other| self.fit(other)) else {
                continue;
            };
            if best.is_none_or(|(other, _)| fit > other) {
                best = Some((fit, image));
            }
        }
        if let Some((_, image)) = best {
            return Ok(image);
        }
        // An index of one image, which says of no platform, is that image under another name.
        match &index.manifests[..] {
            [only] if only.platform.is_none() => Ok(only),
            all => Err(self.missing(all)),
        }
    }

    fn missing(&self, there: &[Descriptor]) -> Error {
        // Attestations, as docker's buildx adds them, are for no machine.
        let known = there.iter().filter_map(|image| image.platform.as_ref());
        let known = known.filter(|platform| platform.os != "unknown").map(Platform::to_string);
        let known: Vec<String> = known.take(40).collect();
        let error = Error::yours(format!("the image is not there for {self}"));
        match known.first() {
            None => error.because("its index names no platform"),
            Some(first) => error
                .because(format!("it is there for {}", known.join(", ")))
                .try_this(format!("--platform {first}, to look at it")),
        }
    }
}

fn no_platform(text: &str) -> Error {
    Error::yours(format!("{text:?} is no platform"))
        .try_this("os/architecture[/variant]: linux/arm64/v8")
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::document::OCI_MANIFEST;

    fn index(platforms: &[&str]) -> Index {
        let image = |platform: &&str| Descriptor {
            platform: Some(Platform::parse(platform).unwrap()),
            ..Descriptor::new(OCI_MANIFEST, platform.as_bytes())
        };
        Index {
            schema_version: 2,
            media_type: None,
            manifests: platforms.iter().map(image).collect(),
            annotations: None,
        }
    }

    fn chosen(wish: &str, there: &[&str]) -> Result<String> {
        let index = index(there);
        let image = Platform::parse(wish)?.choose(&index)?;
        Ok(image.platform.as_ref().unwrap().to_string())
    }

    #[test]
    fn the_best_that_the_machine_runs_is_chosen() {
        let there = ["linux/386", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "linux/amd64"];
        assert_eq!(chosen("linux/amd64", &there).unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/arm64/v8", &there).unwrap(), "linux/arm64");
        assert_eq!(chosen("aarch64", &there).unwrap(), "linux/arm64");
        assert_eq!(chosen("linux/arm/v7", &there).unwrap(), "linux/arm/v7");
        assert_eq!(chosen("linux/arm/v6", &there).unwrap(), "linux/arm/v6");
        assert_eq!(chosen("linux/arm/v8", &there).unwrap(), "linux/arm/v7");
        assert_eq!(
            chosen("linux/amd64", &["linux/amd64/v2", "linux/amd64"]).unwrap(),
            "linux/amd64"
        );
        assert!(chosen("linux/amd64", &["linux/amd64/v3"]).is_err());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let error = chosen("linux/s390x", &["linux/amd64", "linux/arm/v7"]).unwrap_err();
        assert!(error.to_string().contains("linux/s390x"));
        assert!(error.diagnosis.as_ref().unwrap().contains("linux/amd64, linux/arm/v7"));
        assert!(chosen("windows/amd64", &["linux/amd64"]).is_err());
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/amd64 x"] {
            assert!(Platform::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_index_of_one_without_a_platform_is_that_one() {
        let mut one = index(&["linux/amd64"]);
        one.manifests[0].platform = None;
        assert!(Platform::parse("linux/s390x").unwrap().choose(&one).is_ok());
        one.manifests.clear();
        assert!(Platform::here().choose(&one).is_err());
    }
}
