//! Time zone names, checked without their data.

use jobs_cron::{check_zone, zone_names};

#[track_caller]
fn says(name: &str, message: &str) {
    let error = check_zone(name).expect_err(name);
    assert_eq!(error.message(), message);
    assert_eq!((error.offset(), error.len()), (0, name.len()));
}

#[track_caller]
fn suggests(name: &str, zone: &str) {
    says(
        name,
        &format!("unknown time zone `{name}`, did you mean `{zone}`?"),
    );
}

#[test]
fn every_name_is_known() {
    assert!(zone_names().count() > 590);
    for name in zone_names() {
        assert!(check_zone(name).is_ok(), "{name}");
    }
}

#[test]
fn a_name_nearly_right() {
    suggests("Europe/Berln", "Europe/Berlin");
    suggests("europe/berlin", "Europe/Berlin");
    suggests("America/New York", "America/New_York");
    suggests("Berlin", "Europe/Berlin");
    suggests("new york", "America/New_York");
    suggests("Amerika/Denver", "America/Denver");
    suggests("Berlim", "Europe/Berlin");
    suggests("utc", "UTC");
}

#[test]
fn an_abbreviation() {
    suggests("PST", "America/Los_Angeles");
    suggests("cest", "Europe/Berlin");
    says(
        "XYZ",
        "unknown time zone `XYZ`: write an IANA name such as `Europe/Berlin` or `UTC`",
    );
}

#[test]
fn an_offset() {
    for name in ["+02:00", "UTC+2", "GMT-5", "-0500"] {
        says(
            name,
            &format!(
                "`{name}` is an offset, which does not follow clock changes: write a zone such as `Europe/Berlin`, or \
                 `Etc/GMT-2` for a fixed offset of +02:00 (the sign is inverted)"
            ),
        );
    }
}

#[test]
fn no_name_at_all() {
    says(
        "",
        "a time zone is missing: write one such as `Europe/Berlin` or `UTC`",
    );
    says(
        " ",
        "a time zone is missing: write one such as `Europe/Berlin` or `UTC`",
    );
    says(
        "Local",
        "there is no `local` time zone, since workers may run in several: name it, as in `Europe/Berlin`",
    );
    says(
        "Atlantis/Poseidonis",
        "unknown time zone `Atlantis/Poseidonis`: write an IANA name such as `Europe/Berlin` or `UTC`",
    );
    let long = check_zone(&"é".repeat(500)).unwrap_err();
    assert_eq!(
        long.message(),
        "this is no time zone: write one such as `Europe/Berlin`"
    );
    assert!(long.render().len() < 300);
}

#[cfg(feature = "times")]
#[test]
fn a_schedule_refuses_it_as_well() {
    let error = jobs_cron::Schedule::builder("0 3 * * *")
        .zone("Europe/Berln")
        .build()
        .unwrap_err();
    assert_eq!(
        error.render(),
        "unknown time zone `Europe/Berln`, did you mean `Europe/Berlin`?\n\n    Europe/Berln\n    ^^^^^^^^^^^^"
    );
}
