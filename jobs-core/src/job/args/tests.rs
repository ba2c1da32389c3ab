use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct One<T> {
    value: T,
}

fn one<T: Serialize>(value: T) -> Result<String, String> {
    encode_args(&One { value }, ARGS_LIMIT).map_err(|error| error.to_string())
}

#[track_caller]
fn refused<T: Serialize>(value: T, path: &str, problem: &str) {
    let error = one(value).unwrap_err();
    assert!(
        error.starts_with(&format!("argument `{path}` ")),
        "{error} should name {path}"
    );
    assert!(error.contains(problem), "{error} should say {problem}");
}

#[track_caller]
fn round_trips<T>(value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + fmt::Debug,
{
    let args = One { value };
    let text = encode_args(&args, ARGS_LIMIT).unwrap();
    assert_eq!(text, serde_json::to_string(&args).unwrap());
    assert_eq!(decode_args::<One<T>>(&text).unwrap(), args);
}

#[test]
fn numbers_are_exact() {
    round_trips([i64::MIN, -1, 0, (1 << 53) + 1, i64::MAX]);
    round_trips([u64::MAX, 1 << 63]);
    round_trips([i128::MIN, i128::MAX]);
    round_trips(u128::MAX);
    let decimals = [
        0.1,
        1.0,
        1e-320,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::EPSILON,
        1.0 / 3.0,
    ];
    round_trips(decimals);
    round_trips(f32::MAX / 3.0);
    let zero: One<f64> = decode_args(&one(-0.0).unwrap()).unwrap();
    assert!(zero.value.is_sign_negative());
}

#[test]
fn text_and_shapes_round_trip() {
    round_trips(String::from("a \\u0000 \u{1} \"quoted\" \u{10ffff}"));
    round_trips(Some(Some(1)));
    round_trips(None::<u8>);
    round_trips((1, String::from("x"), [true, false]));
    round_trips(HashMap::from([(7, vec![()])]));
    round_trips('ä');
}

#[test]
fn numbers_that_json_lacks_are_refused_with_their_place() {
    refused(f64::NAN, "value", "is NaN");
    refused(f32::NAN, "value", "is NaN");
    refused(f64::NEG_INFINITY, "value", "is infinite");
    refused(vec![None, Some(f64::NAN)], "value[1]", "is NaN");
    refused((0, 0, f32::INFINITY), "value[2]", "is infinite");
    refused(One { value: [f64::NAN] }, "value.value[0]", "is NaN");
    refused(
        BTreeMap::from([("a b", 1.0), ("c", f64::NAN)]),
        "value.c",
        "is NaN",
    );
    refused(
        BTreeMap::from([("a b", f64::NAN)]),
        "value[\"a b\"]",
        "is NaN",
    );
    refused(BTreeMap::from([(7, f64::NAN)]), "value.7", "is NaN");
}

#[test]
fn places_inside_enums_are_named_as_json_names_them() {
    #[derive(Serialize)]
    enum Shape {
        Circle { radius: f64 },
        Box(f64, f64),
        Point(f64),
    }
    refused(
        Shape::Circle { radius: f64::NAN },
        "value.Circle.radius",
        "NaN",
    );
    refused(Shape::Box(1.0, f64::NAN), "value.Box[1]", "NaN");
    refused(Shape::Point(f64::NAN), "value.Point", "NaN");
}

#[test]
fn nul_characters_are_refused_wherever_text_comes_from() {
    struct Shown;
    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{}{}", "a", '\0'))
        }
    }
    refused("a\0b", "value", "NUL");
    refused('\0', "value", "NUL");
    refused(Shown, "value", "NUL");
    refused(BTreeMap::from([("a\0", 1)]), "value[\"a\\0\"]", "NUL");
    let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
    refused([raw(r#"{"a": "\u0000"}"#)], "value[0]", "NUL");
    assert_eq!(one(raw(r#""\\u0000""#)).unwrap(), r#"{"value":"\\u0000"}"#);
}

#[test]
fn a_flattened_map_is_checked_too() {
    #[derive(Serialize)]
    struct Wide {
        id: i64,
        #[serde(flatten)]
        rest: BTreeMap<String, f64>,
    }
    let wide = |rest| Wide {
        id: 1,
        rest: BTreeMap::from([(String::from("rest"), rest)]),
    };
    assert_eq!(
        encode_args(&wide(0.5), 99).unwrap(),
        r#"{"id":1,"rest":0.5}"#
    );
    let error = encode_args(&wide(f64::NAN), 99).unwrap_err().to_string();
    assert!(error.starts_with("argument `rest` is NaN"), "{error}");
}

#[test]
fn keys_that_are_no_text_are_refused() {
    refused(
        BTreeMap::from([(vec![1], 1)]),
        "value[\"[1]\"]",
        "key must be a string",
    );
}

#[test]
fn the_value_that_is_written_is_the_one_that_is_checked() {
    struct Fickle(std::cell::Cell<f64>);
    impl Serialize for Fickle {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_f64(self.0.replace(1.0))
        }
    }
    refused(Fickle(f64::NAN.into()), "value", "is NaN");
}

#[test]
fn what_is_no_object_is_refused() {
    for error in [
        encode_args(&7, 99),
        encode_args("text", 99),
        encode_args(&[1, 2], 99),
        encode_args(&None::<One<i32>>, 99),
        encode_args(&(), 99),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("must be a JSON object"), "{error}");
    }
    let error = encode_args(&f64::NAN, 99).unwrap_err().to_string();
    assert!(error.starts_with("the arguments are NaN"), "{error}");
}

#[test]
fn a_struct_without_fields_is_an_empty_object() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Empty {}
    assert_eq!(encode_args(&Unit, 99).unwrap(), "{}");
    assert_eq!(encode_args(&Empty {}, 99).unwrap(), "{}");
    assert_eq!(decode_args::<Unit>("{}").unwrap(), Unit);
    assert_eq!(decode_args::<Empty>("{}").unwrap(), Empty {});
    assert!(decode_args::<One<i64>>("{}").is_err());
}

#[test]
fn what_is_too_large_names_its_largest_part() {
    #[derive(Serialize)]
    struct Mail {
        to: String,
        body: Vec<String>,
        footer: String,
    }
    let mail = |lines| Mail {
        to: "x".repeat(300),
        body: vec!["x".repeat(98); lines],
        footer: "x".repeat(900),
    };
    let fits = encode_args(&mail(1), 2_000).unwrap();
    assert_eq!(encode_args(&mail(1), fits.len()).unwrap(), fits);
    assert!(encode_args(&mail(1), fits.len() - 1).is_err());
    let error = encode_args(&mail(50), 2_000).unwrap_err().to_string();
    assert!(error.contains("most of it in argument `body`"), "{error}");
    assert!(error.contains("the limit is 2000"), "{error}");
}

#[test]
fn results_are_checked_alike() {
    assert_eq!(encode_result(&None::<u8>, 99).unwrap(), None);
    assert_eq!(encode_result("x", 99).unwrap().as_deref(), Some("\"x\""));
    assert_eq!(decode_result::<Option<u8>>(None).unwrap(), None);
    let error = |result| encode_result(&result, 99).unwrap_err().to_string();
    assert!(error(vec![f64::NAN]).starts_with("the result's `[0]` is NaN"));
    let error = encode_result("\0", 99).unwrap_err().to_string();
    assert!(
        error.starts_with("the result contains a NUL character"),
        "{error}"
    );
}

/// Run with `--release -- --ignored --nocapture` to see what one small job costs.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_small_job() {
    #[derive(Serialize)]
    struct Small {
        user_id: i64,
        template: String,
        score: f64,
        note: Option<String>,
    }
    let small = Small {
        user_id: 123_456,
        template: "hello, this is a template".into(),
        score: 0.25,
        note: None,
    };
    let time = |encode: &dyn Fn() -> String| {
        let start = std::time::Instant::now();
        let bytes: usize = (0..1_000_000).map(|_| encode().len()).sum();
        (start.elapsed().as_nanos() / 1_000_000, bytes)
    };
    for _ in 0..3 {
        let (checked, bytes) = time(&|| encode_args(&small, ARGS_LIMIT).unwrap());
        let (plain, same) = time(&|| serde_json::to_string(&small).unwrap());
        assert_eq!(bytes, same);
        println!("checked {checked} ns, serde_json alone {plain} ns");
    }
}
