//! A file that is rotated by size: `im.log`, then `im.log.1` (newer) to `im.log.3` (older), as the reference keeps them.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Older files kept.
const BACKUPS: u32 = 3;

/// Appends to a file and starts a new one when the next write would make it too large. One write is never split.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    /// Bytes; 0 never rotates.
    max_size: u64,
    size: u64,
    file: File,
}

impl RotatingFile {
    /// Opens the file for appending, making its directory when it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, max_size: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = append(path)?;
        Ok(Self { path: path.to_owned(), max_size, size: file.metadata()?.len(), file })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..BACKUPS).rev() {
            match fs::rename(self.backup(number), self.backup(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.backup(1))?;
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        // A file that cannot be rotated goes on growing: too large a log is better than none.
        if self.max_size > 0 && self.size > 0 && self.size + length > self.max_size && self.rotate().is_err() {
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += length;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_three_older_files_and_no_byte_is_lost_between_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/im.log");
        // Opened twice: what is there already counts.
        for half in [0..6, 6..12] {
            let mut file = RotatingFile::open(&path, 10).unwrap();
            for number in half {
                file.write_all(format!("{number:03}\n").as_bytes()).unwrap();
            }
        }
        let content = |name: &str| fs::read_to_string(directory.path().join("made").join(name)).ok();
        assert_eq!(content("im.log").as_deref(), Some("010\n011\n"));
        assert_eq!(content("im.log.1").as_deref(), Some("008\n009\n"));
        assert_eq!(content("im.log.3").as_deref(), Some("004\n005\n"));
        assert_eq!(content("im.log.4"), None);
    }
}
