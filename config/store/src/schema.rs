//! Every table, as migrations that are applied in order and never changed.
//!
//! Plain SQL of integers, texts and byte strings, so that another database takes it with the words of [`Dialect`] exchanged.
//! `STRICT` is what makes SQLite refuse a sum that no longer fits an integer, as others do by themselves.

/// What differs between databases.
struct Dialect {
    bytes: &'static str,
    table_end: &'static str,
}

const SQLITE: Dialect = Dialect { bytes: "BLOB", table_end: "STRICT" };

/// A change of the tables.
pub(crate) struct Migration {
    /// What it is for.
    pub name: &'static str,
    statements: &'static [&'static str],
}

impl Migration {
    /// Its statements for SQLite.
    pub(crate) fn statements(&self) -> impl Iterator<Item = String> {
        self.statements
            .iter()
            .map(|text| text.replace("{bytes}", SQLITE.bytes).replace("{table_end}", SQLITE.table_end))
    }
}

/// The table of applied migrations.
pub(crate) const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (
    number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
)";

/// All migrations in order; the first has number 1.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    name: "ledger",
    statements: &[
        // How far each segment of each journal is folded. `done`: all of it, and nothing in it is needed any more.
        "CREATE TABLE ledger_segment (
            journal INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            created_ns INTEGER NOT NULL,
            folded_bytes INTEGER NOT NULL,
            done INTEGER NOT NULL,
            PRIMARY KEY (journal, sequence, created_ns)
        ) {table_end}",
        // How many segments were ever done: a reader that sees the same number twice has seen all segments between.
        "CREATE TABLE ledger_state (
            name TEXT NOT NULL PRIMARY KEY,
            value INTEGER NOT NULL
        ) {table_end}",
        "INSERT INTO ledger_state (name, value) VALUES ('segments_done', 0)",
        // Intents of done segments whose attempts are still open.
        "CREATE TABLE ledger_open (
            journal INTEGER NOT NULL,
            sequence INTEGER NOT NULL,
            at INTEGER NOT NULL,
            payload {bytes} NOT NULL,
            PRIMARY KEY (journal, sequence, at)
        ) {table_end}",
        "CREATE TABLE ledger_key (
            id INTEGER NOT NULL PRIMARY KEY,
            tenant TEXT NOT NULL,
            team TEXT NOT NULL,
            app TEXT NOT NULL,
            end_user TEXT NOT NULL,
            tags TEXT NOT NULL,
            service TEXT NOT NULL,
            prompt TEXT NOT NULL,
            model TEXT NOT NULL,
            provider TEXT NOT NULL,
            provider_kind TEXT NOT NULL,
            region TEXT NOT NULL,
            provider_key TEXT NOT NULL,
            UNIQUE (tenant, team, app, end_user, tags, service, prompt, model, provider, provider_kind, region,
                provider_key)
        ) {table_end}",
        "CREATE TABLE ledger_sum (
            hour INTEGER NOT NULL,
            key_id INTEGER NOT NULL,
            state INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
            nano_usd INTEGER NOT NULL,
            input_tokens INTEGER NOT NULL,
            cached_read_tokens INTEGER NOT NULL,
            cache_write_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            searches INTEGER NOT NULL,
            images INTEGER NOT NULL,
            characters INTEGER NOT NULL,
            duration_ms INTEGER NOT NULL,
            pages INTEGER NOT NULL,
            over_reservation INTEGER NOT NULL,
            model_differs INTEGER NOT NULL,
            price_unknown INTEGER NOT NULL,
            PRIMARY KEY (hour, key_id, state)
        ) {table_end}",
        // Settled lines, many in a row: what a corrected price is applied to.
        "CREATE TABLE ledger_block (
            id INTEGER NOT NULL PRIMARY KEY,
            first_ns INTEGER NOT NULL,
            last_ns INTEGER NOT NULL,
            lines {bytes} NOT NULL
        ) {table_end}",
        "CREATE INDEX ledger_block_last ON ledger_block (last_ns)",
        // Estimated lines, one in a row: what a provider's export is matched with.
        "CREATE TABLE ledger_estimated (
            id INTEGER NOT NULL PRIMARY KEY,
            request_id {bytes} NOT NULL,
            attempt INTEGER NOT NULL,
            response_id TEXT NOT NULL,
            time_ns INTEGER NOT NULL,
            line {bytes} NOT NULL
        ) {table_end}",
        "CREATE INDEX ledger_estimated_request ON ledger_estimated (request_id)",
        "CREATE INDEX ledger_estimated_response ON ledger_estimated (response_id)",
        "CREATE INDEX ledger_estimated_time ON ledger_estimated (time_ns)",
        // What was corrected: the line as it was booked and what it costs since.
        "CREATE TABLE ledger_adjustment (
            id INTEGER NOT NULL PRIMARY KEY,
            kind TEXT NOT NULL,
            made_ns INTEGER NOT NULL,
            time_ns INTEGER NOT NULL,
            request_id {bytes} NOT NULL,
            attempt INTEGER NOT NULL,
            block_id INTEGER NOT NULL,
            line INTEGER NOT NULL,
            nano_usd_before INTEGER NOT NULL,
            nano_usd_after INTEGER NOT NULL,
            price_before INTEGER NOT NULL,
            price_after INTEGER NOT NULL
        ) {table_end}",
        "CREATE INDEX ledger_adjustment_line ON ledger_adjustment (block_id, line)",
        "CREATE INDEX ledger_adjustment_time ON ledger_adjustment (time_ns)",
    ],
}];
