//! A stack that is stopped already.

use crate::support::host::Host;
use crate::support::image::{TestContainer, unique};
use crate::support::need::{self, Need};

#[test]
fn a_backup_of_a_stopped_application_is_fenced() {
    if !need::all(&[Need::Docker]) {
        return;
    }
    let label = unique("label");
    let app = TestContainer::create(&["--label", &label], &[]);
    let host = Host::with_database();
    host.configure(&format!("[[containers]]\nselect = \"label={label}\"\n"));
    let record = host.json(&["backup", "--require-consistency", "fenced"]);
    let reason = record["consistency"]["because"].as_str().unwrap();
    assert_eq!(record["consistency"]["level"], "fenced");
    assert!(reason.starts_with("no selected container was running"), "{reason}");
    assert_eq!(record["downtime"], serde_json::json!([]));
    assert_eq!(app.state(), "created", "what did not run was not started");

    // A selection that fits nothing proves nothing.
    host.configure(&format!("[[containers]]\nselect = \"label={label}.other\"\n"));
    let record = host.back_up();
    assert_eq!(record["consistency"]["level"], "snapshot");
    assert_eq!(record["consistency"]["because"], "no container that writes was held");
}
