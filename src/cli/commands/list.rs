//! `learnc list`: the containers of this state root.

use clap::Args;

use crate::args::plain;
use crate::cli::{Context, say};
use crate::error::Result;
use crate::lifecycle::{Status, all, oci_state};
use crate::render::terminal::text;

#[derive(Debug, Args)]
pub struct List {
    /// table or json
    #[arg(short, long, default_value = "table", value_parser = ["table", "json"])]
    pub format: String,
    /// Only the ids
    #[arg(short, long)]
    pub quiet: bool,
}

impl List {
    pub fn perform(&self, context: &Context) -> Result<i32> {
        let containers = all(&context.state_root)?;
        if self.quiet {
            say::all(&containers.iter().map(|c| c.id() + "\n").collect::<String>())?;
            return Ok(0);
        }
        if self.format == "json" {
            let states: Vec<_> = containers.iter().filter_map(|c| oci_state(c).ok()).collect();
            say::line(&serde_json::to_string(&states)?)?;
            return Ok(0);
        }
        let mut rows =
            vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
        for container in &containers {
            let status = container.status();
            let record = container.record.clone().unwrap_or_default();
            let pid = if status == Status::Stopped { 0 } else { record.pid };
            let bundle = record.bundle.display().to_string();
            rows.push([
                container.id(),
                pid.to_string(),
                status.to_string(),
                bundle,
                record.created,
                record.owner,
            ]);
        }
        print_table(&rows)?;
        Ok(0)
    }
}

/// Columns as wide as runc makes them, for scripts that cut by position.
pub fn print_table<const N: usize>(rows: &[[String; N]]) -> Result<()> {
    let cells = |column: usize| rows.iter().map(move |row| text::width(&plain(&row[column])));
    let width = |column: usize| cells(column).fold(9, usize::max);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut lines = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| text::padded(&plain(cell), *width));
        lines += cells.collect::<Vec<_>>().join("   ").trim_end();
        lines.push('\n');
    }
    say::all(&lines)
}
