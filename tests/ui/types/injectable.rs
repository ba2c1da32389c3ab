#![allow(unused)]

use jobs::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tenant(String);

impl FromContext for Tenant {
    async fn from_context(ctx: &JobContext) -> Result<Self, JobError> {
        Ok(Self(String::new()))
    }
}

#[job]
async fn bill(month: u8, tenant: Tenant) {}

fn main() {}
