use super::{SAMPLE, load, refusal};

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// The sample with these lines as its `[encryption]`.
fn with(lines: &str) -> String {
    format!("{SAMPLE}\n[encryption]\n{lines}\n")
}

#[test]
fn a_host_may_have_recipients_alone_or_a_key_alone() {
    let text = with(&format!("recipients = [\"{RECIPIENT}\"]"));
    let config = load("backstop.toml", &text, &[]).unwrap().config;
    assert_eq!(config.encryption.unwrap().recipients[0].as_str(), RECIPIENT);
    let text = with("recipients = []\nidentity_file = \"keys/shop\"");
    let config = load("backstop.toml", &text, &[]).unwrap().config;
    let file = config.encryption.unwrap().identity_file.unwrap();
    assert!(file.is_absolute() && file.ends_with("keys/shop"), "{}", file.display());
}

#[test]
fn what_would_not_encrypt_as_it_says_is_refused() {
    for (lines, because) in [
        ("identity_file = \"/root/key\"", "encryption.recipients: is missing"),
        ("recipients = []", "so it does nothing"),
        ("recipients = [\"age1nonsense\"]", "is no public key of age"),
        ("recipients = [\"\"]", "must not be empty"),
        ("recipients = []\nidentity_file = \"/var/backups/shop/key\"", "gets their key"),
    ] {
        let message = refusal(&with(lines));
        assert!(message.contains(because), "{lines}: {message}");
    }
    let both = format!("recipients = [\"{RECIPIENT}\"]\npassphrase_env = \"WORDS\"");
    assert!(refusal(&with(&both)).contains("without the `identity_file` that it unlocks"));
    let both = "recipients = []\nidentity_file = \"/k\"\npassphrase_env = \"WORDS\"\n\
                passphrase_file = \"/w\"";
    assert!(refusal(&with(both)).contains("contradict each other"));
}

#[test]
fn a_secret_key_in_the_config_is_refused_and_not_repeated() {
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let message = refusal(&with(&format!("recipients = [\"{secret}\"]")));
    assert!(message.contains("secret key") && !message.contains("1GFPYY"), "{message}");
}
