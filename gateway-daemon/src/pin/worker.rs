//! The registry on a thread of its own: disks block, calls must not.
//!
//! Questions wait in a bounded queue; when it is full the answer is an error at once.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gateway_core::base::time::WallClock;

use super::{PinAsk, PinRegistry, RegistryError, Verdict};

/// A question with the ticket that its answer carries.
#[derive(Debug)]
pub struct Question {
    /// Comes back.
    pub ticket: u64,
    /// The question.
    pub ask: PinAsk,
    /// Wall time of the question.
    pub wall: WallClock,
}

/// The registry's thread. It ends when this is dropped.
#[derive(Debug)]
pub struct RegistryWorker {
    questions: Option<SyncSender<Question>>,
    thread: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl RegistryWorker {
    /// Starts the thread; `answer` is called on it and must not block.
    pub fn start(
        mut registry: Box<dyn PinRegistry>,
        answer: impl Fn(u64, Result<Verdict, RegistryError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (questions, waiting) = sync_channel::<Question>(QUESTIONS_MAX);
        let trouble = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&trouble);
        let thread =
            std::thread::Builder::new().name("pin-registry".to_owned()).spawn(move || {
                for question in waiting {
                    let verdict = registry.look_up(&question.ask, question.wall);
                    note_trouble(&seen, verdict.as_ref().err());
                    answer(question.ticket, verdict);
                }
            })?;
        Ok(Self { questions: Some(questions), thread: Some(thread), trouble })
    }

    /// Asks. False: the queue is full, there will be no answer.
    pub fn ask(&self, question: Question) -> bool {
        let sent = self.questions.as_ref().map(|questions| questions.try_send(question));
        !matches!(sent, None | Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))))
    }

    /// What is wrong with the registry now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().map_or(None, |trouble| trouble.clone())
    }
}

impl Drop for RegistryWorker {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Says once when trouble begins or changes, and once when it is over.
fn note_trouble(seen: &Mutex<Option<String>>, error: Option<&RegistryError>) {
    let Ok(mut seen) = seen.lock() else { return };
    let now = error.map(ToString::to_string);
    match (&*seen, &now) {
        (before, Some(text)) if before.as_ref() != Some(text) => {
            tracing::warn!(error = %text, "PINs cannot be checked");
        }
        (Some(_), None) => tracing::info!("PINs can be checked again"),
        _ => {}
    }
    *seen = now;
}

/// Questions that may wait: at 1 ms each the last one waits a quarter of a second.
const QUESTIONS_MAX: usize = 256;
