//! The places for lines: files that are begun anew when they are long enough, or memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes the lines of a recorder.
pub trait Sink {
    /// Takes whole lines.
    ///
    /// # Errors
    ///
    /// They could not be written, or only in part. The recorder then stops.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Begins another file if it is time. Returns its number if it did, for then the file begins with a header.
    ///
    /// # Errors
    ///
    /// The file could not be made.
    fn turn(&mut self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// Lines in memory, that whoever holds a clone can read.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// The lines so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Sink for Memory {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(lines);
        Ok(())
    }
}

/// Files of one server in a folder: `server-1.000001.ndjson` and so on.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
    server: u64,
    number: u64,
    file: File,
    written: u64,
    limit: u64,
}

impl Files {
    /// Begins a new file, after those that the folder has of this server. Returns it with the number of the last complete line
    /// of those. A file is left for the next one when it has `limit` bytes.
    ///
    /// # Errors
    ///
    /// The folder or a file in it cannot be read or written.
    pub fn open(folder: &Path, server: u64, limit: u64) -> io::Result<(Files, u64)> {
        fs::create_dir_all(folder)?;
        let mut newest = 0;
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| number_of(name, server));
            newest = newest.max(number.unwrap_or(0));
        }
        let last_line = match newest {
            0 => 0,
            number => last_line(&folder.join(name_of(server, number)))?,
        };
        let number = newest + 1;
        let file = begin(folder, server, number)?;
        let files = Files {
            folder: folder.to_owned(),
            server,
            number,
            file,
            written: 0,
            limit: limit.max(1),
        };
        Ok((files, last_line))
    }

    /// The number of the file that is written.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Sink for Files {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.written += lines.len() as u64;
        self.file.write_all(lines)
    }

    fn turn(&mut self) -> io::Result<Option<u64>> {
        if self.written < self.limit {
            return Ok(None);
        }
        self.number += 1;
        self.file = begin(&self.folder, self.server, self.number)?;
        self.written = 0;
        Ok(Some(self.number))
    }
}

fn begin(folder: &Path, server: u64, number: u64) -> io::Result<File> {
    let path = folder.join(name_of(server, number));
    OpenOptions::new().create_new(true).append(true).open(path)
}

fn name_of(server: u64, number: u64) -> String {
    format!("server-{server}.{number:06}.ndjson")
}

fn number_of(name: &str, server: u64) -> Option<u64> {
    let rest = name.strip_prefix("server-")?.strip_suffix(".ndjson")?;
    let (id, number) = rest.split_once('.')?;
    let ours = id.parse() == Ok(server);
    number.parse().ok().filter(|_| ours)
}

/// Counts from the header on; a line that a crash has torn off does not count.
fn last_line(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 16];
    let (mut header, mut lines) = (Vec::new(), 0u64);
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            break;
        }
        let block = &block[..length];
        if lines == 0 {
            header.extend(block.iter().copied().take_while(|byte| *byte != b'\n'));
        }
        lines += block.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    #[derive(serde::Deserialize)]
    struct Header {
        after: u64,
    }
    let after = serde_json::from_slice::<Header>(&header).map_or(0, |it| it.after);
    // Without the header.
    Ok(after + lines.saturating_sub(1))
}
