//! Names for databases beside the live one.

/// PostgreSQL cuts longer names (`NAMEDATALEN` is 64).
pub const MAX_NAME_BYTES: usize = 63;

/// `NAME_TAG_KEY`, with `NAME` cut at a character's end so that the whole fits into a
/// database name. `tag` and `key` are never cut: they keep the name unique.
pub fn derived_name(name: &str, tag: &str, key: &str) -> String {
    let ending = format!("_{tag}_{key}");
    let mut room = MAX_NAME_BYTES.saturating_sub(ending.len()).min(name.len());
    while !name.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{ending}", &name[..room])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_distinct() {
        assert_eq!(derived_name("shop", "restore", "4f2a"), "shop_restore_4f2a");
        let long = "ü".repeat(31);
        let derived = derived_name(&long, "restore", "4f2a");
        assert!(derived.len() <= MAX_NAME_BYTES && derived.ends_with("_restore_4f2a"));
        assert_ne!(derived, derived_name(&long, "before", "4f2a"));
    }
}
