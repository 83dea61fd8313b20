//! Whom an image means by a user: its own /etc/passwd and /etc/group say so, never the host's.
//!
//! passwd(5), group(5); image-spec, config.md, "User": `user`, `uid`, `user:group`, `uid:gid`, and what lies
//! between. As docker reads it: a name is looked for first, then a number; the group is the user's own where none
//! is given, and then the user's further groups count, too.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Who runs the program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Where it is at home, if the image knows it.
    pub home: Option<String>,
}

/// Reads `USER[:GROUP]` by these two files' texts.
pub fn account(wanted: &str, passwd: &str, group: &str) -> Result<Account> {
    let (user, of_group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let user = if user.is_empty() { "0" } else { user };
    let lines = || passwd.lines().filter_map(Line::read);
    let number = user.parse::<u32>().ok();
    let known =
        lines().find(|l| l.name == user).or_else(|| lines().find(|l| Some(l.uid) == number));
    let uid = match (&known, number) {
        (Some(line), _) => line.uid,
        (None, Some(number)) => number,
        (None, None) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let home = known.as_ref().map(|line| line.home.to_owned()).filter(|home| !home.is_empty());
    if !of_group.is_empty() {
        let gid = gid(of_group, group)?;
        return Ok(Account { uid, gid, groups: vec![], home });
    }
    let Some(line) = known else { return Ok(Account { uid, gid: 0, groups: vec![], home }) };
    let mut groups: Vec<u32> = groups(group)
        .filter(|(_, _, members)| members.split(',').any(|member| member == line.name))
        .map(|(_, gid, _)| gid)
        .collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(Account { uid, gid: line.gid, groups, home })
}

/// A line of passwd(5).
struct Line<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl Line<'_> {
    fn read(line: &str) -> Option<Line<'_>> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, rest @ ..] = &fields[..] else { return None };
        let home = rest.get(1).copied().unwrap_or_default();
        Some(Line { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    }
}

/// Name, number and members of each group.
fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

fn gid(wanted: &str, text: &str) -> Result<u32> {
    let named = groups(text).find(|(name, ..)| *name == wanted).map(|(_, gid, _)| gid);
    let gid = named.or_else(|| wanted.parse().ok());
    gid.ok_or_else(|| unknown("group", wanted, "/etc/group"))
}

fn unknown(kind: &str, name: &str, file: &str) -> Error {
    if name.strip_prefix('-').unwrap_or(name).bytes().all(|b| b.is_ascii_digit()) {
        return Error::yours(format!("{name} is no {kind} id"))
            .because("ids go from 0 to 4294967294")
            .try_this("--user with one of these, or a name that is in the image");
    }
    Error::yours(format!("there is no {kind} {name:?} in the image"))
        .because(format!("its {file} has no such name"))
        .try_this("--user with a number, or a name that is there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n7:x:70:71::/seven:\n\
                          broken\nworse:x:y:z\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:4:web,root\nmore:x:5:other,web\n9:x:90:\n";

    fn read(wanted: &str) -> (u32, u32, Vec<u32>) {
        let Account { uid, gid, groups, .. } = account(wanted, PASSWD, GROUP).unwrap();
        (uid, gid, groups)
    }

    #[test]
    fn a_name_is_the_images_and_a_number_needs_no_name() {
        assert_eq!(read("web"), (33, 34, vec![4, 5]));
        assert_eq!(read("33"), (33, 34, vec![4, 5]));
        assert_eq!(read(""), (0, 0, vec![4]));
        assert_eq!(read("1234"), (1234, 0, vec![]));
        assert_eq!(read("1234:5678"), (1234, 5678, vec![]));
        assert_eq!(read("web:logs"), (33, 4, vec![]));
        assert_eq!(read(":logs"), (0, 4, vec![]));
        // A name that looks like a number is a name.
        assert_eq!(read("7:9"), (70, 90, vec![]));
        assert_eq!(account("web", PASSWD, GROUP).unwrap().home.as_deref(), Some("/srv"));
    }

    #[test]
    fn an_unknown_name_is_an_error_and_never_somebody_else() {
        for wanted in ["nobody-here", "web:nobody-here", "worse", "-1", "4294967296"] {
            assert!(account(wanted, PASSWD, GROUP).is_err(), "{wanted}");
        }
        for wanted in ["-1", "4294967296", "0:99999999999"] {
            let error = account(wanted, PASSWD, GROUP).unwrap_err();
            assert!(error.to_string().contains("is no "), "{error}");
        }
        assert!(account("root", "", "").is_err());
        assert_eq!(account("0", "", "").unwrap(), Account::default());
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_and_no_panic(wanted in ".{0,12}", text in "([a-z0-9:,]{0,20}\n){0,6}") {
            let _ = account(&wanted, &text, &text);
        }
    }
}
