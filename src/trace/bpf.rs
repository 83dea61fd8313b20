//! What bpf(2) takes: a union, whose form the command decides.

use super::decode::{self, Source};
use super::names;
use super::table::numbers;
use crate::args::{Arg, Args};

/// The two commands of bpf(2) by which device rules are loaded and attached.
pub fn bpf(source: &dyn Source, args: &[u64; 6], i: usize) -> Option<Arg> {
    let address = args[i];
    let fields = match args[0] {
        5 => load_attr(source, address),
        8 => attach_attr(source, address),
        _ => None,
    };
    Some(fields.map_or_else(|| decode::unreadable(address), Arg::Struct))
}

fn load_attr(source: &dyn Source, address: u64) -> Option<Args> {
    let [kind, count] = numbers(source, address, 4)?;
    let [_, license] = numbers(source, address + 8, 8)?;
    let args = Args::new()
        .with("prog_type", decode::constant(names::BPF_PROGRAM, kind))
        .with("insn_cnt", Arg::Int(count as i64))
        .with("license", decode::text(source, license));
    Some(args)
}

fn attach_attr(source: &dyn Source, address: u64) -> Option<Args> {
    let [target, program, kind, flags] = numbers(source, address, 4)?;
    let args = Args::new()
        .with("target_fd", decode::descriptor(source, target as i32))
        .with("attach_bpf_fd", decode::descriptor(source, program as i32))
        .with("attach_type", decode::constant(names::BPF_ATTACH, kind))
        .with("attach_flags", decode::flags(names::BPF_ATTACH_FLAGS, flags));
    Some(args)
}
