//! Resources as files of cgroup v2.
//!
//! cgroups(7) and the kernel's `admin-guide/cgroup-v2`. The OCI fields were named after v1, so some
//! are converted: shares to weight, memory+swap to swap alone, quota and period to one file.

use oci_spec::runtime::LinuxResources;

use super::Setting;
use crate::error::{Error, Result};

/// The files to write, in order.
pub fn settings(resources: &LinuxResources) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(pids) = resources.pids() {
        let field = "linux.resources.pids.limit";
        list.push(Setting::new("pids", "pids.max", limit(pids.limit()), field));
    }
    if let Some(memory) = resources.memory() {
        if let Some(bytes) = memory.limit() {
            let field = "linux.resources.memory.limit";
            list.push(Setting::new("memory", "memory.max", limit(bytes), field));
        }
        if let Some(bytes) = memory.reservation() {
            let field = "linux.resources.memory.reservation";
            list.push(Setting::new("memory", "memory.low", limit(bytes), field));
        }
        if let Some(both) = memory.swap() {
            let field = "linux.resources.memory.swap";
            let swap = swap_alone(both, memory.limit()).map_err(|e| e.at(field))?;
            list.push(Setting::new("memory", "memory.swap.max", swap, field));
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|s| *s > 0) {
            let field = "linux.resources.cpu.shares";
            list.push(Setting::new("cpu", "cpu.weight", weight(shares), field));
        }
        if cpu.quota().is_some() || cpu.period().is_some() {
            let quota = cpu.quota().filter(|q| *q > 0).map_or("max".into(), |q| q.to_string());
            let value = format!("{quota} {}", cpu.period().unwrap_or(100_000));
            list.push(Setting::new("cpu", "cpu.max", value, "linux.resources.cpu.quota"));
        }
    }
    Ok(list)
}

/// -1 (and for pids 0) is `max`.
fn limit(n: i64) -> String {
    if n <= 0 { "max".into() } else { n.to_string() }
}

/// OCI's `swap` is memory and swap together, as v1 counts. Where both are the same, no swap is left,
/// and 0 says so: it is a limit here, not the lack of one.
fn swap_alone(both: i64, memory: Option<i64>) -> Result<String> {
    match memory {
        _ if both <= 0 => Ok(limit(both)),
        Some(memory) if memory > 0 && both >= memory => Ok((both - memory).to_string()),
        Some(memory) if memory > 0 => {
            Err(Error::yours(format!("{both} is below memory.limit {memory}; it counts both")))
        }
        _ => Err(Error::yours("needs memory.limit, since it counts memory and swap together")),
    }
}

/// v1's shares 2…262144 on v2's weight 1…10000, with 1024 on 100 (as runc and crun convert since
/// 2025): 10^((log2(s)^2 + 125 log2(s))/612 - 7/34).
pub fn weight(shares: u64) -> u64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(json: serde_json::Value) -> Vec<(String, String)> {
        let resources = serde_json::from_value(json).unwrap();
        settings(&resources).unwrap().into_iter().map(|s| (s.file, s.value)).collect()
    }

    #[test]
    fn swap_is_what_is_left_of_both() {
        let json = serde_json::json!({"memory": {"limit": 100, "swap": 150}});
        let want = [("memory.max", "100"), ("memory.swap.max", "50")];
        assert_eq!(files(json), want.map(|(f, v)| (f.to_owned(), v.to_owned())));
    }

    #[test]
    fn no_swap_is_left_where_memory_and_both_are_the_same() {
        let json = serde_json::json!({"memory": {"limit": 100, "swap": 100}});
        let want = [("memory.max", "100"), ("memory.swap.max", "0")];
        assert_eq!(files(json), want.map(|(f, v)| (f.to_owned(), v.to_owned())));
    }

    #[test]
    fn no_quota_is_max() {
        let json = serde_json::json!({"cpu": {"quota": -1, "period": 50000}});
        assert_eq!(files(json), [("cpu.max".to_owned(), "max 50000".to_owned())]);
    }

    #[test]
    fn the_ends_and_the_middle_of_shares_meet_those_of_weight() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 100, 10_000]);
    }
}
