//! Pages of the program's files that are not needed any more: those of the start once the daemon serves, and those of
//! work once it is quiet again. What is used again is mapped again, from the system's page cache or the file.

use std::{
    convert::Infallible,
    fs, io,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::Notify;

/// How long nothing may have changed for the daemon to count as quiet.
const PAUSE: Duration = Duration::from_secs(2);

/// Whether the daemon works: told by every change that is stored.
#[derive(Debug, Default)]
pub struct Activity {
    recent: AtomicBool,
    begun: Notify,
}

impl Activity {
    /// Something was changed.
    pub fn note(&self) {
        if !self.recent.load(Relaxed) && !self.recent.swap(true, Relaxed) {
            self.begun.notify_one();
        }
    }

    /// Gives `pages` back each time that work is followed by a pause. Costs nothing while nothing happens.
    pub async fn tidy(&self, pages: &FilePages) -> Infallible {
        loop {
            self.begun.notified().await;
            while self.recent.swap(false, Relaxed) {
                tokio::time::sleep(PAUSE).await;
            }
            pages.give_back();
        }
    }
}

/// The parts of the program and its libraries that are read and never written.
#[derive(Debug, Default)]
pub struct FilePages(Vec<Range<usize>>);

impl FilePages {
    /// Those of this program. To be asked for at the beginning of `main`: the loader has done its work by then, and what
    /// it loaded stays where it is.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn of_program() -> io::Result<Self> {
        // https://www.kernel.org/doc/html/latest/filesystems/proc.html
        Ok(Self(read_only(&fs::read_to_string("/proc/self/smaps")?)))
    }

    /// Gives their memory back.
    pub fn give_back(&self) {
        for pages in &self.0 {
            // SAFETY: no page of the range differs from its file and none can be written, so each comes back as it was
            // when it is next read (madvise(2)). A refusal leaves everything as it is.
            #[allow(unsafe_code)]
            unsafe {
                libc::madvise(pages.start as *mut libc::c_void, pages.len(), libc::MADV_DONTNEED);
            }
        }
    }
}

/// The mappings of files that cannot be written and hold no page that differs from the file.
fn read_only(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Anonymous:", amount, "kB"] => found.extend(candidate.take().filter(|_| amount == "0")),
            [addresses, permissions, _offset, _device, _inode, ref path @ ..] if addresses.contains('-') => {
                let of_file = path.first().is_some_and(|path| path.starts_with('/'));
                candidate = range(addresses).filter(|_| of_file && permissions.starts_with("r-"));
            }
            _ => {}
        }
    }
    found
}

fn range(addresses: &str) -> Option<Range<usize>> {
    let (start, end) = addresses.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_written_or_can_be_is_left_alone() {
        let mapping = |head: &str, anonymous: &str| {
            format!("{head}\nRss:  8 kB\nAnonymous:  {anonymous} kB\nVmFlags: rd ex mr mw me\n")
        };
        let smaps = [
            mapping("1000-2000 r-xp 00000000 08:01 7 /usr/bin/imd", "0"),
            mapping("2000-3000 r--p 00001000 08:01 7 /usr/bin/imd", "4"),
            mapping("3000-4000 rw-p 00002000 08:01 7 /usr/bin/imd", "0"),
            mapping("4000-5000 r--p 00000000 00:00 0", "0"),
            mapping("5000-6000 r-xp 00000000 00:00 0 [vdso]", "0"),
            mapping("6000-8000 r--p 00000000 08:01 8 /lib/a b.so (deleted)", "0"),
        ];
        assert_eq!(read_only(&smaps.concat()), [0x1000..0x2000, 0x6000..0x8000]);
    }

    #[test]
    fn the_program_goes_on_without_the_pages_given_back() {
        let pages = FilePages::of_program().unwrap();
        let here = what_was_written_or_can_be_is_left_alone as *const () as usize;
        assert!(pages.0.iter().any(|range| range.contains(&here)), "the program's own code is among them");
        pages.give_back();
        what_was_written_or_can_be_is_left_alone();
    }
}
