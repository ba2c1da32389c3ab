//! What every storage must do, on PostgreSQL: with connections of its own, with a user's small
//! pool, and as behind a pooler.

mod home;

mod own_connections {
    use jobs_postgres::PgStorage;

    use crate::home::Home;

    async fn fresh() -> (PgStorage, Home) {
        let home = Home::new();
        (home.builder().connect().await.unwrap(), home)
    }

    jobs_core::testing::conformance!(fresh);
}

mod users_pool_of_one {
    use jobs_postgres::PgStorage;
    use sqlx::postgres::PgPoolOptions;

    use crate::home::{Home, url};

    async fn fresh() -> (PgStorage, Home) {
        let home = Home::new();
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect(&url()).await.unwrap();
        let builder = home.builder().pool(pool);
        (builder.connect().await.unwrap(), home)
    }

    jobs_core::testing::conformance!(fresh);
}

mod poll_only {
    use jobs_postgres::PgStorage;

    use crate::home::Home;

    async fn fresh() -> (PgStorage, Home) {
        let home = Home::new();
        (
            home.builder().poll_only(true).connect().await.unwrap(),
            home,
        )
    }

    jobs_core::testing::conformance!(fresh);
}
