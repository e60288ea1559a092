//! In which order containers are started and stopped.

use super::Container;
use std::collections::BTreeMap;

/// Places containers in waves: every wave needs only those before it, so the members of
/// one wave are started together. Stop them in the opposite order, dependents first.
///
/// Containers that depend on each other in a circle share one wave, after everything
/// they need outside the circle.
pub fn waves(containers: &[Container]) -> Vec<Vec<Container>> {
    let mut waiting: BTreeMap<&str, &Container> =
        containers.iter().map(|c| (c.id.as_str(), c)).collect();
    let mut waves = Vec::new();
    while !waiting.is_empty() {
        let free: Vec<&str> = waiting
            .values()
            .filter(|c| !c.depends_on.iter().any(|d| waiting.contains_key(d.id.as_str())))
            .map(|c| c.id.as_str())
            .collect();
        let next = if free.is_empty() { circle(&waiting) } else { free };
        waves.push(next.iter().filter_map(|id| waiting.remove(id)).cloned().collect());
    }
    waves
}

/// The ids of a circle that waits for nothing outside itself. There is one whenever
/// nobody is free: whoever can be reached from everybody it reaches.
fn circle<'a>(waiting: &BTreeMap<&'a str, &'a Container>) -> Vec<&'a str> {
    let reach = |from: &'a str| {
        let mut seen = vec![from];
        let mut at = 0;
        while let Some(id) = seen.get(at).copied() {
            for need in waiting.get(id).map(|c| c.depends_on.as_slice()).unwrap_or_default() {
                if let Some((&id, _)) = waiting.get_key_value(need.id.as_str())
                    && !seen.contains(&id)
                {
                    seen.push(id);
                }
            }
            at += 1;
        }
        seen
    };
    // The smallest set of reachable containers cannot lead out of its own circle.
    waiting.keys().map(|id| reach(id)).min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Quiesce;
    use crate::docker::{Dependency, RunState};
    use std::time::Duration;

    fn container(id: &str, needs: &[&str]) -> Container {
        Container {
            id: id.into(),
            name: id.into(),
            image: String::new(),
            state: RunState::Running,
            labels: BTreeMap::new(),
            mounts: Vec::new(),
            quiesce: Quiesce::Stop,
            stop_timeout: Duration::ZERO,
            health_timeout: Duration::ZERO,
            depends_on: needs
                .iter()
                .map(|id| Dependency { id: (*id).into(), healthy: false })
                .collect(),
        }
    }

    fn names(containers: &[Container]) -> Vec<Vec<String>> {
        waves(containers).into_iter().map(|w| w.into_iter().map(|c| c.id).collect()).collect()
    }

    #[test]
    fn dependencies_come_before_their_dependents_and_others_go_together() {
        let stack = [
            container("web", &["api"]),
            container("api", &["cache", "queue"]),
            container("cache", &[]),
            container("queue", &[]),
            container("alone", &["not-selected"]),
        ];
        assert_eq!(names(&stack), [vec!["alone", "cache", "queue"], vec!["api"], vec!["web"]]);
    }

    #[test]
    fn a_circle_shares_a_wave_and_its_dependents_still_wait() {
        let stack = [
            container("a", &["b"]),
            container("b", &["c"]),
            container("c", &["a"]),
            container("web", &["a"]),
            container("self", &["self"]),
        ];
        let order = names(&stack);
        assert_eq!(order.len(), 3);
        assert_eq!(order[0], ["self"]);
        assert_eq!(order[1].len(), 3);
        assert_eq!(order[2], ["web"]);
    }
}
