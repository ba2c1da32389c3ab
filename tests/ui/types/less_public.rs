#![allow(unused)]

use jobs::prelude::*;
use serde::{Deserialize, Serialize};

mod outer {
    use super::*;

    #[derive(Clone, Debug, Serialize, Deserialize)]
    pub(super) struct Secret;

    #[job]
    pub async fn keep(secret: Secret) {}

    #[job]
    pub async fn tell() -> Secret {
        Secret
    }
}

fn main() {}
