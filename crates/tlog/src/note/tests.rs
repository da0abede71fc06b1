//! Signed notes: known answers, the rules on unknown and wrong signatures, limits, canonical form.

use proptest::prelude::*;

use super::*;

const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE: &str = "This is an example message.\n\n\
    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

const LOG_KEY: &str = "log.example/t1+29c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const LOG_TEXT: &str = "log.example/t1\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n";
const LOG_LINE: &str = "— log.example/t1 KcB/byOqm4Lbm5fKbakkBUr9JDHyt4xZCcc9MNQCrmcQ6d8qyxfGI1ZfUHSXleKl6iAvEQMgH5WGGtU1aDWIDvH+jgg=\n";
const WITNESS_KEY: &str = "witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";
const WITNESS_LINE: &str = "— witness.example/w1 3xwKNQAAAABpVbkAGiaezoPj2UaTO67apRf1d3/ElknkZSOfNKcDpMwbpMlePfIO5+2G0xoDflO8b7XU2/J3q4WcFLTQY/RJpWXyCg==\n";

fn log_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn keys(texts: &[&str]) -> Vec<VerifierKey> {
    texts.iter().map(|text| VerifierKey::parse(text).unwrap()).collect()
}

/// A well-formed line of a key that nobody knows.
fn unknown_line(name: &str) -> String {
    NoteSignature { name: name.to_owned(), id: [1, 2, 3, 4], signature: vec![5; 64] }.to_string()
}

#[test]
fn known_example() {
    let verified = open(EXAMPLE.as_bytes(), &keys(&[EXAMPLE_KEY])).unwrap();
    assert_eq!(verified.text, "This is an example message.\n");
    assert_eq!(verified.signers, keys(&[EXAMPLE_KEY]));
    assert_eq!(verified.ignored, 0);
    assert_eq!(Note::parse(EXAMPLE.as_bytes()).unwrap().to_string(), EXAMPLE);
}

#[test]
fn known_log_signature() {
    let key = VerifierKey::ed25519("log.example/t1", log_key().verifying_key()).unwrap();
    assert_eq!(key.to_string(), LOG_KEY);
    assert_eq!(key.id(), [0x29, 0xc0, 0x7f, 0x6f]);
    assert_eq!(key.name(), "log.example/t1");
    let note = sign(LOG_TEXT, "log.example/t1", &log_key()).unwrap();
    assert_eq!(note, format!("{LOG_TEXT}\n{LOG_LINE}"));
    assert_eq!(open(note.as_bytes(), std::slice::from_ref(&key)).unwrap().signers, [key]);
}

#[test]
fn keys_of_other_types_are_opaque_and_never_count() {
    let witness = VerifierKey::parse(WITNESS_KEY).unwrap();
    assert!(matches!(witness.material(), KeyMaterial::Opaque { kind: 0x04, key } if key.len() == 32));
    assert_eq!(witness.to_string(), WITNESS_KEY);
    let cosigned = format!("{LOG_TEXT}\n{LOG_LINE}{WITNESS_LINE}");
    let verified = open(cosigned.as_bytes(), &keys(&[WITNESS_KEY, LOG_KEY])).unwrap();
    assert_eq!(verified.signers, keys(&[LOG_KEY]));
    assert_eq!(verified.ignored, 1);
    assert_eq!(open(cosigned.as_bytes(), &[witness]), Err(NoteError::NoKnownKey));
}

#[test]
fn unknown_lines_are_ignored_but_one_known_is_needed() {
    let known = keys(&[LOG_KEY]);
    let grease = unknown_line("grease.example");
    // the right name with another id is unknown as well
    let other_id = unknown_line("log.example/t1");
    let note = format!("{LOG_TEXT}\n{grease}{LOG_LINE}{other_id}");
    let verified = open(note.as_bytes(), &known).unwrap();
    assert_eq!((verified.signers, verified.ignored), (known.clone(), 2));
    let only_unknown = format!("{LOG_TEXT}\n{grease}{other_id}");
    assert_eq!(open(only_unknown.as_bytes(), &known), Err(NoteError::NoKnownKey));
    assert_eq!(open(EXAMPLE.as_bytes(), &[]), Err(NoteError::NoKnownKey));
}

