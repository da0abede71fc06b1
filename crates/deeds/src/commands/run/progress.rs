//! How far looking at files has come, on standard error where that is a terminal and it takes long.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capture::files::Watch;
use tokio::task::JoinHandle;

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(250);
/// After how many of these it is first written: what is quick needs no line.
const FIRST: u32 = 4;

/// Shows progress as long as it is kept.
pub(super) struct Progress {
    watch: Arc<Watch>,
    showing: Option<JoinHandle<()>>,
}

impl Progress {
    pub(super) fn begin(wanted: bool) -> Self {
        if !wanted || !io::stderr().is_terminal() {
            return Self { watch: Arc::default(), showing: None };
        }
        let line = Arc::new(Mutex::new(false));
        let end = Arc::clone(&line);
        // gone before the command writes anything
        let watch = Arc::new(Watch::new(move || draw(&end, None)));
        let showing = tokio::spawn(show(Arc::clone(&watch), line));
        Self { watch, showing: Some(showing) }
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(showing) = &self.showing {
            showing.abort();
        }
    }
}

async fn show(watch: Arc<Watch>, line: Arc<Mutex<bool>>) {
    let mut ticks = tokio::time::interval(EVERY);
    let mut busy = 0;
    loop {
        ticks.tick().await;
        busy = if watch.seen().is_some() { busy + 1 } else { 0 };
        if busy > FIRST {
            draw(&line, Some(&watch));
        }
    }
}

/// Writes the line, or takes it away. Looks again at the last moment, under the lock: a look that has ended leaves no
/// line behind.
fn draw(line: &Mutex<bool>, watch: Option<&Watch>) {
    let mut there = line.lock().unwrap_or_else(PoisonError::into_inner);
    let text = watch.and_then(Watch::seen).map(|(files, bytes)| text(files, bytes));
    if text.is_some() || *there {
        let mut stderr = io::stderr().lock();
        // it may get lost; nothing depends on it
        let _ = write!(stderr, "\r\x1b[2K{}", text.as_deref().unwrap_or_default());
        let _ = stderr.flush();
    }
    *there = text.is_some();
}

fn text(files: u64, bytes: u64) -> String {
    format!("reading the declared files: {files} files, {} MiB", bytes / (1_024 * 1_024))
}
