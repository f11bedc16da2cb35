//! The recipe of docs/format.md, run as it stands there: a backup can be had back without Sennight.

use sennight_protocol::target::{ManifestKeys, StorageTarget};
use sennight_storage::Store;
use std::path::Path;
use std::process::Command;
use testkit::*;

pub const TENANT: &str = r#"
CREATE TABLE company (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, boss bigint,
    label text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE "Con""tact's" (id serial PRIMARY KEY, company bigint REFERENCES company, "e mail" text, paid money, at timestamptz);
ALTER TABLE company ADD FOREIGN KEY (boss) REFERENCES "Con""tact's" DEFERRABLE;
CREATE TABLE day (d date, n int) PARTITION BY RANGE (d);
CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE nothing ();
CREATE MATERIALIZED VIEW sums AS SELECT d, sum(n) FROM day GROUP BY d;
INSERT INTO company (name) SELECT E'company\t\\' || i FROM generate_series(1, 60000) i;
INSERT INTO "Con""tact's" (company, "e mail", paid, at)
    SELECT i, md5(i::text) || '@example.org', i::numeric::money, '2026-03-29 01:00+00'::timestamptz + i * interval '1 s'
      FROM generate_series(1, 60000) i;
UPDATE company SET boss = id WHERE id % 3 = 0;
INSERT INTO day SELECT '2026-01-05', i FROM generate_series(1, 10) i;
INSERT INTO nothing DEFAULT VALUES;
REFRESH MATERIALIZED VIEW sums;
SELECT lo_from_bytea(4711, '\xdeadbeef');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT ON "Con""tact's" FOR EACH ROW EXECUTE FUNCTION touch();
GRANT SELECT ON company TO PUBLIC; COMMENT ON TABLE day IS 'days';
"#;

#[tokio::test]
async fn a_person_with_stock_tools_restores_a_backup_by_the_recipe_in_the_docs() {
    let (database, bucket) = (Database::create().await, Bucket::create().await);
    let keys = credential_files(&[("2026-11", &"k".repeat(32))]);
    let signing = ManifestKeys { dir: Some(path(keys.path())), current: "2026-11".to_owned(), required: true };
    let signing = StorageTarget { manifest_keys: Some(signing), ..bucket.target.clone() };
    let store = Store::connect(&signing).await.unwrap();
    database.run(TENANT).await;
    let backup = dump(&database, &store).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    for object in store.list(&backup.prefix).await.unwrap() {
        let file = dir.path().join(object.key.strip_prefix(&backup.prefix).unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, store.get(&object.key).await.unwrap()).unwrap();
    }
    let restored = Database::named(&unique("restored_"), "TEMPLATE template0").await;

    let recipe = recipe();
    let run = |keys: &Path| {
        let mut bash = tools("bash");
        bash.args(["-c", &recipe, "recipe"]).arg(dir.path()).arg(&restored.target.database).arg(keys);
        bash.output().unwrap()
    };
    let others = credential_files(&[("2026-11", &"x".repeat(32))]);
    let refused = run(others.path());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the manifest is forged"), "with somebody else's key");
    let ran = run(keys.path());

    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(whole(&restored), whole(&database));
}

/// The block of docs/format.md that is marked as the recipe.
fn recipe() -> String {
    let docs = testkit::file("docs/format.md");
    let (_, after) = docs.split_once("```bash recovery\n").expect("docs/format.md has the recipe");
    after.split_once("```").expect("the recipe ends").0.to_owned()
}

/// Everything of a database as pg_dump prints it: rows are in the order that they were loaded in.
pub fn whole(database: &Database) -> String {
    let output = tools("pg_dump").env("PGDATABASE", &database.target.database).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Since the minors of August 2025 a dump is fenced by a random word.
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<&str> =
        text.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

pub fn tools(program: &str) -> Command {
    let bin = env("SENNIGHT_TEST_PG_BIN");
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap_or_default()))
        .env("PGHOST", env("SENNIGHT_TEST_PG_HOST"))
        .env("PGPORT", env("SENNIGHT_TEST_PG_PORT"))
        .env("PGUSER", env("SENNIGHT_TEST_PG_USER"))
        .env("PGPASSWORD", env("SENNIGHT_TEST_PG_PASSWORD"));
    command
}
