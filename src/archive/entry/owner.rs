//! The names of owners and groups.

use std::collections::HashMap;

/// The users and groups that `/etc/passwd` and `/etc/group` name. Users of other
/// directories (LDAP) have ids but no names here; a restore goes by the ids.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    /// Reads the names of this system; without the files there are none.
    pub fn of_this_system() -> Self {
        Self { users: names("/etc/passwd"), groups: names("/etc/group") }
    }

    /// The user's name.
    pub fn user(&self, uid: u32) -> Option<String> {
        self.users.get(&uid).cloned()
    }

    /// The group's name.
    pub fn group(&self, gid: u32) -> Option<String> {
        self.groups.get(&gid).cloned()
    }
}

fn names(path: &str) -> HashMap<u32, String> {
    let text = std::fs::read(path).unwrap_or_default();
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
        if let (Some(name), Some(id)) = (name, id) {
            // As getpwuid(3): the first line wins.
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_its_name() {
        let owners = Owners::of_this_system();
        assert_eq!(owners.user(0).as_deref(), Some("root"));
        assert_eq!(owners.group(0).as_deref(), Some("root"));
        assert_eq!(owners.user(u32::MAX - 7), None);
    }
}
