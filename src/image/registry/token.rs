//! What a registry wants to be shown: a password, or a token that one gets for it elsewhere.
//!
//! distribution's "Token Authentication Specification"; RFC 6750, RFC 7617. The registry answers 401 and says where
//! tokens are given out. Many give them to anybody who wants to read, without a password.
//!
//! What is asked for is reading this one repository, whatever scope the registry names: a token for more would be
//! in the registry's hands.

use std::sync::PoisonError;

use serde::Deserialize;
use ureq::http::Uri;

use super::ask::{Asked, Question, Tell, Trouble};
use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::{Inside, rules};
use crate::error::{Error, Result};

/// An honest answer with a token is smaller, in bytes.
const LARGEST: u64 = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Inside {
    /// What is shown to the registry at the moment.
    pub fn pass(&self) -> Option<String> {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new one after a 401, or the one that another thread got in the meantime.
    pub fn new_pass(
        &self,
        asked: &Asked,
        shown: Option<&str>,
        tell: Tell,
    ) -> Result<String, Trouble> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = pass.as_deref().filter(|pass| Some(*pass) != shown) {
            return Ok(newer.to_owned());
        }
        let fresh = self.meet(&self.challenges(asked)?, tell)?;
        if Some(fresh.as_str()) == shown {
            // A password that was refused is refused again.
            return Err(self.denied(401, "").into());
        }
        *pass = Some(fresh.clone());
        Ok(fresh)
    }

    fn challenges(&self, asked: &Asked) -> Result<Vec<Challenge>> {
        let mut found = vec![];
        for field in asked.0.headers().get_all("www-authenticate") {
            let field = field.to_str().map_err(|_| {
                Error::yours("the server's WWW-Authenticate cannot be understood")
                    .because("it is not written in ASCII")
            })?;
            found.extend(challenge::parse(field)?);
        }
        Ok(found)
    }

    fn meet(&self, challenges: &[Challenge], tell: Tell) -> Result<String, Trouble> {
        let of = |scheme: &str| challenges.iter().find(|c| c.scheme == scheme);
        if let Some(bearer) = of("bearer") {
            return self.token(bearer, tell).map(|token| format!("Bearer {token}"));
        }
        if of("basic").is_some() {
            return self.basic().ok_or_else(|| self.denied(401, "").into());
        }
        let asked: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
        Err(Error::yours("the registry lets in by no way that learnc knows")
            .because(format!("it asks for {}; Bearer and Basic are known", asked.join(", ")))
            .into())
    }

    fn basic(&self) -> Option<String> {
        self.credentials.as_ref().and_then(Credentials::basic)
    }

    fn token(&self, bearer: &Challenge, tell: Tell) -> Result<String, Trouble> {
        let realm = bearer.param("realm").unwrap_or_default();
        let realm = rules::realm(&self.home, realm, self.is_local())?;
        let scope = format!("repository:{}:pull", self.name.repository);
        let mut wishes = vec![("scope", scope.as_str())];
        wishes.extend(bearer.param("service").map(|service| ("service", service)));
        let uri = with_query(&realm, &wishes)?;
        let pass = self.basic();
        let question = Question {
            uri: &uri,
            shown: shown(&realm, &wishes),
            accept: "application/json",
            from: 0,
            pass: pass.as_deref(),
        };
        let mut asked = self.follow(question, tell)?;
        match asked.status() {
            200 => {}
            // A refusal here is of the password, or of this repository to anybody without one.
            _ => return Err(self.refusal(asked)),
        }
        let bytes = self.all(&mut asked, LARGEST)?;
        let answer = serde_json::from_slice::<Answer>(&bytes);
        let token = answer.ok().and_then(|answer| answer.token.or(answer.access_token));
        let is_one =
            |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        token.filter(is_one).ok_or_else(|| {
            Error::yours("there is no token in what the registry's realm answered")
                .at(rules::shown(&realm))
                .into()
        })
    }

    /// Why one is not let in, as far as it is known here, and as the registry says it.
    pub fn denied(&self, status: u16, complaint: &str) -> Error {
        let name = &self.name.registry;
        let login = format!("podman login {name}, or docker login {name}");
        let (why, remedy) = match &self.credentials {
            None => (
                format!("no password for {name} was found; the image may also not be there"),
                format!("{login}, or --authfile FILE"),
            ),
            Some(Credentials::Elsewhere(why)) => {
                (why.clone(), "--authfile with a file that `podman login --authfile` wrote".into())
            }
            Some(Credentials::Password { user, .. }) => {
                (format!("it was asked as {user:?}"), format!("{login}, once more"))
            }
        };
        let why = if complaint.is_empty() { why } else { format!("{complaint}; {why}") };
        Error::yours(format!("the registry does not let learnc read this image ({status})"))
            .because(why)
            .try_this(remedy)
    }
}

/// RFC 3986, 2.3: everything else is escaped.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(escape).collect()
}

fn query(wishes: &[(&str, &str)]) -> String {
    let wishes = wishes.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    wishes.collect::<Vec<_>>().join("&")
}

fn with_query(realm: &Uri, wishes: &[(&str, &str)]) -> Result<Uri> {
    let mark = if realm.query().is_some() { '&' } else { '?' };
    let text = format!("{realm}{mark}{}", query(wishes));
    text.parse().map_err(|_| Error::yours("the registry's realm makes no address"))
}

/// The realm without a query of its own, and what is asked of it.
fn shown(realm: &Uri, wishes: &[(&str, &str)]) -> String {
    let mark = if realm.query().is_some() { "&" } else { "?" };
    format!("{}{mark}{}", rules::shown(realm), query(wishes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_for_a_token_is_escaped_and_shown_without_the_realms_own_secrets() {
        let realm: Uri = "https://a.example/t?key=secret".parse().unwrap();
        let wishes = [("scope", "repository:a/b:pull"), ("service", "x&y= z")];
        let uri = with_query(&realm, &wishes).unwrap().to_string();
        let expected =
            "https://a.example/t?key=secret&scope=repository:a/b:pull&service=x%26y%3D%20z";
        assert_eq!(uri, expected);
        assert_eq!(
            shown(&realm, &wishes),
            "https://a.example/t?…&scope=repository:a/b:pull&service=x%26y%3D%20z"
        );
    }
}
