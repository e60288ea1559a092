use super::*;

/// A forest of one component, from the parent of each backup; the number of a list is its place.
fn forest(parents: &[Option<usize>]) -> Lineage {
    let id = |number: usize| format!("{number:032x}");
    let backup = |number: usize| Backup {
        number: number as u32,
        id: id(number),
        sequence: number as u64,
        started_at: String::new(),
        started_us: 0,
    };
    let trees: Vec<Tree> = parents
        .iter()
        .enumerate()
        .map(|(number, parent)| Tree {
            backup: id(number),
            component: "uploads".into(),
            parent: parent.map(id),
        })
        .collect();
    Lineage::of((0..parents.len()).map(backup).collect(), &trees)
}

#[test]
fn what_is_told_holds_until_something_newer_is_told_on_the_way() {
    // 0 ─ 1 ─ 2 ─ 3, 0 ─ 4 (differential), 5 ─ 6
    let lineage = forest(&[None, Some(0), Some(1), Some(2), Some(0), None, Some(5)]);
    let forest = lineage.forest("uploads").unwrap();
    let told =
        [(0, Some('a')), (2, None), (2, Some('b')), (3, None), (4, Some('a')), (6, Some('c'))];
    let told = told.map(|(number, what)| Told { number, what });
    let mut states: Vec<(usize, Option<char>)> = Vec::new();
    for (stretch, what) in forest.stretches(told) {
        states.extend(forest.order[stretch].iter().map(|backup| (*backup, what)));
    }
    states.sort_unstable();
    let expected =
        [(0, Some('a')), (1, Some('a')), (2, Some('b')), (3, None), (4, Some('a')), (6, Some('c'))];
    assert_eq!(states, expected);
}

#[test]
fn a_long_chain_is_no_deep_recursion() {
    let parents: Vec<Option<usize>> =
        (0..50_000_usize).map(|number| number.checked_sub(1)).collect();
    let lineage = forest(&parents);
    let forest = lineage.forest("uploads").unwrap();
    let holders = forest.holders([Told { number: 40_000, what: Some(()) }]);
    assert_eq!((holders.len(), holders.first()), (10_000, Some(&40_000)));
}
