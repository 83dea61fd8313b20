//! A plan as a program: a shell script that makes the same container without learnc.
//!
//! sh(1), unshare(1), nsenter(1), setpriv(1), pivot_root(8), mount(8). The parts know the commands
//! that do what their steps do ([`Step::by_hand`]); here they are put together so that they work:
//!
//! ```text
//!   the script                    the container's first process
//!   ──────────                    ─────────────────────────────
//!   steps before the clone
//!   start unshare …  ───────────► sh, which obeys
//!   id maps, cgroup
//!   inside  ── commands ────────► does them
//!           ◄─ done ─────────────
//!   entered pivot_root . .        (its root is moved under it)
//!   last    ── exec CMD ────────► becomes the program
//!   wait
//! ```
//!
//! One thing forces another order than the plan's. Privileges are given up by the host's setpriv,
//! which is out of reach once the roots are swapped; so the swap comes later here, and is done from
//! outside: pivot_root(2) moves the root of *every* process of the mount namespace. Without a mount
//! namespace the program is started through chroot, which therefore needs its capability to the end.
//!
//! What is fixed of the script is in `begin.sh`, `work.sh` and `end.sh`. Pure, like the plan.

mod privileges;
mod way;

use std::fmt::Write;

use crate::args::{plain, shell};
use crate::lesson::words;
use crate::parts::idmap::IdMap;
use crate::parts::process::Process;
use crate::parts::rootfs::Rootfs;
use crate::parts::state::State;
use crate::plan::{Act, Plan, Step};
use privileges::{keeps_chroot, pivots};
use way::Way;

/// What the script says, what it runs for that, and which package of Debian's brings it.
const TOOLS: &[(&str, &str, &str)] = &[
    ("start", "env", "coreutils"),
    ("unshare", "unshare", "util-linux"),
    ("setpriv", "setpriv", "util-linux"),
    ("lower", "setpriv", "util-linux"),
    ("setsid", "setsid", "util-linux"),
    ("nsenter", "nsenter", "util-linux"),
    ("entered", "nsenter", "util-linux"),
    ("pivot_root", "pivot_root", "util-linux"),
    ("prlimit", "prlimit", "util-linux"),
    ("mount", "mount", "mount"),
    ("umount", "umount", "mount"),
    ("chroot", "chroot", "coreutils"),
    ("mknod", "mknod", "coreutils"),
    ("install", "install", "coreutils"),
    ("sha256sum", "sha256sum", "coreutils"),
    ("newuidmap", "newuidmap", "uidmap"),
    ("newgidmap", "newgidmap", "uidmap"),
    ("hostname", "hostname", "hostname"),
    ("domainname", "domainname", "hostname"),
    ("tar", "tar", "tar"),
    ("curl", "curl", "curl"),
];

/// The script. `visit` is what looks at a root filesystem in which nothing is started.
pub fn sh(plan: &Plan, visit: Option<&[String]>) -> String {
    let (mut body, mut own) = (String::new(), String::new());
    for index in order(plan) {
        let way = way::way(plan, &plan.steps[index]);
        let text = paragraph(plan, index, &way);
        body.push_str(&text);
        if !matches!(way, Way::Last(_)) {
            own.push_str(&text);
        }
    }
    if !plan.has_no_process() {
        // Whoever becomes the program has given up privileges. The rest of its words are the program's.
        own.push_str("setpriv\n");
        body.push_str(include_str!("end.sh"));
    } else if let Some(visit) = visit {
        let words: Vec<String> = visit.iter().map(shell).collect();
        let title = words::title("visit", None);
        let _ = write!(body, "\n# {title}\ncd \"$ROOT\"\n{}\n", words.join(" "));
    }
    let mut rest = String::new();
    for (_, tool, package) in tools(&own) {
        let _ = writeln!(rest, "need {tool} {package}");
    }
    if !plan.has_no_process() {
        rest.push_str("env --default-signal=INT true || give_up 'needs env of coreutils 8.31'\n");
    }
    rest.push_str(include_str!("work.sh"));
    let _ = writeln!(rest, "ROOT={}\nJOIN={}\nexport ROOT OBEY", root(plan), shell(join(plan)));
    rest.push_str(&body);
    begin(&rest) + &rest
}

/// The fixed beginning, without the functions that nothing in this script calls.
fn begin(rest: &str) -> String {
    let whole = include_str!("begin.sh");
    let is_called = |paragraph: &&str| {
        let head = paragraph.lines().find_map(|line| line.strip_suffix("() {"));
        let calls = |text: &str, name| text.split([' ', '\n', '"']).filter(|w| *w == name).count();
        // Its description names it too.
        head.is_none_or(|name| calls(whole, name) + calls(rest, name) > calls(paragraph, name))
    };
    let paragraphs: Vec<&str> = whole.trim_end().split("\n\n").filter(is_called).collect();
    paragraphs.join("\n\n") + "\n\n"
}

