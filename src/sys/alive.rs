//! Whether a process lives, and how far it is: `/proc/PID/stat`, proc_pid_stat(5).
//!
//! Between two looks it may be gone, and its number another's: what belongs together is of one look.

use super::look::read_if_there;

/// What is said of a process at one moment.
struct Stat {
    /// `R`, `S`, `Z` …
    state: char,
    /// PF_* of the kernel.
    flags: u64,
    /// In clock ticks since boot.
    start_time: u64,
}

/// None when there is no such process. The name in field 2 may contain anything, so counting starts behind
/// its last bracket.
fn stat(pid: i32) -> Option<Stat> {
    let text = read_if_there(format!("/proc/{pid}/stat"))?;
    let rest = &text[text.rfind(')')? + 1..];
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // By the manual's numbers, of which the first here is 3.
    let number = |field: usize| fields.get(field - 3)?.parse().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        flags: number(9)?,
        start_time: number(22)?,
    })
}

/// PF_FORKNOEXEC: forked and not yet exec'd. Readable in a zombie too. None when there is no such process.
pub fn has_not_execed(pid: i32) -> Option<bool> {
    stat(pid).map(|stat| stat.flags & 0x40 != 0)
}

/// Whether a process has ended, or is about to: PF_EXITING, 0x4, comes before its memory goes.
pub fn is_ending(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.flags & 0x4 != 0 || stat.state == 'Z')
}

/// Start time of a process in clock ticks since boot: with the pid, what identifies it.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// Whether the process that began at this time lives: it is there, and no zombie.
pub fn lives(pid: i32, start_time: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_time == start_time && !matches!(stat.state, 'Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_has_its_start_time_and_does_not_live() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        let began = start_time(pid).unwrap();
        while stat(pid).unwrap().state != 'Z' {
            std::thread::yield_now();
        }
        assert_eq!(
            (start_time(pid), lives(pid, began), is_ending(pid)),
            (Some(began), false, true)
        );
        child.wait().unwrap();
        assert_eq!((start_time(pid), lives(pid, began)), (None, false));
        let own = std::process::id() as i32;
        let began = start_time(own).unwrap();
        assert!(lives(own, began) && !lives(own, began + 1) && has_not_execed(own) == Some(false));
    }
}