#[test]
fn a_wrong_signature_of_a_known_key_rejects() {
    let known = keys(&[LOG_KEY, EXAMPLE_KEY]);
    let good = sign_line(LOG_TEXT, "log.example/t1", &log_key()).unwrap();
    let bad = NoteError::BadSignature { name: good.name.clone(), id: good.id };
    for length in [1, 63, 64, 65] {
        let wrong = NoteSignature { signature: vec![0; length], ..good.clone() };
        for lines in [format!("{wrong}"), format!("{good}{wrong}"), format!("{wrong}{good}")] {
            assert_eq!(open(format!("{LOG_TEXT}\n{lines}").as_bytes(), &known), Err(bad.clone()));
        }
    }
    let other_text = format!("{LOG_TEXT}more\n\n{good}");
    assert_eq!(open(other_text.as_bytes(), &known), Err(bad));
}

#[test]
fn every_flipped_bit_is_found() {
    let note = sign(LOG_TEXT, "log.example/t1", &log_key()).unwrap();
    let known = keys(&[LOG_KEY]);
    for at in 0..note.len() {
        for mask in [0x01, 0x80] {
            let mut altered = note.clone().into_bytes();
            altered[at] ^= mask;
            assert!(open(&altered, &known).is_err(), "byte {at} ^ {mask:#x}");
        }
    }
}

#[test]
fn a_repeated_signer_counts_once() {
    let note = format!("{LOG_TEXT}\n{LOG_LINE}{LOG_LINE}");
    let twice_known = keys(&[LOG_KEY, LOG_KEY]);
    assert_eq!(open(note.as_bytes(), &twice_known).unwrap().signers, keys(&[LOG_KEY]));
}

#[test]
fn two_known_keys_with_one_name_and_id_are_ambiguous() {
    let [key] = <[_; 1]>::try_from(keys(&[LOG_KEY])).unwrap();
    let other = SigningKey::from_bytes(&[9; 32]).verifying_key();
    let collision = VerifierKey { material: KeyMaterial::Ed25519(other), ..key.clone() };
    let ambiguous = NoteError::Ambiguous { name: key.name.clone(), id: key.id };
    let note = format!("{LOG_TEXT}\n{LOG_LINE}");
    assert_eq!(open(note.as_bytes(), &[key, collision]), Err(ambiguous.clone()));
    assert!(ambiguous.to_string().contains("29c07f6f"));
}

#[test]
fn a_key_that_anybody_can_sign_for_is_refused() {
    // the neutral element: with it, R = identity and s = 0 satisfies the lenient equation for any text
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = VerifyingKey::from_bytes(&neutral).unwrap();
    let refused = NoteError::PublicKey("weak".to_owned());
    assert_eq!(VerifierKey::ed25519("weak", weak), Err(refused.clone()));
    let text = VerifierKey {
        name: "weak".to_owned(),
        id: key_id("weak", TYPE_ED25519, &neutral),
        material: KeyMaterial::Ed25519(weak),
    };
    assert_eq!(VerifierKey::parse(&text.to_string()), Err(refused));
    // verify_strict holds even for a caller that got hold of such a key
    let mut forged = [0; 64];
    forged[0] = 1;
    let line = NoteSignature { name: "weak".to_owned(), id: text.id, signature: forged.to_vec() };
    let bad = NoteError::BadSignature { name: "weak".to_owned(), id: text.id };
    assert_eq!(open(format!("text\n\n{line}").as_bytes(), &[text]), Err(bad));
}