/// The tools that the script's own lines name, each once.
fn tools(own: &str) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let lines = own.lines().filter(|line| !line.starts_with('#'));
    let words: Vec<&str> = lines.flat_map(|l| l.split([' ', '(', ')', '"'])).collect();
    let named = move |word: &str| words.contains(&word);
    let mut tools: Vec<_> = TOOLS.iter().filter(|(word, ..)| named(word)).collect();
    tools.sort_by_key(|(_, tool, package)| (package, tool));
    tools.dedup_by_key(|(_, tool, _)| tool);
    tools.into_iter()
}

/// Where the root filesystem is: the bundle's, or one that the script makes in its own folder.
fn root(plan: &Plan) -> String {
    let root = plan.steps.iter().find_map(|step| match &step.act {
        Act::Tree(_) => Some("$WORK/rootfs".to_owned()),
        Act::State(State::Created { record, .. }) => Some(shell(&record.rootfs)),
        _ => None,
    });
    root.unwrap_or_else(|| "$WORK/rootfs".to_owned())
}

/// How nsenter(1) becomes somebody in the container's user namespace. Where setgroups(2) is given
/// up, it must not call it.
fn join(plan: &Plan) -> &'static str {
    let denied = plan.steps.iter().find_map(|step| match &step.act {
        Act::IdMap(IdMap::BecomeRoot { groups }) => Some(!groups),
        _ => None,
    });
    match denied {
        None => "",
        Some(false) => "--user",
        Some(true) => "--user --preserve-credentials",
    }
}

/// Steps of the swap by pivot_root, which are done from outside.
fn is_swap(plan: &Plan, step: &Step) -> bool {
    let swaps = [Act::Rootfs(Rootfs::Pivot), Act::Rootfs(Rootfs::ReadOnly)].contains(&step.act);
    pivots(plan) && (swaps || matches!(step.act, Act::Rootfs(Rootfs::Final { .. })))
}

/// The plan's order, but for the swap, which comes after the last step that needs the host's tools.
fn order(plan: &Plan) -> Vec<usize> {
    let (swap, rest): (Vec<usize>, Vec<usize>) =
        (0..plan.steps.len()).partition(|i| is_swap(plan, &plan.steps[*i]));
    let is_cwd = |i: &usize| matches!(plan.steps[*i].act, Act::Process(Process::Cwd(_)));
    let at = rest.iter().position(is_cwd).unwrap_or(rest.len());
    [&rest[..at], &swap, &rest[at..]].concat()
}

/// One step: its number and title, and what does it.
fn paragraph(plan: &Plan, index: usize, way: &Way) -> String {
    let step = &plan.steps[index];
    let title = plain(&words::title(step.key, step.subject.as_deref()));
    let name = format!("{}/{} {title}", index + 1, plan.steps.len());
    let mut text = format!("\n# {name}\n");
    let remark = words::step(step.key).and_then(|words| words.by_hand.as_deref());
    match way {
        Way::Outside(lines) => lines.iter().for_each(|line| text += &format!("{line}\n")),
        Way::Inside(lines) => text += &handed("inside", lines),
        Way::OffTerminal(lines) => text += &handed("[ -t 0 ] || inside", lines),
        Way::Last(lines) => text += &handed("last", lines),
        Way::Never => {
            if let Some(remark) = remark {
                text += &format!("# {remark}\n");
            }
            text += &format!("cannot {}\n", shell(&name));
        }
    }
    if keeps_chroot(plan) && step.act == Act::Rootfs(Rootfs::Chroot) {
        text += "keeps_chroot\n";
    }
    if matches!(step.act, Act::Process(Process::CloseFrom(_))) {
        text += &format!("name_leaks {}\n", shell(&name));
    }
    let swap: Vec<&Step> = plan.steps.iter().filter(|step| is_swap(plan, step)).collect();
    if swap.first().is_some_and(|first| *first == step) {
        text.insert_str(0, "\nlower\n");
        if let Some(make) = way::made_before(plan) {
            text.insert_str(0, &format!("\n{}", handed("inside", &[make])));
        }
    }
    if swap.last().is_some_and(|last| *last == step) {
        text += "entered umount -l /\n";
    }
    text
}

/// `inside <<'DO'`, the lines, and a last line that is none of them.
fn handed(verb: &str, lines: &[String]) -> String {
    let text = lines.join("\n");
    let mut end = "DO".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    format!("{verb} <<'{end}'\n{text}\n{end}\n")
}
