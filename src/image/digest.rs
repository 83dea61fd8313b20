//! Digests: what something is called by what it is.
//!
//! OCI image-spec, "Digests": `sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and 128. The
//! algorithm is part of the name; what names another one cannot be checked, and is refused.

use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, Result};

/// A checked digest, `sha256:…` or `sha512:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The hash functions that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Of a digest, in hexadecimal digits.
    fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

impl Digest {
    /// The SHA-256 of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut sum = Sum::new(Algorithm::Sha256);
        sum.update(bytes);
        sum.finish()
    }

    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The digits alone.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// Enough of it to recognise it by: twelve digits.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let wrong = |why: String| {
            Error::yours(format!("{text:?} is no digest"))
                .because(why)
                .try_this("sha256:<64 digits>")
        };
        let (name, hex) = text.split_once(':').ok_or_else(|| wrong("it has no `:`".into()))?;
        let known = Algorithm::ALL.into_iter().find(|known| known.name() == name);
        let algorithm = known.ok_or_else(|| wrong("sha256 and sha512 are known".into()))?;
        let digits = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits || hex.len() != algorithm.digits() {
            let count = algorithm.digits();
            return Err(wrong(format!("{name} takes {count} lower-case hexadecimal digits")));
        }
        Ok(Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Digest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub enum Sum {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Sum {
    pub fn new(algorithm: Algorithm) -> Sum {
        match algorithm {
            Algorithm::Sha256 => Sum::Sha256(Sha256::new()),
            Algorithm::Sha512 => Sum::Sha512(Box::new(Sha512::new())),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Sum::Sha256(sum) => sum.update(bytes),
            Sum::Sha512(sum) => sum.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        match self {
            Sum::Sha256(sum) => named(Algorithm::Sha256, &sum.finalize()),
            Sum::Sha512(sum) => named(Algorithm::Sha512, &sum.finalize()),
        }
    }
}

fn named(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut text = format!("{}:", algorithm.name());
    bytes.iter().for_each(|byte| {
        let _ = write!(text, "{byte:02x}");
    });
    Digest(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_nothing_it_is_the_known_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn what_is_none_is_refused() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let slash = format!("sha256:{}", "../".repeat(22));
        for bad in ["", "sha256:", "sha256:abc", "md5:abc", &upper, &slash] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_one_is_harmless_as_a_file_name(text in "(sha256|sha512):?[a-f0-9./]{0,129}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert!(digest.hex().bytes().all(|b| b.is_ascii_hexdigit()));
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
