//! Whom a shipped runbook tells that it failed, and to whom it does not tell the address.

use crate::support::host::{Host, Ran};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const TOKEN: &str = "tOkEn-7f3a9c";

/// Takes one request at a port of its own, answers with this status; the request.
fn listen(status: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (mut text, mut part) = (String::new(), [0; 4096]);
        let whole = |text: &str| {
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
            });
            length.is_some_and(|length| body.len() >= length.unwrap())
        };
        while !whole(&text) {
            let read = stream.read(&mut part).unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        sender.send(text).unwrap();
    });
    (port, receiver)
}

#[test]
fn a_run_that_fails_tells_the_webhook_and_nobody_its_address() {
    let host = Host::with_database();
    host.back_up();
    let before = host.live_state();
    for (status, tell) in [("200 OK", "SUCCEEDED"), ("500 Internal Server Error", "FAILED")] {
        let (port, requests) = listen(status);
        let webhook = format!("webhook=http://127.0.0.1:{port}/services/{TOKEN}?key={TOKEN}");
        let parameters =
            ["database-corruption", "--param", &webhook, "--param", "queries=SELECT false"];
        let mut said: Vec<Ran> = Vec::new();
        for json in [&[][..], &["--json"]] {
            said.push(host.run(&[&["runbook", "plan"][..], &parameters, json].concat()).ok());
        }
        said.push(
            host.run(&[&["recover-from"][..], &parameters, &["--yes", "--json"]].concat()).ended(1),
        );
        let request = requests.recv_timeout(Duration::from_secs(20)).expect("the webhook is told");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("POST /services/{TOKEN}?key={TOKEN} HTTP/1.1")),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let run = host.json(&["runbook", "status", "latest"])[0].clone();
        let id = run["id"].as_str().unwrap();
        let expected = format!("shop: database-corruption ({id}) failed at compare:shop");
        assert_eq!((&body["text"], &body["run"]), (&expected.into(), &run["id"]), "{body}");
        let told = run["steps"].as_array().unwrap().iter().find(|step| step["id"] == "tell");
        assert_eq!(told.unwrap()["state"], tell, "{run}");

        for show in ["status", "log", "report"] {
            for json in [&[][..], &["--json"]] {
                said.push(host.run(&[&["runbook", show, id][..], json].concat()).ok());
            }
        }
        said.push(host.run(&["sql", "SELECT * FROM runs", "--json"]).ok());
        said.push(host.run(&["sql", "SELECT * FROM run_attempts", "--json"]).ok());
        said.push(host.run(&["sql", "SELECT * FROM run_steps", "--json"]).ok());
        for ran in &said {
            assert!(!format!("{ran:?}").contains(TOKEN), "{ran:?}");
        }
        // Where it leads is shown.
        let report = host.json(&["runbook", "report", id]);
        let shown = &report["parameters"]["values"]["webhook"];
        assert_eq!(*shown, format!("http://127.0.0.1:{port}/***"));
    }
    assert_eq!(host.live_state(), before);
}

#[test]
fn a_webhook_that_nobody_answers_fails_without_telling_its_address() {
    let host = Host::with_database();
    host.back_up();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let webhook = format!("webhook=http://u:{TOKEN}@127.0.0.1:{port}/services/{TOKEN}");
    let run = [
        "recover-from",
        "database-corruption",
        "--yes",
        "--param",
        &webhook,
        "--param",
        "queries=SELECT false",
    ];
    let ran = host.run(&run).ended(1);
    let report = host.run(&["runbook", "report", "latest"]).ok();
    assert!(report.stdout.contains("| `tell` | FAILED | 1 |"), "{report:?}");
    for said in [ran, report, host.run(&["runbook", "log", "latest"]).ok()] {
        assert!(!format!("{said:?}").contains(TOKEN), "{said:?}");
    }
}
