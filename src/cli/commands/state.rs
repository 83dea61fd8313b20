//! `learnc state`: OCI runtime.md, "State".

use clap::Args;

use crate::cli::{Context, say};
use crate::error::Result;
use crate::lifecycle::{find, oci_state};

#[derive(Debug, Args)]
pub struct State {
    /// The container's id
    pub id: String,
}

impl State {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let state = oci_state(&find(&context.state_root, &self.id)?)?;
        say::line(&serde_json::to_string_pretty(&state)?)?;
        Ok(0)
    }
}
