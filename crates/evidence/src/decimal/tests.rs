//! Decimals compare as the numbers they write: held against integers that are large enough to be exact.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// A big integer as its digits, base 10, padded: the value of a decimal times 10^64.
fn scaled(text: &str) -> (bool, String) {
    let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    (negative, format!("{whole:0>64}{fraction:0<64}"))
}

fn model(a: &str, b: &str) -> Ordering {
    let ((a_negative, a), (b_negative, b)) = (scaled(a), scaled(b));
    let zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    match (a_negative && !zero(&a), b_negative && !zero(&b)) {
        (false, false) => a.cmp(&b),
        (true, true) => b.cmp(&a),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

#[test]
fn only_the_grammar_of_the_format_is_a_decimal() {
    for fine in ["0", "-0", "0.0", "-0.00", "10.50", "-1", "123456789012345678901234567890.1"] {
        assert!(Decimal::parse(fine).is_some(), "{fine}");
    }
    for wrong in [
        "", "-", "+1", "01", "00", "-01.5", "1.", ".5", "1e2", "1E2", " 1", "1 ", "1,0", "1_0", "٣", "1.5.5",
        "--1", "0x1", "NaN", "inf",
    ] {
        assert!(Decimal::parse(wrong).is_none(), "{wrong}");
    }
    let long = |len: usize| format!("0.{}", "1".repeat(len - 2));
    assert!(Decimal::parse(&long(DECIMAL_MAX_BYTES)).is_some());
    assert!(Decimal::parse(&long(DECIMAL_MAX_BYTES + 1)).is_none());
}

#[test]
fn equal_numbers_are_equal_however_they_are_written() {
    for (a, b) in [("10", "10.00"), ("-0", "0.0"), ("0.10", "0.1"), ("-5.50", "-5.5")] {
        assert_eq!(decimal(a), decimal(b), "{a} {b}");
    }
    for (less, more) in
        [("9", "10"), ("0.09", "0.1"), ("-10", "-9"), ("-0.1", "0"), ("9.99", "10"), ("1", "1.0001")]
    {
        assert!(decimal(less) < decimal(more), "{less} {more}");
    }
}

#[test]
fn numbers_of_json_are_the_decimal_that_jcs_writes() {
    let of = |value: serde_json::Value| Decimal::of(value.as_number().unwrap()).unwrap();
    assert_eq!(of(json!(1e21)), Decimal::parse_number("1000000000000000000000").unwrap());
    assert_eq!(of(json!(1e-7)), decimal("0.0000001"));
    assert_eq!(of(json!(0.1)), decimal("0.1"));
    assert_eq!(of(json!(-0.0)), decimal("0"));
    assert_eq!(of(json!(9_007_199_254_740_993_u64)), decimal("9007199254740992"));
    assert!(Decimal::parse_number("1e-99999999999999999999").unwrap() > decimal("0"));
    assert_eq!(Decimal::parse_number("0e99999999999999999999").unwrap(), decimal("0"));
}

proptest! {
    #![proptest_config(crate::testing::cases(10_000))]

    #[test]
    fn comparison_is_that_of_big_integers(
        a in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?",
        b in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?",
        near in "-?(0|[1-9]0{0,2})(\\.0{0,2}[0-9])?",
        next in "-?(0|[1-9]0{0,2})(\\.0{0,2}[0-9])?",
    ) {
        for (a, b) in [(&a, &b), (&near, &next), (&a, &near)] {
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), model(a, b), "{} {}", a, b);
            prop_assert_eq!(decimal(a) == decimal(b), model(a, b) == Ordering::Equal);
        }
    }

    #[test]
    fn doubles_compare_as_their_decimals_do(a in any::<f64>(), b in any::<f64>(), step in 0_u64..3) {
        prop_assume!(a.is_finite() && b.is_finite());
        let of = |n: f64| Decimal::of(&Number::from_f64(n).unwrap()).unwrap();
        prop_assert_eq!(Some(of(a).cmp(&of(b))), a.partial_cmp(&b));
        let near = f64::from_bits(a.to_bits() ^ step);
        prop_assume!(near.is_finite());
        prop_assert_eq!(Some(of(a).cmp(&of(near))), a.partial_cmp(&near));
    }

    #[test]
    fn short_decimals_compare_as_integers_do(a in any::<i64>(), b in any::<i64>(), places in 0_usize..19) {
        let write = |n: i64| {
            let digits = format!("{:0>20}", n.unsigned_abs());
            let (whole, fraction) = digits.split_at(20 - places);
            let whole = whole.trim_start_matches('0');
            let sign = if n < 0 { "-" } else { "" };
            let point = if places == 0 { "" } else { "." };
            format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole })
        };
        prop_assert_eq!(decimal(&write(a)).cmp(&decimal(&write(b))), a.cmp(&b));
    }
}
