//! Any runbook, killed anywhere, comes to the same end.

use super::bench::Bench;
use super::crash::attempt;
use proptest::prelude::*;
use std::fs;

/// One step of a random runbook.
#[derive(Debug, Clone)]
enum Random {
    Append { compensated: bool },
    Shell,
    Flaky { failures: usize, limit: usize, critical: bool },
    Skipped,
    Broken { rule: &'static str },
}

fn step() -> impl Strategy<Value = Random> {
    prop_oneof![
        4 => any::<bool>().prop_map(|compensated| Random::Append { compensated }),
        2 => Just(Random::Shell),
        // A kill adds a try, so it must not need all that it has.
        2 => (0..3_usize, 0..3_usize, any::<bool>()).prop_map(|(failures, more, critical)| {
            Random::Flaky { failures, limit: failures + more, critical }
        }),
        1 => Just(Random::Skipped),
        1 => prop_oneof![Just("abort"), Just("continue"), Just("rollback")]
            .prop_map(|rule| Random::Broken { rule }),
    ]
}

fn text(steps: &[Random]) -> String {
    let mut text = String::from("name: bench\ntitle: Random\nsteps:\n");
    for (place, step) in steps.iter().enumerate() {
        text += &match step {
            Random::Append { compensated } => {
                let undo = match compensated {
                    true => format!(
                        ", compensate: {{action: test.append, with: {{file: undone, line: u{place}}}}}"
                    ),
                    false => String::new(),
                };
                format!(
                    "- {{id: s{place}, action: test.append, with: {{file: log, line: l{place}}}{undo}}}\n"
                )
            }
            Random::Shell => format!(
                "- {{id: s{place}, action: shell, idempotent: true, with: {{script: 'echo x > EFFECTS/f{place}'}}}}\n"
            ),
            Random::Flaky { failures, limit, critical } => format!(
                "- {{id: s{place}, action: test.flaky, critical: {critical}, with: {{file: t{place}, failures: {failures}}}, retry: {{limit: {limit}, interval: 1ms}}}}\n"
            ),
            Random::Skipped => {
                format!(
                    "- {{id: s{place}, action: test.append, if: 'false', with: {{file: log, line: never}}}}\n"
                )
            }
            Random::Broken { rule } => format!(
                "- {{id: s{place}, action: tcp.check, with: {{host: 127.0.0.1, port: 1}}, on_failure: {rule}}}\n"
            ),
        };
    }
    text + "rescue:\n- {id: tell, action: test.append, with: {file: told, line: told}}\n"
}

fn bench(text: &str) -> Bench {
    let bench = Bench::new();
    fs::write(bench.dir.join("runbook.yaml"), text).unwrap();
    bench
}

/// How often a check was tried counts attempts, not effects: a kill adds one.
fn effects(bench: &Bench) -> Vec<(String, String)> {
    let mut effects = bench.all_effects();
    effects.retain(|(name, _)| !name.starts_with('t') || name == "told");
    effects
}

fn states(bench: &Bench) -> Vec<String> {
    let steps = bench.view("latest").steps;
    steps.iter().map(|step| format!("{} {}", step.id, step.state.as_str())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_random_runbook_killed_at_random_points_ends_as_it_would_have(
        steps in prop::collection::vec(step(), 1..6),
        kills in prop::collection::vec((1..20_usize, 0..15_usize), 1..4),
    ) {
        let text = text(&steps);
        let reference = bench(&text);
        prop_assert!(attempt(&reference, None, 0));
        let killed = bench(&text);
        for (point, later) in kills {
            if attempt(&killed, Some(point), later) {
                break;
            }
        }
        prop_assert!(attempt(&killed, None, 0));
        prop_assert_eq!(states(&killed), states(&reference), "{}", text);
        prop_assert_eq!(effects(&killed), effects(&reference), "{}", text);
        let outcome = |bench: &Bench| fs::read_to_string(bench.dir.join("outcome")).unwrap();
        prop_assert_eq!(outcome(&killed), outcome(&reference));
    }
}
