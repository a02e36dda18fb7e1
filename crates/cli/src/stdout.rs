//! Writes to standard output.

use std::io::{self, ErrorKind, Write as _};

/// Writes a text. If the reader closed the pipe before the end (`| head`), there is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