#[test]
fn malformed_keys_are_refused() {
    let refused = [
        ("", NoteError::VerifierKey),
        ("log.example/t1+29c07f6f", NoteError::VerifierKey),
        ("log.example/t1+29C07F6F+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", NoteError::VerifierKey),
        ("log.example/t1+9c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", NoteError::VerifierKey),
        ("log.example/t1+29c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c\n", NoteError::VerifierKey),
        ("log.example/t1+29c07f6f+", NoteError::VerifierKey),
        ("log.example/t1+29c07f6f+BA==", NoteError::VerifierKey),
        ("log.example/t1+29c07f6f+AQ==", NoteError::PublicKey("log.example/t1".to_owned())),
        ("+29c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", NoteError::KeyName(String::new())),
        ("a b+29c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", NoteError::KeyName("a b".to_owned())),
        (
            "log.example/t2+29c07f6f+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
            NoteError::KeyIdMismatch("log.example/t2".to_owned()),
        ),
    ];
    for (text, error) in refused {
        assert_eq!(VerifierKey::parse(text), Err(error), "{text}");
    }
}

#[test]
fn malformed_notes_are_refused() {
    let line = LOG_LINE;
    let refused = [
        (String::new(), NoteError::Unsigned),
        ("text\n".to_owned(), NoteError::Unsigned),
        (format!("text\n{line}"), NoteError::Unsigned),
        (format!("\n{line}"), NoteError::Unsigned),
        ("text\n\n".to_owned(), NoteError::Unsigned),
        (format!("text\n\n{}", line.trim_end()), NoteError::Unsigned),
        (format!("text\n\n{line}\n"), NoteError::Unsigned),
        (format!("text\n\n{line}\n\n"), NoteError::Unsigned),
        (format!("text\n\n{line}\n{line}— a b\n"), NoteError::SignatureLine(2)),
        (format!("text\r\n\n{line}"), NoteError::NotText),
        (format!("te\0xt\n\n{line}"), NoteError::NotText),
        (format!("text\n\n{line}- a b\n"), NoteError::SignatureLine(2)),
        ("text\n\n— name\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— name AAAAAA==\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— name AAAAAAA\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— name AAAAAAB=\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— name AAAAAAA= \n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n—  AAAAAAA=\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— na+me AAAAAAA=\n".to_owned(), NoteError::SignatureLine(1)),
        ("text\n\n— na\u{a0}me AAAAAAA=\n".to_owned(), NoteError::SignatureLine(1)),
    ];
    for (note, error) in refused {
        assert_eq!(Note::parse(note.as_bytes()), Err(error), "{note:?}");
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(NoteError::NotText));
    assert!(Note::parse("text\n\n— name AAAAAAA=\n".as_bytes()).is_ok());
}

#[test]
fn the_last_blank_line_separates() {
    let text = "a\n\n\nb\n\n— not a signature line\n\n";
    let note = sign(text, "log.example/t1", &log_key()).unwrap();
    assert_eq!(open(note.as_bytes(), &keys(&[LOG_KEY])).unwrap().text, text);
}

#[test]
fn what_cannot_be_read_is_not_signed() {
    let sign = |text, name| sign(text, name, &log_key());
    assert_eq!(sign("", "name"), Err(NoteError::Text));
    assert_eq!(sign("no newline", "name"), Err(NoteError::Text));
    assert_eq!(sign("tab\t\n", "name"), Err(NoteError::NotText));
    for name in ["", "a b", "a+b", "a\nb", "a\u{7}b", "a\u{2003}b"] {
        assert_eq!(sign("text\n", name), Err(NoteError::KeyName(name.to_owned())));
    }
}

#[test]
fn name_limit() {
    let name = "n".repeat(MAX_KEY_NAME_BYTES);
    let note = sign("text\n", &name, &log_key()).unwrap();
    assert_eq!(Note::parse(note.as_bytes()).unwrap().signatures[0].name, name);
    let longer = note.replace(&name, &format!("{name}n"));
    assert_eq!(Note::parse(longer.as_bytes()), Err(NoteError::SignatureLine(1)));
    assert!(matches!(sign("text\n", &format!("{name}n"), &log_key()), Err(NoteError::KeyName(_))));
}

