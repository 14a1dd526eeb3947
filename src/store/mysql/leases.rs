//! Sessions and leases of daemons that share the database. Session and token of a lease stand in the row of the
//! infrastructure, so that whoever takes it over and whoever writes it lock the same row.

use super::{
    MysqlStore,
    error::Failure,
    read::{ask, commit, execute, rows},
    sql::{Literal, list, statement},
};
use crate::{
    charset::utf8_or_latin1,
    store::{
        IndexRow, StoreError,
        leases::{Acquired, Head, Holder, Leases, Member},
    },
};
use async_trait::async_trait;
use std::{collections::BTreeSet, time::Duration};

/// Milliseconds since the epoch, by the server's clock.
pub(super) const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
/// Sessions that ended so many milliseconds ago are forgotten.
const FORGET: i64 = 600_000;
/// How often it is tried to take a lease that others want, too.
const ATTEMPTS: usize = 5;

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 2)
}

fn text(bytes: Vec<u8>) -> String {
    utf8_or_latin1(&bytes).into_owned()
}

fn holder(session: Option<Vec<u8>>, url: Option<Vec<u8>>) -> Option<Holder> {
    Some(Holder { session: text(session?).into(), url: text(url?) })
}

/// Whether a session, an expression, is alive.
fn alive(session: &str) -> String {
    format!("EXISTS (SELECT 1 FROM daemons d WHERE d.session = {session} AND d.expires > {NOW})")
}

