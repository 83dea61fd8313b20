//! Resources as files of cgroup v1.
//!
//! cgroups(7) and the kernel's `admin-guide/cgroup-v1`. A tree per controller, so each setting says
//! whose it is.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::Setting;
use crate::error::Result;

/// The files to write, in order. Memory before memory+swap, which must never be the smaller.
pub fn settings(resources: &LinuxResources) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    for rule in resources.devices().iter().flatten() {
        let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
        let field = "linux.resources.devices";
        list.push(Setting::new("devices", file, device_rule(rule), field));
    }
    if let Some(pids) = resources.pids() {
        let limit = if pids.limit() <= 0 { "max".into() } else { pids.limit().to_string() };
        list.push(Setting::new("pids", "pids.max", limit, "linux.resources.pids.limit"));
    }
    if let Some(memory) = resources.memory() {
        let fields = [
            (memory.limit(), "memory.limit_in_bytes", "linux.resources.memory.limit"),
            (memory.swap(), "memory.memsw.limit_in_bytes", "linux.resources.memory.swap"),
            (
                memory.reservation(),
                "memory.soft_limit_in_bytes",
                "linux.resources.memory.reservation",
            ),
        ];
        for (value, file, field) in fields {
            if let Some(bytes) = value.filter(|n| *n != 0) {
                list.push(Setting::new("memory", file, bytes, field));
            }
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(period) = cpu.period().filter(|n| *n != 0) {
            let field = "linux.resources.cpu.period";
            list.push(Setting::new("cpu", "cpu.cfs_period_us", period, field));
        }
        if let Some(quota) = cpu.quota().filter(|n| *n != 0) {
            let field = "linux.resources.cpu.quota";
            list.push(Setting::new("cpu", "cpu.cfs_quota_us", quota, field));
        }
        if let Some(shares) = cpu.shares().filter(|n| *n != 0) {
            list.push(Setting::new("cpu", "cpu.shares", shares, "linux.resources.cpu.shares"));
        }
    }
    Ok(list)
}

/// `c 1:3 rwm`; `a` for everything.
fn device_rule(rule: &LinuxDeviceCgroup) -> String {
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::B => "b",
        LinuxDeviceType::C | LinuxDeviceType::U => "c",
        _ => return "a".into(),
    };
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or("*".into(), |n| n.to_string());
    let access = rule.access().clone().unwrap_or_else(|| "rwm".into());
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}
