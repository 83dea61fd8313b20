//! `learnc images`: what is in the store.

use clap::Args;

use super::list::print_table;
use crate::cli::image::{StoreArgs, size};
use crate::cli::say;
use crate::error::Result;
use crate::image::store::Listed;

#[derive(Debug, Args)]
pub struct Images {
    #[command(flatten)]
    pub store: StoreArgs,
    /// As JSON, with digests in full and sizes in bytes
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Only the names
    #[arg(short, long)]
    pub quiet: bool,
}

impl Images {
    pub fn perform(&self) -> Result<i32> {
        let mut images: Vec<Listed> = vec![];
        if let Some(store) = self.store.look()? {
            for what in store.images()? {
                images.push(store.listed(&what)?);
            }
        }
        images.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
        if self.json {
            say::line(&serde_json::to_string_pretty(&images)?)?;
            return Ok(0);
        }
        let name = |image: &Listed| image.name.clone().unwrap_or_else(|| image.digest.to_string());
        if self.quiet {
            let line = |image: &Listed| crate::args::plain(&name(image)) + "\n";
            say::all(&images.iter().map(line).collect::<String>())?;
            return Ok(0);
        }
        let mut rows = vec![["NAME", "DIGEST", "SIZE", "PLATFORM", "CREATED"].map(String::from)];
        rows.extend(images.iter().map(|image| {
            let platform = match image.lacks.is_empty() {
                true => image.platforms.join(","),
                false => "damaged".to_owned(),
            };
            let created = image.created.as_deref().unwrap_or_default();
            let created: String = created.chars().take("2024-05-06".len()).collect();
            [name(image), image.digest.short().to_owned(), size(image.size), platform, created]
        }));
        print_table(&rows)?;
        Ok(0)
    }
}
