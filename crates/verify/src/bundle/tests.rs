//! The container: what encodes decodes to itself, and nothing else does.

use proptest::prelude::*;
use testkit::LogBuilder;

use super::*;

fn hashes() -> impl Strategy<Value = Vec<[u8; 32]>> {
    proptest::collection::vec(any::<[u8; 32]>(), 0..4)
}

fn shown() -> impl Strategy<Value = Shown> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(Shown::Withheld),
        (any::<[u8; 16]>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(salt, value)| Shown::Opened { salt, value }),
    ]
}

prop_compose! {
    fn item()(
        entry in proptest::collection::vec(any::<u8>(), 0..300),
        path in hashes(),
        fields in proptest::option::of(proptest::collection::vec(shown(), 0..5)),
    ) -> Item {
        Item { index: 0, entry, path, fields }
    }
}

prop_compose! {
    fn bundle()(
        origin in "\\PC{0,20}",
        log_id in any::<[u8; 32]>(),
        checkpoint in proptest::collection::vec(any::<u8>(), 0..100),
        items in proptest::collection::btree_map(any::<u64>(), item(), 0..5),
        subject in proptest::option::of((any::<bool>(), any::<Id>())),
        earlier in proptest::option::of((proptest::collection::vec(any::<u8>(), 0..100), hashes())),
    ) -> Bundle {
        Bundle {
            origin,
            log_id,
            checkpoint,
            items: items.into_iter().map(|(index, item)| Item { index, ..item }).collect(),
            subject: subject.map(|(action, id)| if action { Subject::Action(id) } else { Subject::Run(id) }),
            earlier: earlier.map(|(checkpoint, proof)| Earlier { checkpoint, proof }),
        }
    }
}

proptest! {
    #[test]
    fn decode_reverses_encode(bundle in bundle()) {
        prop_assert_eq!(Bundle::decode(&bundle.encode()), Ok(bundle));
    }

    #[test]
    fn what_decodes_is_canonical(bundle in bundle(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut content = bundle.encode();
        content.truncate(content.len() - DIGEST_BYTES);
        let at = at.index(content.len());
        content[at] ^= flip;
        if let Ok(other) = Bundle::decode_content(&content) {
            let encoded = other.encode();
            prop_assert_eq!(&encoded[..content.len()], content);
        }
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Bundle::decode_content(&bytes);
        let _ = Bundle::decode(&bytes);
    }
}

#[test]
fn the_other_encoder_of_the_format_agrees() {
    let log = LogBuilder::new("encoders");
    let mut parts = log.bundle_showing(|_, name| name != "retention").about("run", [3; 16]);
    parts.earlier = Some((log.checkpoint(1).into_bytes(), log.consistency(1)));
    let bytes = parts.encode();
    let bundle = Bundle::decode(&bytes).unwrap();
    assert_eq!(bundle.subject, Some(Subject::Run([3; 16])));
    assert_eq!(bundle.encode(), bytes);
}

fn of_items(count: u64) -> Bundle {
    let items = (0..count).map(|index| Item { index, entry: Vec::new(), path: Vec::new(), fields: None });
    Bundle {
        origin: String::new(),
        log_id: [0; 32],
        checkpoint: Vec::new(),
        items: items.collect(),
        subject: None,
        earlier: None,
    }
}

#[test]
fn limits_hold_at_and_past_the_boundary() {
    let most = u64::try_from(BUNDLE_ENTRIES_MAX).unwrap();
    assert!(Bundle::decode(&of_items(most).encode()).is_ok());
    assert!(matches!(Bundle::decode(&of_items(most + 1).encode()), Err(BundleError::Malformed(_))));

    let sized = |len: usize| {
        let mut bundle = of_items(0);
        // five bytes of head for a checkpoint of this length, one for an empty one
        bundle.checkpoint = vec![0; len - bundle.encode().len() - 4];
        bundle.encode()
    };
    let longest = sized(BUNDLE_MAX_BYTES);
    assert_eq!(longest.len(), BUNDLE_MAX_BYTES);
    assert!(Bundle::decode(&longest).is_ok());
    let longer = sized(BUNDLE_MAX_BYTES + 1);
    assert_eq!(Bundle::decode(&longer), Err(BundleError::TooLong(BUNDLE_MAX_BYTES + 1)));

    let nothing = Digest::of(&[]).0;
    assert_eq!(Bundle::decode(&nothing), Err(BundleError::TooShort(32)));
    assert_eq!(Bundle::decode(&of_items(0).encode()[1..]), Err(BundleError::Digest));
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut out = Encoder::new();
    out.map(5).uint(0).uint(0).uint(1).text("").uint(2).bytes(&[0; 32]).uint(3).bytes(b"").uint(4);
    out.array(1).map(3).uint(0).uint(0).uint(1).bytes(b"").uint(2).array(usize::MAX);
    assert!(matches!(Bundle::decode_content(&out.finish()), Err(BundleError::Malformed(_))));
}

#[test]
fn an_opened_value_is_limited_at_the_boundary() {
    let with = |len: usize| {
        let fields = Some(vec![Shown::Opened { salt: [0; 16], value: vec![b' '; len] }]);
        Bundle {
            origin: String::new(),
            log_id: [0; 32],
            checkpoint: Vec::new(),
            items: vec![Item { index: 0, entry: Vec::new(), path: Vec::new(), fields }],
            subject: None,
            earlier: None,
        }
    };
    let longest = with(OPENED_VALUE_MAX_BYTES);
    assert_eq!(Bundle::decode(&longest.encode()), Ok(longest));
    let longer = with(OPENED_VALUE_MAX_BYTES + 1).encode();
    assert!(matches!(Bundle::decode(&longer), Err(BundleError::Malformed(_))));
}
