//! Device rules on cgroup v2: a small program that the kernel asks.
//!
//! v2 has no devices controller. Instead a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE is
//! attached to the cgroup; the kernel runs it whenever a process there opens or makes a device, and
//! 0 means EPERM. linux/bpf.h gives it one structure: access_type (kind of device in the low half,
//! what is wanted in the high half), major, minor.
//!
//! Rules are tried from the last to the first and the first that fits decides, so the program reads
//! like the list backwards.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::error::{Error, Result};
use crate::sys::Insn;

/// One rule. None matches anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// BPF_DEVCG_ACC_* bits: mknod 1, read 2, write 4.
    pub access: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// BPF_DEVCG_DEV_BLOCK
    Block = 1,
    /// BPF_DEVCG_DEV_CHAR
    Char = 2,
}

const ALL: u32 = 7;

/// What every container may do with devices once a config restricts them: use the default ones,
/// terminals included, and make any node (opening it is another rule).
pub fn default_rules() -> Vec<LinuxDeviceCgroup> {
    let any = |kind| default_rule(kind, None, None, "m");
    let node = |major, minor| default_rule(LinuxDeviceType::C, Some(major), minor, "rwm");
    vec![
        any(LinuxDeviceType::C),
        any(LinuxDeviceType::B),
        node(1, Some(3)),
        node(1, Some(5)),
        node(1, Some(7)),
        node(1, Some(8)),
        node(1, Some(9)),
        node(5, Some(0)),
        node(5, Some(1)),
        node(5, Some(2)),
        node(136, None),
    ]
}

fn default_rule(
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true).set_typ(Some(kind)).set_major(major).set_minor(minor);
    rule.set_access(Some(access.to_owned()));
    rule
}

/// The config's rules, checked.
pub fn read(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    rules
        .iter()
        .enumerate()
        .map(|(i, rule)| one(rule).map_err(|e| e.at(format!("linux.resources.devices[{i}]"))))
        .collect()
}

fn one(rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let number = |n: Option<i64>, field| match n {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| Error::yours(format!("{n} is no device number")).at(field)),
    };
    let mut access = 0;
    for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
        access |= match letter {
            'm' => 1,
            'r' => 2,
            'w' => 4,
            other => {
                let text = format!("{other:?} is none of r, w, m");
                return Err(Error::yours(text).at("access"));
            }
        };
    }
    Ok(Rule {
        allow: rule.allow(),
        kind: match rule.typ().unwrap_or_default() {
            LinuxDeviceType::B => Some(Kind::Block),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Char),
            _ => None,
        },
        major: number(rule.major(), "major")?,
        minor: number(rule.minor(), "minor")?,
        access,
    })
}

// Opcodes: linux/bpf.h. Registers: 1 holds the context, 2 the kind, 3 the access, 4 major, 5 minor.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

fn insn(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: destination | source << 4, offset, immediate }
}

/// The program for a list of rules; what no rule fits is refused.
pub fn program(rules: &[Rule]) -> Vec<Insn> {
    let mut program = vec![
        insn(LOAD_WORD, 2, 1, 0, 0),
        insn(MOVE_REGISTER, 3, 2, 0, 0),
        insn(AND, 2, 0, 0, 0xffff),
        insn(SHIFT_RIGHT, 3, 0, 0, 16),
        insn(LOAD_WORD, 4, 1, 4, 0),
        insn(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(block(rule));
        if rule.kind.is_none() && rule.major.is_none() && rule.access == ALL {
            return program;
        }
    }
    program.extend([insn(MOVE, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    program
}

/// Tests that skip to the end of the block when they fail, then the verdict.
fn block(rule: &Rule) -> Vec<Insn> {
    let mut tests = Vec::new();
    if let Some(kind) = rule.kind {
        tests.push(insn(JUMP_UNLESS_EQUAL, 2, 0, 0, kind as i32));
    }
    if rule.access != ALL {
        // What is wanted, less what the rule speaks of, must be nothing.
        tests.push(insn(MOVE_REGISTER, 1, 3, 0, 0));
        tests.push(insn(AND, 1, 0, 0, (!rule.access & ALL) as i32));
        tests.push(insn(JUMP_UNLESS_EQUAL, 1, 0, 0, 0));
    }
    if let Some(major) = rule.major {
        tests.push(insn(JUMP_UNLESS_EQUAL, 4, 0, 0, major as i32));
    }
    if let Some(minor) = rule.minor {
        tests.push(insn(JUMP_UNLESS_EQUAL, 5, 0, 0, minor as i32));
    }
    let verdict = [insn(MOVE, 0, 0, 0, rule.allow.into()), insn(EXIT, 0, 0, 0, 0)];
    let length = tests.len() + verdict.len();
    for (i, test) in tests.iter_mut().enumerate() {
        if test.code == JUMP_UNLESS_EQUAL {
            test.offset = (length - i - 1) as i16;
        }
    }
    tests.into_iter().chain(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: a reading of the few opcodes that are used.
    fn run(program: &[Insn], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [kind | access << 16, major, minor];
        let mut r = [0u32; 6];
        let mut at = 0;
        loop {
            let i = program[at];
            let (d, s) = ((i.registers & 15) as usize, (i.registers >> 4) as usize);
            at += 1;
            match i.code {
                LOAD_WORD => r[d] = context[i.offset as usize / 4],
                AND => r[d] &= i.immediate as u32,
                SHIFT_RIGHT => r[d] >>= i.immediate,
                MOVE => r[d] = i.immediate as u32,
                MOVE_REGISTER => r[d] = r[s],
                JUMP_UNLESS_EQUAL if r[d] != i.immediate as u32 => at += i.offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return r[0] == 1,
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    fn rule(allow: bool, kind: Option<Kind>, major: Option<u32>, access: u32) -> Rule {
        Rule { allow, kind, major, minor: None, access }
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let rules = [rule(false, None, None, ALL), rule(true, Some(Kind::Char), Some(1), 2)];
        let program = program(&rules);
        assert!(run(&program, 2, 2, 1, 3), "reading a character device of major 1");
        assert!(!run(&program, 2, 6, 1, 3), "reading and writing it");
        assert!(!run(&program, 1, 2, 1, 3), "a block device");
        assert!(!run(&program, 2, 2, 8, 0), "another major");
    }
}