#[test]
fn signature_count_limit() {
    let with_unknown =
        |count: usize| format!("{LOG_TEXT}\n{}{LOG_LINE}", unknown_line("grease.example").repeat(count));
    let known = keys(&[LOG_KEY]);
    for count in [15, MAX_NOTE_SIGNATURES - 1] {
        assert_eq!(open(with_unknown(count).as_bytes(), &known).unwrap().ignored, count);
    }
    let one_more = with_unknown(MAX_NOTE_SIGNATURES);
    assert_eq!(open(one_more.as_bytes(), &known), Err(NoteError::TooManySignatures));
}

#[test]
fn note_length_limit() {
    let line = sign_line("text\n", "name", &log_key()).unwrap().to_string();
    let of_length = |length: usize| format!("{}\n\n{line}", "x".repeat(length - 2 - line.len()));
    let at_limit = of_length(MAX_NOTE_BYTES);
    assert_eq!(Note::parse(at_limit.as_bytes()).unwrap().to_string(), at_limit);
    let one_more = of_length(MAX_NOTE_BYTES + 1);
    assert_eq!(Note::parse(one_more.as_bytes()), Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
}

#[test]
fn verifier_key_length_limit() {
    // "n" + "+" + 8 + "+" leaves 4,085 characters for base64; 4,084 is a multiple of four
    let of_key = |bytes: usize, name: &str| VerifierKey {
        name: name.to_owned(),
        id: [0; 4],
        material: KeyMaterial::Opaque { kind: 0x06, key: vec![7; bytes] },
    };
    let at_limit = of_key(3062, "nn");
    assert_eq!(at_limit.to_string().len(), MAX_VERIFIER_KEY_BYTES);
    assert_eq!(VerifierKey::parse(&at_limit.to_string()), Ok(at_limit));
    let one_more = of_key(3062, "nnn").to_string();
    assert_eq!(VerifierKey::parse(&one_more), Err(NoteError::VerifierKey));
}

fn any_note() -> impl Strategy<Value = String> {
    let line = ("[!-*,-~é]{1,20}", any::<KeyId>(), prop::collection::vec(any::<u8>(), 1..80))
        .prop_map(|(name, id, signature)| NoteSignature { name, id, signature });
    ("([ -~—é]{0,20}\n){1,4}", prop::collection::vec(line, 1..5))
        .prop_map(|(text, signatures)| Note { text, signatures }.to_string())
}

proptest! {
    #[test]
    fn notes_round_trip(note in any_note()) {
        prop_assert_eq!(Note::parse(note.as_bytes()).unwrap().to_string(), note);
    }

    #[test]
    fn accepted_notes_are_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn mutated_notes_are_canonical_or_refused(
        note in any_note(),
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'='), any::<u8>()], 0..3),
    ) {
        let mut bytes = note.into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..=at, with);
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn accepted_keys_are_canonical(text in "[!-~]{1,5}\\+[0-9a-fA-F]{7,9}\\+[A-Za-z0-9+/]{4,12}={0,2}|\\PC{0,100}") {
        if let Ok(key) = VerifierKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn mutated_keys_are_canonical_or_refused(at in 0..LOG_KEY.len(), with in "[ -~]{0,2}") {
        let mut text = LOG_KEY.to_owned();
        text.replace_range(at..=at, &with);
        if let Ok(key) = VerifierKey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn what_is_signed_opens(text in "([ -~—é]{0,20}\n){1,4}", name in "[!-*,-~é]{1,20}", seed in any::<[u8; 32]>()) {
        let key = SigningKey::from_bytes(&seed);
        let note = sign(&text, &name, &key).unwrap();
        let known = VerifierKey::ed25519(&name, key.verifying_key()).unwrap();
        prop_assert_eq!(VerifierKey::parse(&known.to_string()), Ok(known.clone()));
        let verified = open(note.as_bytes(), &[known]).unwrap();
        prop_assert_eq!(verified.text, text);
    }
}
