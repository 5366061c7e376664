//! The feature `serde`: public values come back from JSON as they were, and a node's name is one string.
#![cfg(feature = "serde")]

use std::fmt::Debug;
use std::path::PathBuf;

use hedgerow_storage::{
    Backup, CheckReport, Commit, Damage, Edge, Epoch, Generation, KindIx, NodeIx, NodeName, Position,
    RelationIx, Sizes, StableId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("it serializes");
    let back: T = serde_json::from_str(&text).expect("it deserializes");
    assert_eq!(&back, value);
    text
}

#[test]
fn public_values_come_back() {
    round_trip(&Position { offset: 1 << 40, lines: 7, check: u64::MAX });
    round_trip(&Commit { epoch: Epoch::new(3), edges_added: 2, ..Commit::default() });
    round_trip(&Backup { epoch: Epoch::new(3), bytes: 4096 });
    round_trip(&Sizes { files: [("keys".to_owned(), 12)].into() });
    let damage = Damage {
        path: PathBuf::from("graph/keys.1.hg"),
        place: "section 'slots'".to_owned(),
        what: "its checksum does not fit".to_owned(),
        remedy: "it was written again".to_owned(),
    };
    round_trip(&damage);
    round_trip(&CheckReport { problems: vec![damage], files: 9, ..CheckReport::default() });
}

#[test]
fn an_id_is_a_bare_number() {
    assert_eq!(round_trip(&NodeIx::new(7)), "7");
    assert_eq!(round_trip(&StableId::new(u64::MAX)), u64::MAX.to_string());
    assert_eq!(round_trip(&Epoch::new(7)), "7");
    assert_eq!(round_trip(&Generation::new(7)), "7");
    assert_eq!(round_trip(&KindIx::new(7)), "7");
    assert_eq!(round_trip(&RelationIx::new(7)), "7");
}

#[test]
fn a_name_is_a_string_and_is_validated() {
    assert_eq!(round_trip(&NodeName::new("pin", "a:b").expect("valid")), "\"pin:a:b\"");
    round_trip(&NodeName::new("pin", "line\nbreak \u{e9}").expect("valid"));
    assert!(serde_json::from_str::<NodeName>("\"pin\"").is_err());
}

#[test]
fn an_edge_borrows_its_relation_from_the_text() {
    let text = serde_json::to_string(&Edge {
        weight: 2.0,
        time: Some(5),
        relation: Some("likes"),
        ..Edge::default()
    })
    .expect("it serializes");
    let edge: Edge<'_> = serde_json::from_str(&text).expect("it deserializes");
    assert_eq!(edge, Edge { weight: 2.0, time: Some(5), relation: Some("likes"), ..Edge::default() });
}
