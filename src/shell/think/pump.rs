//! From a provider's bytes to what the caller or the conversation gets, piece by piece.

use std::mem;
use std::rc::Rc;

use super::run::Progress;
use crate::agent::brain::setup::ProviderKind;
use crate::agent::brain::speech::ThoughtFault;
use crate::agent::input::Fault;
use crate::wire::chat::{Delta, tokens_of};
use crate::wire::openai::{self, Encoder, Shape};
use crate::wire::{maclink, ollama};

/// An answer in one piece that is shorter is looked at whole before it goes on: it may be an error.
const SHORT_BYTES: u64 = 1_024;
/// Most bytes that are held back until an answer begins. Beyond: `Fault::TooLarge`.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// How an answer is read.
enum Reader {
    Events(openai::Events),
    Passed(openai::Passed),
    Lines(ollama::Lines),
    MacLink(maclink::Answer),
}

impl Reader {
    fn new(kind: ProviderKind, shape: Option<Shape>) -> Self {
        match kind {
            ProviderKind::Ollama => Self::Lines(ollama::Lines::default()),
            ProviderKind::MacLink => Self::MacLink(maclink::Answer::default()),
            ProviderKind::OpenAi | ProviderKind::AlexOs if shape == Some(Shape::Whole) => {
                Self::Passed(openai::Passed::default())
            }
            ProviderKind::OpenAi | ProviderKind::AlexOs => Self::Events(openai::Events::default()),
        }
    }
}

/// Reads one answer and makes of it what shall be written.
pub(super) struct Pump {
    reader: Reader,
    /// Writes the answer anew; without it the bytes go through as they came.
    encoder: Option<Encoder>,
    is_raw: bool,
    progress: Rc<Progress>,
    deltas: Vec<Delta>,
    /// What shall be written, for a caller.
    out: Vec<u8>,
    /// What was said, for a conversation.
    said: String,
    has_content: bool,
    has_done: bool,
    has_told_failure: bool,
    failed: Option<ThoughtFault>,
}

impl Pump {
    /// `encoder`: as the caller wants it; none for a conversation.
    pub(super) fn new(
        kind: ProviderKind,
        shape: Option<Shape>,
        encoder: Option<Encoder>,
        progress: Rc<Progress>,
    ) -> Self {
        let is_openai = matches!(kind, ProviderKind::OpenAi | ProviderKind::AlexOs);
        let is_raw = is_openai && matches!(shape, Some(Shape::Whole | Shape::Events { .. }));
        Self {
            reader: Reader::new(kind, shape),
            encoder: encoder.filter(|_| !is_raw),
            is_raw,
            progress,
            deltas: Vec::new(),
            out: Vec::new(),
            said: String::new(),
            has_content: false,
            has_done: false,
            has_told_failure: false,
            failed: None,
        }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// It is no answer of this kind of provider.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.reader {
            Reader::Events(events) => {
                events.push(bytes)?;
                loop {
                    let before = self.deltas.len();
                    let Some(event) = events.next(&mut self.deltas)? else { break };
                    // A comment keeps a connection alive; before an answer there is nobody to keep.
                    if self.is_raw && (self.has_content || self.deltas.len() > before) {
                        self.out.extend_from_slice(event);
                    }
                    if self.deltas.last() == Some(&Delta::Done) {
                        break;
                    }
                }
            }
            Reader::Passed(passed) => {
                passed.push(bytes)?;
                self.out.extend_from_slice(bytes);
                match passed.error() {
                    Some(failed) => self.deltas.push(failed),
                    None => self.has_content |= passed.bytes() >= SHORT_BYTES,
                }
            }
            Reader::Lines(lines) => lines.push(bytes, &mut self.deltas)?,
            Reader::MacLink(answer) => answer.push(bytes, &mut self.deltas)?,
        }
        self.digest();
        if !self.has_content && self.out.len() > HELD_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// At the end of the body.
    ///
    /// # Errors
    /// It is not whole.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        match &mut self.reader {
            Reader::Events(events) => events.end(&mut self.deltas)?,
            Reader::Passed(passed) => {
                passed.end(&mut self.deltas)?;
                self.has_content = true;
            }
            Reader::Lines(lines) => lines.end(&mut self.deltas)?,
            Reader::MacLink(answer) => {
                answer.end(tokens_of(self.progress.bytes_in.get()), &mut self.deltas)?;
            }
        }
        self.digest();
        if self.failed.is_some() || self.is_whole() {
            return Ok(());
        }
        Err(if self.has_content { Fault::Reset } else { Fault::Garbage })
    }

    /// Writes the end of a whole answer.
    pub(super) fn finish(&mut self) {
        if let Some(encoder) = &mut self.encoder {
            let mut text = String::new();
            encoder.end(&self.progress.gather.borrow(), self.progress.bytes_in.get(), &mut text);
            self.out.extend_from_slice(text.as_bytes());
        } else if self.is_raw && matches!(self.reader, Reader::Events(_)) && !self.has_done {
            // A server that leaves it out: clients wait for it.
            self.out.extend_from_slice(b"data: [DONE]\n\n");
        }
    }

    /// Whether something came that only an answer has.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether the provider said that this was all, so that nothing more is waited for.
    pub(super) fn is_done(&self) -> bool {
        self.has_done
    }

    /// Whether the provider said in any way that the answer is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.progress.gather.borrow().is_whole()
    }

    /// What the provider said instead of going on.
    pub(super) fn failed(&mut self) -> Option<ThoughtFault> {
        self.failed.take()
    }

    /// Whether what the provider said instead went through to the caller.
    pub(super) fn has_told_failure(&self) -> bool {
        self.has_told_failure
    }

    /// What shall be written now.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        mem::take(&mut self.out)
    }

    /// What was said since the last time.
    pub(super) fn take_said(&mut self) -> String {
        mem::take(&mut self.said)
    }

    fn digest(&mut self) {
        let deltas = mem::take(&mut self.deltas);
        let mut text = String::new();
        for delta in &deltas {
            self.progress.gather.borrow_mut().take(delta);
            self.has_content |= delta.is_content();
            self.has_done |= *delta == Delta::Done;
            match delta {
                Delta::Failed(fault) => {
                    self.failed = Some(fault.clone());
                    self.has_told_failure = self.is_raw;
                }
                Delta::Text(said) if self.encoder.is_none() && !self.is_raw => self.said.push_str(said),
                _ => {}
            }
            if let Some(encoder) = &mut self.encoder {
                encoder.push(delta, &mut text);
            }
        }
        self.out.extend_from_slice(text.as_bytes());
    }
}
