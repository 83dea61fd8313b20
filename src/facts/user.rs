//! Small look-ups about this user: passwd(5), subuid(5), PATH.

use std::path::Path;

use crate::sys::look;

/// The name for a uid in /etc/passwd.
pub fn login_name(uid: u32) -> Option<String> {
    let passwd = look::read_if_there("/etc/passwd")?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The ranges that subuid(5) or subgid(5) gives to a user, by name or by number.
pub fn ranges(file: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    parse_ranges(&look::read_if_there(file).unwrap_or_default(), uid, name)
}

fn parse_ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let who = fields.next()?;
            let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (who == uid || Some(who) == name).then_some(range)
        })
        .collect()
}

/// Where a program is in this user's PATH.
pub fn in_path(name: &str) -> Option<String> {
    let path = std::env::var("PATH").ok()?;
    path.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
        .map(|file| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "root:0:1\nann:100000:65536\n1000:200000:10\nbroken:x:y\n";
        assert_eq!(parse_ranges(text, 1000, Some("ann")), [(100_000, 65_536), (200_000, 10)]);
    }

    proptest! {
        #[test]
        fn any_subuid_file_is_read_without_a_panic(text in ".{0,80}") {
            parse_ranges(&text, 1000, Some("ann"));
        }
    }
}
