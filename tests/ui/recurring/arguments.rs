#![allow(unused)]

use jobs::prelude::*;

#[recurring("@daily")]
async fn none_given(user_id: i64, template: String) {}

#[recurring("@daily", args(user = 1, template = "hello", template = "again"))]
async fn wrong_names(user_id: i64, template: String) {}

#[recurring("@daily", args(nothing = 1))]
async fn has_none(ctx: JobContext) {}

#[recurring("@daily", args = 1)]
async fn wrong_form(user_id: i64) {}

#[recurring("@daily", args(user_id = "one"))]
async fn wrong_type(user_id: i64) {}

#[recurring("@daily", args(1, 2))]
async fn without_names(user_id: i64) {}

fn main() {}
