//! Cgroups: how much, not what.
//!
//! cgroups(7); OCI `linux.cgroupsPath`, `linux.resources`. Limits are pure data: two translations,
//! [`v1`] and [`v2`], turn the config's resources into `(file, value)`, and one loop (in
//! `parts/cgroups.rs`) writes them. [`place`] decides where in the machine's trees the container goes.

pub mod devices;
pub mod place;
pub mod v1;
pub mod v2;

/// One file to be written in the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The controller whose file it is: `memory`.
    pub controller: &'static str,
    /// The file's name: `memory.max`.
    pub file: String,
    pub value: String,
    /// The config field that asked: `linux.resources.memory.limit`.
    pub field: &'static str,
}

impl Setting {
    pub fn new(
        controller: &'static str,
        file: impl Into<String>,
        value: impl ToString,
        field: &'static str,
    ) -> Setting {
        Setting { controller, file: file.into(), value: value.to_string(), field }
    }
}
