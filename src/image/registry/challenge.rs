//! `WWW-Authenticate`: what a server wants to be shown before it answers.
//!
//! RFC 9110, 11.6.1 and 11.2: `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`. A
//! field may have several challenges, and commas stand between those and between their parameters. It
//! decides where a password goes, so it is read strictly: what could be read in two ways is not read.

use crate::error::{Error, Result};

/// An honest field is shorter, in bytes.
const LONGEST: usize = 8 << 10;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case: `bearer`, `basic`.
    pub scheme: String,
    /// Names in lower case, each once.
    params: Vec<(String, String)>,
}

impl Challenge {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the value of one `WWW-Authenticate` field.
pub fn parse(field: &str) -> Result<Vec<Challenge>> {
    let wrong = |why: String| {
        Error::yours("the server's WWW-Authenticate cannot be understood").because(why)
    };
    if field.len() > LONGEST {
        return Err(wrong(format!("it has {} bytes", field.len())));
    }
    if let Some(odd) = field.chars().find(|c| !matches!(c, ' '..='~' | '\t')) {
        return Err(wrong(format!("{odd:?} is in it")));
    }
    let mut reader = Reader { rest: field };
    reader.challenges().map_err(|why| {
        let at = field.len() - reader.rest.len();
        wrong(format!("{why}, at byte {at} of {field:?}"))
    })
}

struct Reader<'a> {
    rest: &'a str,
}

/// RFC 9110, 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

impl<'a> Reader<'a> {
    fn challenges(&mut self) -> Result<Vec<Challenge>, &'static str> {
        let mut found = vec![];
        self.commas();
        while !self.rest.is_empty() {
            let scheme = self.token()?.to_ascii_lowercase();
            let mut challenge = Challenge { scheme, params: vec![] };
            if self.spaces() > 0 && !self.rest.is_empty() && !self.rest.starts_with(',') {
                self.params(&mut challenge)?;
            }
            found.push(challenge);
            if !self.rest.is_empty() && self.commas() == 0 {
                return Err("a comma is missing");
            }
        }
        if found.is_empty() { Err("it is empty") } else { Ok(found) }
    }

    /// `name=value` with commas between, or one token68 (as `Negotiate` has it), which is skipped. Ends before the
    /// comma that the next challenge follows.
    fn params(&mut self, challenge: &mut Challenge) -> Result<(), &'static str> {
        if self.token68() {
            return Ok(());
        }
        loop {
            let name = self.token()?.to_ascii_lowercase();
            self.spaces();
            self.rest = self.rest.strip_prefix('=').ok_or("a parameter has no `=`")?;
            self.spaces();
            let value =
                if self.rest.starts_with('"') { self.quoted()? } else { self.token()?.to_owned() };
            if challenge.param(&name).is_some() {
                return Err("a parameter is there twice");
            }
            challenge.params.push((name, value));
            self.spaces();
            let before = self.rest;
            if self.rest.is_empty() {
                return Ok(());
            }
            if self.commas() == 0 {
                return Err("a comma is missing");
            }
            if !self.is_param() {
                self.rest = if self.rest.is_empty() { "" } else { before };
                return Ok(());
            }
        }
    }

    /// Whether a parameter comes next, and no scheme.
    fn is_param(&self) -> bool {
        let after = self.rest.trim_start_matches(is_token);
        after.len() < self.rest.len() && after.trim_start_matches([' ', '\t']).starts_with('=')
    }

    /// Skips `abc/123==` where it is all that the challenge has.
    fn token68(&mut self) -> bool {
        let is_68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let after = self.rest.trim_start_matches(is_68).trim_start_matches('=');
        let over = after.trim_start_matches([' ', '\t']);
        let is_one = after.len() < self.rest.len() && (over.is_empty() || over.starts_with(','));
        if is_one {
            self.rest = over;
        }
        is_one
    }

    fn token(&mut self) -> Result<&'a str, &'static str> {
        let after = self.rest.trim_start_matches(is_token);
        let token = &self.rest[..self.rest.len() - after.len()];
        self.rest = after;
        if token.is_empty() { Err("a word is missing") } else { Ok(token) }
    }

    /// RFC 9110, 5.6.4: a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<String, &'static str> {
        let mut text = String::new();
        let mut inside = self.rest[1..].char_indices();
        while let Some((at, c)) = inside.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Ok(text);
                }
                '\\' => text.push(inside.next().ok_or("a quote is not closed")?.1),
                c => text.push(c),
            }
        }
        Err("a quote is not closed")
    }

    fn spaces(&mut self) -> usize {
        let after = self.rest.trim_start_matches([' ', '\t']);
        let count = self.rest.len() - after.len();
        self.rest = after;
        count
    }

    /// How many there were, with spaces around them.
    fn commas(&mut self) -> usize {
        let mut count = 0;
        self.spaces();
        while let Some(after) = self.rest.strip_prefix(',') {
            self.rest = after;
            self.spaces();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_registries_send_is_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        let found = parse(hub).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].param("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(found[0].param("service"), Some("registry.docker.io"));
        let both =
            parse(r#"Negotiate, Basic realm="a, b\" c", BEARER Realm = x , error="y""#).unwrap();
        let schemes: Vec<&str> = both.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(both[1].param("realm"), Some("a, b\" c"));
        assert_eq!(both[2].param("error"), Some("y"));
        let token68 = parse("Negotiate YII/abc==, Basic realm=x").unwrap();
        assert_eq!(token68[1].param("realm"), Some("x"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let long = format!("Bearer realm=\"{}\"", "a".repeat(LONGEST));
        for bad in [
            "",
            ",",
            " , ,",
            "Bearer realm=\"x",
            "Bearer realm=\"x\\",
            "Bearer realm=x realm=y",
            "Bearer realm=x,REALM=y",
            "Bearer realm=\"x\" service=y",
            "=x",
            "Bearer realm=\"a\u{1}b\"",
            "Bearer realm=\"\u{e9}\"",
            "Bearer realm=a\r\nX: y",
            "Bearer \"x\"",
            &long,
        ] {
            assert!(parse(bad).is_err(), "{bad:?}: {:?}", parse(bad));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\t]{0,60}|.{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_is_read(
            challenges in prop::collection::vec(
                ("[a-z][a-z0-9-]{0,8}", prop::collection::btree_map("[a-z]{1,6}", "[ -~]{0,20}", 1..4)), 1..4)
        ) {
            let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let written: Vec<String> = challenges.iter().map(|(scheme, params)| {
                let params: Vec<_> =
                    params.iter().map(|(name, value)| format!("{name}=\"{}\"", quote(value))).collect();
                format!("{scheme} {}", params.join(","))
            }).collect();
            let read = parse(&written.join(", ")).unwrap();
            prop_assert_eq!(read.len(), challenges.len());
            for (read, (scheme, params)) in read.iter().zip(&challenges) {
                prop_assert_eq!(&read.scheme, scheme);
                for (name, value) in params {
                    prop_assert_eq!(read.param(name), Some(value.as_str()));
                }
            }
        }
    }
}
