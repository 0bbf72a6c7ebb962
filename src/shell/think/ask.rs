//! A caller's end of a question: its body while it may be asked again, and the pipe that its answer comes through.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Thinker;
use crate::agent::brain::speech::AskAnswer;
use crate::agent::ids::RequestId;
use crate::shell::http::{Chunk, ChunkSource};
use crate::wire::openai::{Encoder, Shape};

/// Pieces that wait for a caller; the next is read from the provider when one of them is taken.
const PIECES_MAX: usize = 2;

/// A caller's own question.
#[derive(Debug)]
pub struct Question {
    /// In OpenAI's form, checked by `wire::openai::read`.
    pub body: Vec<u8>,
    /// How the answer is written.
    pub shape: Shape,
}

/// What a caller waits for.
pub(super) struct Asked {
    request: RequestId,
    pub(super) shape: Option<Shape>,
    pipe: RefCell<Pipe>,
}

/// Between the task that reads and the connection that writes.
#[derive(Default)]
struct Pipe {
    body: Rc<Vec<u8>>,
    pieces: VecDeque<Vec<u8>>,
    is_open: bool,
    /// How it ends once the pieces are taken.
    end: Option<Chunk>,
    answer: Option<AskAnswer>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

impl Asked {
    pub(super) fn new(request: RequestId, question: Option<Question>) -> Rc<Self> {
        let (shape, body) = question.map_or((None, Vec::new()), |q| (Some(q.shape), q.body));
        let pipe = Pipe { body: Rc::new(body), ..Pipe::default() };
        Rc::new(Self { request, shape, pipe: RefCell::new(pipe) })
    }

    /// The question; empty once an answer began.
    pub(super) fn body(&self) -> Rc<Vec<u8>> {
        Rc::clone(&self.pipe.borrow().body)
    }

    /// The answer begins: nobody else will be asked.
    pub(super) fn open(&self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.body = Rc::default();
        pipe.is_open = true;
        pipe.wake_reader();
    }

    /// Gives a piece to the caller, waiting for room.
    pub(super) async fn send(&self, piece: Vec<u8>) {
        let mut piece = Some(piece);
        poll_fn(|cx| {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.pieces.len() >= PIECES_MAX {
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            pipe.pieces.extend(piece.take());
            pipe.wake_reader();
            Poll::Ready(())
        })
        .await;
    }

    /// All was sent; or it cannot be, and the connection is to be cut.
    pub(super) fn finish(&self, end: Chunk) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.end.get_or_insert(end);
        pipe.wake_reader();
    }

    /// Ends an answer that began before its time, so that it is not taken for whole. `why`: none if the caller was told.
    pub(super) fn break_off(&self, why: Option<&str>) {
        let mut pipe = self.pipe.borrow_mut();
        let Some(shape) = self.shape.filter(|_| pipe.is_open && pipe.end.is_none()) else { return };
        let mut words = String::new();
        if let Some(why) = why {
            Encoder::broken(shape, why, &mut words);
        }
        pipe.pieces.extend((!words.is_empty()).then(|| words.into_bytes()));
        pipe.end = Some(if shape.is_stream() { Chunk::End } else { Chunk::Cut });
        pipe.wake_reader();
    }

    /// The agent's last word. An answer that went through has its own end by then.
    pub(super) fn answer(&self, answer: AskAnswer) {
        if self.pipe.borrow().is_open {
            return self.break_off(Some("stopped"));
        }
        let mut pipe = self.pipe.borrow_mut();
        pipe.body = Rc::default();
        pipe.answer = Some(answer);
        pipe.wake_reader();
    }

    fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Option<AskAnswer>> {
        let mut pipe = self.pipe.borrow_mut();
        if let Some(answer) = pipe.answer.take() {
            return Poll::Ready(Some(answer));
        }
        if pipe.is_open {
            return Poll::Ready(None);
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Chunk> {
        let mut pipe = self.pipe.borrow_mut();
        if let Some(piece) = pipe.pieces.pop_front() {
            if let Some(waker) = pipe.writer.take() {
                waker.wake();
            }
            return Poll::Ready(Chunk::Bytes(piece));
        }
        match &pipe.end {
            Some(Chunk::Cut) => Poll::Ready(Chunk::Cut),
            Some(_) => Poll::Ready(Chunk::End),
            None => {
                pipe.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Bytes that wait for the caller, the question included.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let pipe = self.pipe.borrow();
        pipe.body.len() + pipe.pieces.iter().map(Vec::capacity).sum::<usize>()
    }

    fn is_over(&self) -> bool {
        let pipe = self.pipe.borrow();
        pipe.end.is_some() || pipe.answer.is_some()
    }
}

/// What a caller gets.
pub enum Opened {
    /// The body of a 200, as the provider goes on.
    Stream(Box<dyn ChunkSource>),
    /// The agent's answer, where none goes through.
    Done(AskAnswer),
}

/// A caller that waits. Dropped, it has left.
pub struct Waiting(Caller);

impl Waiting {
    pub(super) fn new(thinker: Rc<Thinker>, asked: Rc<Asked>) -> Self {
        Self(Caller { thinker, asked, is_answered: false })
    }

    /// Waits until an answer begins, or none will.
    pub async fn opened(self) -> Opened {
        let Self(mut caller) = self;
        match poll_fn(|cx| caller.asked.poll_opened(cx)).await {
            Some(answer) => {
                caller.is_answered = true;
                Opened::Done(answer)
            }
            None => Opened::Stream(Box::new(caller)),
        }
    }
}

struct Caller {
    thinker: Rc<Thinker>,
    asked: Rc<Asked>,
    is_answered: bool,
}

impl ChunkSource for Caller {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.asked.poll_next(cx)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if !self.is_answered && !self.asked.is_over() {
            self.thinker.left(self.asked.request);
        }
    }
}
