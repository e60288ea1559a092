//! What is left to a person where a guard could not go back: the very commands.

use super::record::Guard;
use crate::backup::open_repository;
use crate::error::Result;
use crate::repository::manifest::{ContainerDetail, Detail};
use crate::setting::Setting;
use std::collections::{BTreeMap, BTreeSet};

/// The commands that lead back, in order. Where the backup cannot be read they name what is known
/// without it. Blocking.
pub fn by_hand(setting: &Setting, guard: &Guard) -> Vec<String> {
    let mut commands = vec![format!("backstop guard resume {}", guard.id)];
    let Some(backup) = guard.backup() else { return commands };
    commands.push(format!("backstop verify {backup} --level full"));
    commands.push(format!("backstop config recorded {backup} --to ./before-upgrade"));
    if let Ok(containers) = recorded(setting, guard) {
        commands.extend(of_containers(&containers));
    }
    commands.push(format!("backstop restore {backup} --yes"));
    commands
}

fn recorded(setting: &Setting, guard: &Guard) -> Result<Vec<ContainerDetail>> {
    let taken = guard.protect.as_ref().map(|run| run.state.unit("back-up").outputs);
    let taken = taken.unwrap_or_default();
    let name = taken["name"].as_str().unwrap_or_default();
    let backup = open_repository(setting)?.backup(name)?;
    let details = backup.manifest().components.iter().filter_map(|part| match &part.detail {
        Detail::Container(detail) => Some(detail.clone()),
        _ => None,
    });
    Ok(details.collect())
}

/// The images get the names back that the compose files use, then the projects are brought up.
fn of_containers(containers: &[ContainerDetail]) -> Vec<String> {
    let named = |it: &&ContainerDetail| !it.image.starts_with("sha256:");
    let tags: BTreeSet<String> = containers
        .iter()
        .filter(named)
        .map(|it| format!("docker tag {} {}", it.image_id, quoted(&it.image)))
        .collect();
    let mut projects: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for detail in containers {
        let Some(project) = &detail.compose_project else { continue };
        projects.entry(project).or_insert_with(|| {
            let dir = detail.compose_dir.iter().map(|dir| dir.display().to_string());
            dir.collect()
        });
    }
    let up = projects.into_iter().map(|(project, dir)| {
        let dir = dir.first().map(|dir| format!(" --project-directory {}", quoted(dir)));
        format!(
            "docker compose --project-name {}{} up --detach --no-build",
            quoted(project),
            dir.unwrap_or_default()
        )
    });
    tags.into_iter().chain(up).collect()
}

/// As a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_one_word() {
        assert_eq!(quoted("shop_app-1:2.0"), "shop_app-1:2.0");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