impl MysqlStore {
    /// Takes a lease in one transaction, which also ends the session that it is taken from. Its holder may be renewing that
    /// session at another server of a cluster, or a moment later: of the two that write its row one fails.
    async fn try_acquire(&self, id: &str, session: &str) -> Result<Option<Acquired>, StoreError> {
        let acquire = statement(
            &format!(
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;START TRANSACTION;SET @holder = x'';
                 SELECT session INTO @holder FROM infrastructures WHERE id = ? FOR UPDATE;
                 DELETE FROM daemons WHERE session = @holder AND expires <= {NOW};
                 UPDATE infrastructures i SET i.token = i.token + 1, i.session = ?, i.mark = 0 WHERE i.id = ?
                 AND i.session = @holder AND (i.session = ? OR NOT {}) AND {};
                 SELECT i.token, i.session = ?, {}, h.session, h.url FROM infrastructures i
                 LEFT JOIN daemons h ON h.session = i.session AND h.expires > {NOW} WHERE i.id = ?",
                alive("i.session"),
                alive("?"),
                alive("?"),
            ),
            &[id, session, id, session, session, session, session, id].map(Literal::from),
        );
        type Row = (u64, bool, bool, Option<Vec<u8>>, Option<Vec<u8>>);
        let found: Vec<Row> = commit(&self.readers, self.kind, acquire, async |result| {
            for _ in 0..6 {
                rows::<mysql_async::Row>(result).await?;
            }
            rows(result).await
        })
        .await
        .map_err(Failure::into_error)?;
        let (token, ours, asker_lives, by, url) = found.into_iter().next().ok_or(StoreError::NotFound)?;
        match holder(by, url) {
            _ if !asker_lives => Err(StoreError::Fenced),
            _ if ours => Ok(Some(Acquired::Held(token))),
            Some(holder) => Ok(Some(Acquired::By(holder))),
            // It let go in between.
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Leases for MysqlStore {
    async fn register(&self, member: &Member, length: Duration, former: Option<&str>) -> Result<(), StoreError> {
        let (session, url, place) = (&*member.session, member.url.as_str(), member.place.as_str());
        let mut statements = statement(
            &format!(
                "DELETE FROM daemons WHERE place = ? OR expires < {NOW} - ?;INSERT INTO daemons VALUES (?, ?, ?, {NOW} + ?)"
            ),
            &[place.into(), FORGET.into(), session.into(), url.into(), place.into(), millis(length).into()],
        );
        if let Some(former) = former {
            statements.extend(statement(
                ";UPDATE infrastructures SET session = ? WHERE session = ?;DELETE FROM daemons WHERE session = ?",
                &[session.into(), former.into(), former.into()],
            ));
        }
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match execute(&self.readers, self.kind, statements.clone()).await {
                // Daemons that start together are in each other's way.
                Err(StoreError::Unavailable(_)) if attempts > 0 => {}
                result => return result,
            }
        }
    }

    async fn renew(&self, session: &str, length: Duration) -> Result<(), StoreError> {
        let renew = format!("UPDATE daemons SET expires = {NOW} + ? WHERE session = ? AND expires > {NOW}");
        execute(&self.readers, self.kind, statement(&renew, &[millis(length).into(), session.into()])).await?;
        let lives = statement(&format!("SELECT {}", alive("?")), &[session.into()]);
        let lives: Vec<bool> = ask(&self.readers, lives, async |result| rows(result).await).await?;
        if lives == [true] { Ok(()) } else { Err(StoreError::Fenced) }
    }

    async fn unregister(&self, session: &str) -> Result<(), StoreError> {
        execute(&self.readers, self.kind, statement("DELETE FROM daemons WHERE session = ?", &[session.into()])).await
    }

    async fn acquire(&self, id: &str, session: &str) -> Result<Acquired, StoreError> {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.try_acquire(id, session).await {
                Ok(Some(acquired)) => return Ok(acquired),
                // Of two that want the same, the server lets one try again.
                Ok(None) | Err(StoreError::Unavailable(_)) if attempts > 0 => {}
                Ok(None) => return Err(StoreError::Unavailable("others take the same lease".to_owned())),
                Err(error) => return Err(error),
            }
        }
    }

    async fn held(&self, session: &str) -> Result<BTreeSet<String>, StoreError> {
        let held = statement("SELECT id FROM infrastructures WHERE session = ?", &[session.into()]);
        let ids: Vec<Vec<u8>> = ask(&self.readers, held, async |result| rows(result).await).await?;
        Ok(ids.into_iter().map(text).collect())
    }

    async fn orphans(&self) -> Result<Vec<String>, StoreError> {
        let orphans = format!(
            "SELECT i.id FROM infrastructures i WHERE i.pending = 1 AND i.deleted = 0 AND NOT {}",
            alive("i.session")
        );
        let ids: Vec<Vec<u8>> = ask(&self.readers, orphans.into_bytes(), async |result| rows(result).await).await?;
        Ok(ids.into_iter().map(text).collect())
    }

    async fn head(&self, id: &str) -> Result<Option<Head>, StoreError> {
        let head = statement(
            &format!(
                "SELECT i.version, i.sequence, i.deleted, h.session, h.url FROM infrastructures i
                 LEFT JOIN daemons h ON h.session = i.session AND h.expires > {NOW} WHERE i.id = ?"
            ),
            &[id.into()],
        );
        type Row = (u64, u64, bool, Option<Vec<u8>>, Option<Vec<u8>>);
        let heads: Vec<Row> = ask(&self.readers, head, async |result| rows(result).await).await?;
        let head = |(version, sequence, deleted, session, url)| Head {
            version,
            sequence,
            deleted,
            holder: holder(session, url),
        };
        Ok(heads.into_iter().next().map(head))
    }

    async fn owned(&self, owners: Option<&[String]>) -> Result<Vec<IndexRow>, StoreError> {
        let of_owners = match owners {
            None => String::new(),
            Some([]) => return Ok(Vec::new()),
            Some(owners) => {
                let keys = list(owners.iter().map(|owner| Literal::from(owner.as_str())));
                format!("AND number IN (SELECT infrastructure FROM owners WHERE owner IN ({keys}))")
            }
        };
        let question = format!(
            "SELECT id, created, pending, (SELECT GROUP_CONCAT(owner) FROM owners WHERE infrastructure = number)
             FROM infrastructures WHERE deleted = 0 {of_owners} ORDER BY created DESC, number DESC"
        );
        type Row = (Vec<u8>, i64, bool, Option<Vec<u8>>);
        let found: Vec<Row> = ask(&self.readers, question.into_bytes(), async |result| rows(result).await).await?;
        let row = |(id, created, pending, owners): Row| IndexRow {
            id: text(id),
            owners: text(owners.unwrap_or_default()).split(',').map(str::to_owned).collect(),
            created,
            deleted: false,
            pending,
        };
        Ok(found.into_iter().map(row).collect())
    }
}
