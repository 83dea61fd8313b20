//! Whether a narrated call and a witnessed one are the same call.
//!
//! The two are written down independently, in the same vocabulary. Three things may differ: a set of
//! flags has no order; a secret is not told, or not shown; and the narration names a descriptor as it was opened,
//! while the witness reads where it leads now, which is another name once roots have been swapped.

use crate::args::{Arg, Args};
use crate::event::Call;
use crate::trace::account::Answer;

/// Whether name and arguments are the same.
pub fn same_call(told: &Call, name: &str, args: &Args) -> bool {
    told.name == name && same_fields(&told.args, args)
}

/// Whether what was told of the answer is what the kernel gave.
pub fn same_answer(told: &Call, seen: &Answer) -> bool {
    match seen {
        Answer::Value(value) => told.errno.is_none() && told.result == Some(*value),
        Answer::Refused(errno) => told.errno.as_deref() == Some(errno),
    }
}

fn same_fields(told: &Args, seen: &Args) -> bool {
    let pairs = told.0.iter().zip(&seen.0);
    told.0.len() == seen.0.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
}

fn same(told: &Arg, seen: &Arg) -> bool {
    match (told, seen) {
        (Arg::Secret, _) | (_, Arg::Secret) => true,
        (Arg::Flags(told), Arg::Flags(seen)) => {
            told.len() == seen.len() && told.iter().all(|name| seen.contains(name))
        }
        (Arg::Fd(told, name), Arg::Fd(seen, path)) => {
            told == seen && same_file(name.as_deref(), path.as_deref())
        }
        (Arg::FdPath(told, _), Arg::FdPath(seen, _)) => told == seen,
        (Arg::Str(told), Arg::FdPath(seen, _)) => *told == format!("/proc/self/fd/{seen}"),
        (Arg::List(told), Arg::List(seen)) => {
            told.len() == seen.len() && told.iter().zip(seen).all(|(a, b)| same(a, b))
        }
        (Arg::Struct(told), Arg::Struct(seen)) => same_fields(told, seen),
        _ => told == seen,
    }
}

/// The last names agree, or the kernel's name is none of a path's: `socket:[7]`, the root.
fn same_file(told: Option<&str>, seen: Option<&str>) -> bool {
    let (Some(told), Some(seen)) = (told, seen) else { return true };
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    let renamed =
        seen.contains(':') || seen == "/" || told.ends_with("/.") || told.contains("/proc/self");
    renamed || last(told) == last(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_no_order_and_descriptors_several_names() {
        let flags =
            |names: &[&'static str]| Arg::Flags(names.iter().map(|n| (*n).into()).collect());
        assert!(same(&flags(&["A", "B"]), &flags(&["B", "A"])));
        assert!(!same(&flags(&["A"]), &flags(&["A", "B"])));
        let fd = |n, path: &str| Arg::Fd(n, Some(path.to_owned()));
        assert!(same(&fd(5, "/b/rootfs/dev"), &fd(5, "/dev")));
        assert!(!same(&fd(5, "/b/rootfs/dev"), &fd(5, "/proc")));
        assert!(!same(&fd(5, "/dev"), &fd(6, "/dev")));
        assert!(same(&Arg::Str("/proc/self/fd/7".into()), &Arg::FdPath(7, None)));
        assert!(!same(&Arg::FdPath(7, None), &Arg::FdPath(8, None)));
    }
}
