//! The rules of a run, one by one.

use super::bench::{Bench, runbook};
use backstop::error::Code;
use backstop::runbook::{
    Audience, Ended, News, Outcome, Reply, State, Verdict, WaitingFor, abort, approve, report,
    resolve,
};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const APPEND: &str = "action: test.append, with: {file: log, line: ";

fn append(id: &str, more: &str) -> String {
    format!("- {{id: {id}, {APPEND}{id}}}{more}}}\n")
}

fn succeeded(outcome: &Outcome) -> bool {
    *outcome == Outcome::Ended(Ended::Succeeded)
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_done_in_order_and_know_what_earlier_ones_returned() {
    let bench = Bench::new();
    let steps = append("one", "")
        + "- {id: two, action: shell, with: {script: 'echo got $X', env: {X: '{{ steps.one.line }}'}}, outputs: {said: result.stdout}}\n"
        + "- {id: three, action: test.append, if: \"steps.two.said == 'nothing'\", with: {file: log, line: never}}\n"
        + "- {id: four, action: test.append, with: {file: log, line: '{{ steps.two.said }} {{ steps.three.line | default(5) }}'}}\n";
    let engine = bench.engine();
    let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
    assert!(succeeded(&outcome), "{outcome:?} {:?}", bench.view(&run));
    assert_eq!(bench.effect("log"), ["one", "got one 5"]);
    assert_eq!(
        bench.states(&run),
        ["one SUCCEEDED 1", "two SUCCEEDED 1", "three SKIPPED 0", "four SUCCEEDED 1"]
    );
    // What has ended is never done again.
    assert!(succeeded(&engine.resume(&run, false).await.unwrap().1));
    assert_eq!(bench.effect("log").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_done_for_each_name_and_later_ones_know_what_each_returned() {
    let bench = Bench::new();
    let engine = bench.engine();
    let text = |list: &str, last: &str| {
        format!(
            "name: each\ntitle: Each\nparameters: {{names: {{type: list, default: {list}}}}}\nsteps:\n\
             - {{id: one, for_each: '{{{{ params.names }}}}', action: test.append, with: {{file: log, line: '{{{{ item }}}}'}}, \
               compensate: {{action: test.append, with: {{file: log, line: 'not {{{{ item }}}}'}}}}}}\n\
             - {{id: two, for_each: '{{{{ params.names }}}}', action: test.append, if: item != 'b', \
               with: {{file: log, line: '{{{{ steps.one[item].line }}}} again'}}}}\n\
             - {{id: all, action: test.append, with: {{file: log, line: '{{{{ steps.one | length }}}} {{{{ steps.two | length }}}}'}}}}\n{last}"
        )
    };
    let (run, outcome) = bench.start(&engine, &text("[a, b.c]", "")).await.unwrap();
    assert!(succeeded(&outcome), "{outcome:?} {:?}", bench.view(&run));
    assert_eq!(bench.effect("log"), ["a", "b.c", "a again", "b.c again", "2 2"]);
    assert_eq!(
        bench.states(&run),
        ["one:a", "one:b_c", "two:a", "two:b_c", "all"].map(|id| format!("{id} SUCCEEDED 1"))
    );

    let (run, outcome) = bench.start(&engine, &text("[]", "")).await.unwrap();
    assert!(succeeded(&outcome));
    assert_eq!(bench.states(&run), ["all SUCCEEDED 1"]);

    let fails = "- {id: bad, action: shell, with: {script: exit 3}, on_failure: rollback}\n";
    let (run, _) = bench.start(&engine, &text("[a, b]", fails)).await.unwrap();
    let log = bench.effect("log");
    assert!(log.ends_with(&["not b".into(), "not a".into()]), "{log:?} {:?}", bench.view(&run));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_and_then_follow_the_steps_rule() {
    let bench = Bench::new();
    let retry = "- {id: flaky, action: test.flaky, with: {file: f, failures: 2}, retry: {limit: 2, interval: 10ms}}\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(retry)).await.unwrap();
    assert!(succeeded(&outcome));
    assert_eq!(bench.states(&run), ["flaky SUCCEEDED 3"]);

    let fails =
        |rule: &str| format!("- {{id: bad, action: shell, with: {{script: exit 3}}, {rule}}}\n");
    let go_on = append("a", "") + &fails("on_failure: continue") + &append("b", "");
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&go_on)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!(bench.states(&run), ["a SUCCEEDED 1", "bad FAILED 1", "b SUCCEEDED 1"]);

    let trifle = fails("critical: false") + &append("c", "");
    assert!(succeeded(&bench.start(&bench.engine(), &runbook(&trifle)).await.unwrap().1));

    let instead = fails("rescue: [{action: test.append, with: {file: log, line: instead}}]")
        + &append("d", "");
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&instead)).await.unwrap();
    assert!(succeeded(&outcome), "{:?}", bench.view(&run));
    assert_eq!(bench.effect("log"), ["a", "b", "c", "instead", "d"]);

    let stop = fails("on_failure: abort")
        + &append("never", "")
        + "rescue:\n- {id: tell, action: test.append, with: {file: told, line: '{{ run.failed_step }}'}}\n";
    let (_, outcome) = bench.start(&bench.engine(), &runbook(&stop)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!(bench.effect("told"), ["bad"]);
    assert_eq!(bench.effect("log").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_undoes_in_reverse_order_and_never_past_the_point_of_no_return() {
    let bench = Bench::new();
    let steps = append("one", "")
        + &append("two", ", compensate: {action: test.append, with: {file: undone, line: two}}")
        + "- {id: bad, action: shell, with: {script: exit 1}, on_failure: rollback}\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&steps)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!(bench.effect("undone"), ["two", "one"]);
    assert_eq!(bench.effect("log"), ["two"]);
    assert!(bench.states(&run).contains(&"one.compensate SUCCEEDED 1".to_owned()));

    let bench = Bench::new();
    let steps = append("one", ", point_of_no_return: true")
        + "- {id: bad, action: shell, with: {script: exit 1}, on_failure: rollback}\n";
    let engine = bench.engine();
    let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
    let Outcome::Paused { step, reason } = outcome else { panic!("{outcome:?}") };
    assert!(step.as_deref() == Some("bad") && reason.contains("point of no return"), "{reason}");
    assert_eq!(bench.effect("log"), ["one"]);
    // A person may want it all the same.
    abort(&bench.state_dir(), &run, "wrong host", true).unwrap();
    let (_, outcome) = engine.resume(&run, false).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Aborted));
    assert_eq!(bench.effect("undone"), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_left_to_a_person_with_a_reason() {
    for (verdict, state, again) in [
        (Verdict::Done, "slow SUCCEEDED 1", 1),
        (Verdict::Skip, "slow SKIPPED 1", 1),
        (Verdict::Retry, "slow SUCCEEDED 2", 2),
    ] {
        let bench = Bench::new();
        let steps = "- {id: slow, action: test.hold, with: {until: go}, timeout: 50ms}\n"
            .to_owned()
            + &append("next", "");
        let engine = bench.engine();
        let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
        assert!(matches!(outcome, Outcome::Paused { .. }), "{outcome:?}");
        // A timeout is no failure: nobody knows what became of it.
        assert_eq!(bench.states(&run)[0], "slow UNKNOWN 1");
        // Without an answer the run stays where it is.
        assert!(matches!(engine.resume(&run, false).await.unwrap().1, Outcome::Paused { .. }));
        assert_eq!(bench.effect("held").len(), 1);
        fs::write(bench.effects().join("go"), "").unwrap();
        resolve(&bench.state_dir(), &run, "slow", verdict, "I looked").unwrap();
        assert!(succeeded(&engine.resume(&run, false).await.unwrap().1));
        assert_eq!(bench.states(&run)[0], state);
        assert_eq!(bench.effect("held").len(), again);
        let store = engine.store();
        let report =
            report(&store.find(&run).unwrap(), &bench.state_dir(), &engine.registry).unwrap();
        assert_eq!(report.approvals[0].shown, "I looked");
        assert!(report.to_markdown().contains("I looked"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_adopts_repeats_or_clears_away_what_was_cut_off() {
    // The script writes a part and then hangs; its timeout leaves it unknown.
    let slow = "script: 'echo half > EFFECTS/part; if test -e EFFECTS/first; then mv EFFECTS/part EFFECTS/whole; else touch EFFECTS/first; sleep 1000; fi'";
    let steps = format!(
        "- id: make\n  action: shell\n  with: {{{slow}}}\n  timeout: 2s\n  retry: {{limit: 1}}\n  \
         probe: {{action: file.assert, with: {{path: EFFECTS/whole}}, partial: {{action: file.assert, with: {{path: EFFECTS/part}}}}}}\n  \
         cleanup: {{action: shell, with: {{script: 'rm EFFECTS/part; echo x >> EFFECTS/cleaned'}}}}\n"
    );
    let bench = Bench::new();
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&steps)).await.unwrap();
    assert!(succeeded(&outcome), "{:?}", bench.view(&run));
    assert_eq!(bench.states(&run), ["make SUCCEEDED 2"]);
    assert_eq!((bench.effect("cleaned").len(), bench.effect("whole").len()), (1, 1));

    // It takes effect and hangs after that: it is adopted.
    let steps = "- id: make\n  action: shell\n  with: {script: 'echo x >> EFFECTS/made; sleep 1000'}\n  timeout: 2s\n  \
        probe: {action: shell, with: {script: 'cat EFFECTS/made'}}\n  outputs: {text: result.stdout}\n  verify: [{action: file.assert, with: {path: EFFECTS/made, contains: x}}]\n\
        - {id: use, action: test.append, with: {file: log, line: '{{ steps.make.text }}'}}\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(steps)).await.unwrap();
    assert!(succeeded(&outcome), "{:?}", bench.view(&run));
    assert_eq!((bench.effect("made").len(), bench.effect("log")), (1, vec!["x".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_prints_beyond_the_limit_is_left_out_and_the_script_goes_on() {
    let bench = Bench::new();
    let steps = "- {id: loud, action: shell, with: {script: 'head -c 40000000 /dev/zero | base64 -w 1000 ; echo end > EFFECTS/end'}}\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(steps)).await.unwrap();
    assert!(succeeded(&outcome), "{:?}", bench.view(&run));
    assert_eq!(bench.effect("end"), ["end"]);
    let log = bench.state_dir().join("runs").join(&run).join("logs/loud.1.log");
    let size = fs::metadata(log).unwrap().len();
    assert!((15 << 20..17 << 20).contains(&size), "{size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_a_script_with_all_its_children() {
    let bench = Bench::new();
    let steps = "- id: spawn\n  action: shell\n  timeout: 2s\n  with:\n    script: 'setsid sleep 997 & sleep 998 & echo $! > EFFECTS/pid; sleep 999'\n";
    let (run, outcome) = bench.start(&bench.engine(), &runbook(steps)).await.unwrap();
    assert!(matches!(outcome, Outcome::Paused { .. }));
    assert_eq!(crate::support::host::processes_of(&run), Vec::<String>::new());
    assert_eq!(bench.effect("pid").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_hold_before_and_after_and_again_on_resume() {
    let bench = Bench::new();
    let steps = append("one", ", preconditions: [{action: file.assert, with: {path: EFFECTS/no}}]");
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&steps)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!((bench.states(&run)[0].as_str(), bench.effect("log").len()), ("one FAILED 0", 0));

    let steps = append("one", ", verify: [{action: file.assert, with: {path: EFFECTS/no}}]");
    let (run, outcome) = bench.start(&bench.engine(), &runbook(&steps)).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert!(bench.view(&run).steps[0].reason.as_ref().unwrap().contains("exists"));

    let bench = Bench::new();
    let steps = append("one", ", recheck: [{action: file.assert, with: {path: EFFECTS/log}}]")
        + "- {id: person, action: manual, with: {instructions: Look.}}\n";
    let engine = bench.engine();
    let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
    // What only a person can do is not done by --yes.
    assert_eq!(outcome, Outcome::Waiting { step: "person".into() });
    approve(&bench.state_dir(), &run, "person").unwrap();
    fs::rename(bench.effects().join("log"), bench.effects().join("away")).unwrap();
    let (_, outcome) = engine.resume(&run, false).await.unwrap();
    assert!(matches!(outcome, Outcome::Paused { .. }), "{outcome:?}");
    fs::rename(bench.effects().join("away"), bench.effects().join("log")).unwrap();
    assert!(succeeded(&engine.resume(&run, false).await.unwrap().1));
    assert_eq!(bench.effect("log").len(), 1);
}

/// Says yes or no, and remembers what was asked.
struct Person(Reply, std::sync::Mutex<Vec<String>>);

impl Audience for Person {
    fn tell(&self, _: News<'_>) {}

    fn ask(
        &self,
        step: &str,
        question: &WaitingFor,
        _: &mut dyn FnMut() -> bool,
        _: &CancellationToken,
    ) -> Reply {
        self.1.lock().unwrap().push(format!("{step}: {} | {}", question.prompt, question.shown));
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_are_asked_before_the_step_and_kept_with_what_was_shown() {
    let bench = Bench::new();
    let steps = append("one", ", approval: {prompt: 'Append in {{ run.stack }}?'}");
    for (reply, expected) in [
        (Reply::Nobody, State::Waiting),
        (Reply::No, State::Waiting),
        (Reply::Yes, State::Succeeded),
    ] {
        let person = Arc::new(Person(reply, std::sync::Mutex::default()));
        let mut engine = bench.engine_with(person.clone(), None);
        engine.yes = false;
        let (run, _) = bench.start(&engine, &runbook(&steps)).await.unwrap();
        assert_eq!(person.1.lock().unwrap()[0], "one: Append in bench? | append one to log");
        let done = bench.effect("log").len();
        assert_eq!((bench.view(&run).state, done), (expected, usize::from(reply == Reply::Yes)));
        if reply == Reply::Nobody {
            let wrong = approve(&bench.state_dir(), &run, "two").unwrap_err();
            assert_eq!(wrong.code(), Code::StepNotFound);
        }
        if reply == Reply::Yes {
            let again = approve(&bench.state_dir(), &run, "one").unwrap_err();
            assert_eq!(again.code(), Code::RunRefused);
            let store = engine.store();
            let report =
                report(&store.find(&run).unwrap(), &bench.state_dir(), &engine.registry).unwrap();
            let decision = &report.approvals[0];
            assert_eq!((decision.decision, decision.means), ("approved", "terminal"));
            assert!(
                decision.shown.contains("Append in bench?")
                    && decision.shown.contains("append one to log")
            );
            assert!(!decision.user.is_empty() && !decision.host.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_runner_is_refused_and_the_first_can_be_aborted_from_elsewhere() {
    let bench = Bench::new();
    let steps = "- {id: hold, action: test.hold, with: {until: never}}\n";
    let engine = bench.engine();
    let (first, text) = (engine.clone(), runbook(steps));
    let dir = bench.dir.clone();
    let running = tokio::spawn(async move { Bench::at(&dir).start(&first, &text).await });
    while bench.effect("held").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let id = engine.store().ids().unwrap().remove(0);
    assert_eq!(bench.view(&id).state, State::Running);
    let error = bench.start(&engine, &runbook(steps)).await.unwrap_err();
    assert!(error.code() == Code::Locked && error.to_string().contains(&id), "{error}");
    assert_eq!(engine.resume(&id, false).await.unwrap_err().code(), Code::Locked);
    assert_eq!(engine.store().ids().unwrap().len(), 1);
    assert!(abort(&bench.state_dir(), &id, "enough", false).unwrap().alive);
    let (_, outcome) = running.await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Aborted));
    assert_eq!(bench.view(&id).state, State::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_the_run_resumable() {
    let bench = Bench::new();
    let steps = "- {id: hold, action: test.hold, with: {until: go}, idempotent: true}\n".to_owned()
        + &append("next", "");
    let engine = bench.engine();
    let cancel = engine.setting.cancel.clone();
    let effects = bench.effects();
    tokio::spawn(async move {
        while !effects.join("held").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel.cancel();
    });
    let (run, outcome) = bench.start(&engine, &runbook(&steps)).await.unwrap();
    assert!(matches!(outcome, Outcome::Paused { .. }), "{outcome:?}");
    assert_eq!(bench.view(&run).state, State::Paused);
    fs::write(bench.effects().join("go"), "").unwrap();
    assert!(succeeded(&bench.engine().resume(&run, false).await.unwrap().1));
    assert_eq!(bench.states(&run), ["hold SUCCEEDED 2", "next SUCCEEDED 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_stored_text_counts_and_only_here() {
    let bench = Bench::new();
    let steps = "- {id: person, action: manual, with: {instructions: Look.}}\n".to_owned()
        + &append("next", "");
    let engine = bench.engine();
    let (run, _) = bench.start(&engine, &runbook(&steps)).await.unwrap();
    approve(&bench.state_dir(), &run, "person").unwrap();
    let dir = bench.state_dir().join("runs").join(&run);

    let text = dir.join("runbook.yaml");
    let kept = fs::read_to_string(&text).unwrap();
    fs::write(&text, kept.replace("line: next", "line: other")).unwrap();
    assert_eq!(engine.resume(&run, false).await.unwrap_err().code(), Code::RunDamaged);
    fs::write(&text, kept).unwrap();

    let journal = dir.join("journal.jsonl");
    let lines = fs::read_to_string(&journal).unwrap();
    for (from, to) in [("\"host\":\"", "\"host\":\"other-"), ("\"version\":\"", "\"version\":\"9")]
    {
        fs::write(&journal, lines.replacen(from, to, 1)).unwrap();
        assert_eq!(engine.resume(&run, false).await.unwrap_err().code(), Code::RunRefused);
    }
    let (_, outcome) = engine.resume(&run, true).await.unwrap();
    assert!(succeeded(&outcome));
    assert_eq!(bench.effect("log"), ["next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_programs_and_nothing_else() {
    const SECRET: &str = "s3cr3t-\"q\"-value";
    let bench = Bench::new();
    let file = bench.dir.join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let text = format!(
        "name: bench\ntitle: Bench\nparameters:\n  key: {{secret: {{file: {}}}}}\nsteps:\n\
         - id: use\n  action: shell\n  with:\n    script: 'echo \"got $KEY\"; test \"$KEY\" = \"$(cat {})\" && echo same'\n    env: {{KEY: '{{{{ params.key }}}}'}}\n\
         - id: fail\n  action: shell\n  with: {{script: 'cat; exit 1', stdin: '{{{{ params.key }}}}'}}\n",
        file.display(),
        file.display()
    );
    let engine = bench.engine();
    let (run, outcome) = bench.start(&engine, &text).await.unwrap();
    assert_eq!(outcome, Outcome::Ended(Ended::Failed));
    assert_eq!(bench.states(&run)[0], "use SUCCEEDED 1");
    let log = bench.state_dir().join("runs").join(&run).join("logs/use.1.log");
    assert_eq!(fs::read_to_string(log).unwrap(), "got ***\nsame\n");
    let mut files = vec![bench.state_dir()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let shown = content.contains("s3cr3t");
        assert!(!shown, "{} holds the secret", path.display());
    }
    fs::remove_file(&file).unwrap();
    let error = bench.start(&engine, &text).await.unwrap_err();
    assert!(error.code() == Code::SecretMissing && error.to_string().contains("line 4"), "{error}");
}
