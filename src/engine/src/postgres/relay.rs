//! Lets `pg_restore` speak to the server without a password: it connects to a socket in a private directory, and each of its
//! connections gets one of the sessions that the worker opened before. They are opened before the tenant's first object exists,
//! and the role may log in no more afterwards: so a tenant that changes the role's password gets nothing by it.

use super::error::EngineError;
use super::grants_text;
use super::raw_session::RawSession;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// libpq looks for this name in a directory that it has been given as host.
const SOCKET: &str = ".s.PGSQL.5432";
/// The port in that name.
pub const PORT: &str = "5432";
/// Codes of requests that come before a login: for TLS, for GSS.
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// A longer login message is none; nor is a statement that is rewritten longer than this.
const LONGEST: u32 = 64 << 10;

/// The socket, and the sessions behind it. It goes when the value does.
pub struct Relay {
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Relay {
    /// Opens the socket in `dir`, which nobody else may enter.
    pub fn start(dir: &Path, sessions: Vec<RawSession>, server_major: i32) -> Result<Self, EngineError> {
        let broken = |source| EngineError::ToolBroken { tool: "the socket of pg_restore".to_owned(), source };
        let listener = UnixListener::bind(dir.join(SOCKET)).map_err(broken)?;
        let (give, free) = mpsc::unbounded_channel();
        for session in sessions {
            let _ = give.send(session);
        }
        Ok(Self { accepting: tokio::spawn(accept(listener, give, free, server_major)) })
    }
}

async fn accept(
    listener: UnixListener,
    give: mpsc::UnboundedSender<RawSession>,
    free: mpsc::UnboundedReceiver<RawSession>,
    server_major: i32,
) {
    let free = Arc::new(Mutex::new(free));
    let mut serving = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (give, free) = (give.clone(), free.clone());
        serving.spawn(async move {
            // One that cannot be reset is closed: the next connection then waits for another.
            match serve(client, &free, server_major).await {
                Ok(Some(session)) => drop(give.send(session)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a session of pg_restore ended"),
            }
        });
        while serving.try_join_next().is_some() {}
    }
}

/// Serves one connection of the tool. Gives the session back if it is as good as new.
async fn serve(
    client: UnixStream,
    free: &Mutex<mpsc::UnboundedReceiver<RawSession>>,
    server_major: i32,
) -> io::Result<Option<RawSession>> {
    let (from_tool, mut to_tool) = client.into_split();
    let mut from_tool = BufReader::new(from_tool);
    if !login(&mut from_tool, &mut to_tool).await? {
        return Ok(None);
    }
    let Some(mut session) = free.lock().await.recv().await else { return Ok(None) };
    to_tool.write_all(&welcome(session.parameters())).await?;
    let (mut from_server, mut to_server) = tokio::io::split(session.wire());
    let ended = tokio::select! {
        told = pass_on(&mut from_tool, &mut to_server, server_major) => told?,
        copied = tokio::io::copy(&mut from_server, &mut to_tool) => copied.map(|_| false)?,
    };
    if !ended {
        // Killed in the middle of a statement, or the server is gone.
        return Ok(None);
    }
    session.reset().await?;
    Ok(Some(session))
}

/// Reads the tool's login. `false` if it has none.
async fn login(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
    loop {
        let length = from.read_u32().await?;
        let code = from.read_u32().await?;
        if code == TLS || code == GSS {
            to.write_all(b"N").await?;
            continue;
        }
        if !(8..LONGEST).contains(&length) {
            return Err(io::Error::other("no login"));
        }
        let mut rest = vec![0; length as usize - 8];
        from.read_exact(&mut rest).await?;
        return Ok(code >> 16 == 3);
    }
}

/// What a server answers to a login without a password.
fn welcome(parameters: &[(&'static str, String)]) -> Vec<u8> {
    let mut answer = message(b'R', &0_u32.to_be_bytes());
    for (name, value) in parameters {
        answer.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    // Requests to cancel are not passed on, so the key is worth nothing.
    answer.extend(message(b'K', &[0; 8]));
    answer.extend(message(b'Z', b"I"));
    answer
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// Passes the tool's messages on. `true` when it says goodbye, `false` when it is gone.
async fn pass_on(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    server_major: i32,
) -> io::Result<bool> {
    loop {
        let kind = match from.read_u8().await {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = from.read_u32().await?;
        let body = length.checked_sub(4).ok_or_else(|| io::Error::other("a message without a length"))?;
        match kind {
            b'X' => return Ok(true),
            b'Q' if body < LONGEST => {
                let mut text = vec![0; body as usize];
                from.read_exact(&mut text).await?;
                to.write_all(&message(b'Q', &rewritten(text, server_major))).await?;
            }
            _ => {
                to.write_all(&[&[kind], &length.to_be_bytes()[..]].concat()).await?;
                tokio::io::copy(&mut from.take(body.into()), to).await?;
            }
        }
        to.flush().await?;
    }
}

/// A statement as the server takes it from the loading role. `pg_restore` from 17 on sets a parameter that older servers do not
/// know. And it becomes another role by a statement for superusers only, where the loading role, a member, may say SET ROLE.
fn rewritten(text: Vec<u8>, server_major: i32) -> Vec<u8> {
    if server_major < 17 && text == b"SET transaction_timeout = 0;\0" {
        return b"SET statement_timeout = 0;\0".to_vec();
    }
    let grants =
        ["GRANT ", "REVOKE ", "SET SESSION AUTHORIZATION "].iter().any(|first| text.starts_with(first.as_bytes()));
    match std::str::from_utf8(&text) {
        Ok(statements) if grants => grants_text::by_members(statements).into_bytes(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str, server_major: i32) -> String {
        String::from_utf8(rewritten(format!("{text}\0").into_bytes(), server_major)).unwrap()
    }

    #[test]
    fn the_statement_that_an_old_server_does_not_know_is_another_one() {
        assert_eq!(sent("SET transaction_timeout = 0;", 16), "SET statement_timeout = 0;\0");
        for (text, major) in
            [("SET transaction_timeout = 0;", 17), ("SET transaction_timeout = 1;", 16), ("SELECT 1", 13)]
        {
            assert_eq!(sent(text, major), format!("{text}\0"));
        }
    }

    #[test]
    fn whoever_granted_grants_again_by_set_role_and_no_other_text_changes() {
        let grant = "SET SESSION AUTHORIZATION \"a b\";\nGRANT SELECT ON TABLE t TO c;\nRESET SESSION AUTHORIZATION;\n";
        assert_eq!(sent(grant, 15), "SET ROLE \"a b\";\nGRANT SELECT ON TABLE t TO c;\nRESET ROLE;\n\0");
        for other in [
            "CREATE FUNCTION f() AS 'x\nSET SESSION AUTHORIZATION a;\n'",
            "GRANT SELECT ON \"SET SESSION AUTHORIZATION x\" TO c;",
        ] {
            assert_eq!(sent(other, 15), format!("{other}\0"));
        }
    }

    #[tokio::test]
    async fn a_tool_that_says_goodbye_is_told_from_one_that_was_killed() {
        let bye = message(b'X', b"");
        let sql = message(b'Q', b"SELECT 1\0");
        for (stream, expected) in [([sql.clone(), bye.clone()].concat(), true), (sql.clone(), false)] {
            let mut out = Vec::new();
            assert_eq!(pass_on(&mut &stream[..], &mut out, 18).await.unwrap(), expected);
            assert_eq!(out, sql);
        }
        let rows = message(b'd', &vec![7; 3 * LONGEST as usize]);
        let mut out = Vec::new();
        assert!(pass_on(&mut &[rows.clone(), bye].concat()[..], &mut out, 18).await.unwrap());
        assert_eq!(out, rows);
    }

    #[tokio::test]
    async fn a_tool_that_asks_for_tls_is_told_no_and_logs_in() {
        let request = [8_u32.to_be_bytes(), TLS.to_be_bytes()].concat();
        let login_message = [13_u32.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
        let mut out = Vec::new();
        assert!(login(&mut &[request, login_message, b"user\0".to_vec()].concat()[..], &mut out).await.unwrap());
        assert_eq!(out, b"N");
    }
}
