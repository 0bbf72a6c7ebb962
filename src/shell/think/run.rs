//! One question to one provider, from its request to its end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use super::ask::Asked;
use super::listen::Heard;
use super::pump::Pump;
use super::{Around, Job, Thinker, ended, provider_of, question, retry};
use crate::agent::brain::setup::{BrainSetup, ProviderKind, ProviderSetup};
use crate::agent::brain::speech::{Prompt, Reply, ThoughtEnd, ThoughtFault, ThoughtNews};
use crate::agent::input::{Fault, Input};
use crate::shell::client::ClientResponse;
use crate::shell::http::Chunk;
use crate::shell::reactor::Timer;
use crate::wire::chat::Gather;
use crate::wire::openai::{Encoder, Shape};
use crate::wire::tools;

/// Largest piece that a caller's connection is given, in bytes.
const PIECE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of an answer that are read and given on before the next: what is made of them is all that a stream holds.
const SLICE_BYTES: usize = 2 * 1024;

/// How far a question is; also for who stops it.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) gather: RefCell<Gather>,
    pub(super) bytes_in: Cell<u64>,
    is_callers: Cell<bool>,
}

impl Progress {
    /// The reply as far as it came. Calls count only if it is whole, and then with what they touch.
    pub(super) fn reply(&self, is_whole: bool) -> Reply {
        let mut reply = self.gather.borrow().reply(self.bytes_in.get());
        if !is_whole || self.is_callers.get() {
            reply.calls.clear();
        }
        for call in &mut reply.calls {
            // A call that cannot be carried out touches nothing; whoever runs it says why.
            call.subject = tools::subject(&call.name, &call.arguments).unwrap_or_default();
        }
        reply
    }
}

/// Asks, passes the answer on and tells the agent.
pub(super) async fn think(
    thinker: Rc<Thinker>,
    around: Rc<dyn Around>,
    job: Job,
    asked: Option<Rc<Asked>>,
    progress: Rc<Progress>,
) {
    let thought = job.thought;
    let parts = (Rc::clone(&thinker), Rc::clone(&around));
    let mut course = Course { thinker: parts.0, around: parts.1, job, asked, progress, has_begun: false };
    let end = course.run().await;
    drop(course);
    let running = thinker.running.borrow_mut().remove(&thought);
    // Stopped meanwhile: that was answered.
    let Some(running) = running else { return };
    if let Some(task) = running.task {
        task.detach();
    }
    around.feed(ended(thought, end));
}

/// One question on its way.
struct Course {
    thinker: Rc<Thinker>,
    around: Rc<dyn Around>,
    job: Job,
    asked: Option<Rc<Asked>>,
    progress: Rc<Progress>,
    has_begun: bool,
}

impl Course {
    async fn run(&mut self) -> ThoughtEnd {
        let brain = self.around.brain();
        let Some(provider) = provider_of(&brain, &self.job.provider) else {
            // The config was read again meanwhile.
            let why = "not configured any more".to_owned();
            return ThoughtEnd::Failed(ThoughtFault::Provider { status: 404, why });
        };
        let mut due = Timer::after(Duration::from_millis(provider.timeout_ms.max(1)));
        let response = match within(&mut due, self.ask(&brain, &provider)).await {
            Ok(response) => response,
            Err(fault) => return ThoughtEnd::Failed(fault),
        };
        drop(brain);
        let mut pump = self.pump(provider.kind);
        match self.pass_on(response, &mut pump, &mut due).await {
            Ok(()) => {
                let reply = self.progress.reply(true);
                self.finish(&mut pump, &reply).await;
                ThoughtEnd::Answered(reply)
            }
            Err(fault) if !self.has_begun => ThoughtEnd::Failed(fault),
            Err(fault) => {
                let fault = below(&fault);
                self.break_off(fault, pump.has_told_failure());
                ThoughtEnd::Broke(self.progress.reply(false), fault)
            }
        }
    }

    async fn ask(
        &mut self,
        brain: &BrainSetup,
        provider: &ProviderSetup,
    ) -> Result<ClientResponse, ThoughtFault> {
        let client = &self.thinker.client;
        let model = question::model_of(client, provider, &self.job.model).await?.into_owned();
        let body = match (&self.job.prompt, &self.asked) {
            (Prompt::Session(prompt), _) => {
                question::of_session(&*self.around, brain, provider, prompt, &model)
                    .ok_or_else(|| retry(Fault::Transport))?
            }
            (Prompt::Caller(_), Some(asked)) => {
                question::of_caller(provider, &asked.body(), asked.shape.unwrap_or(Shape::Whole), &model)
            }
            (Prompt::Caller(_), None) => String::new(),
        };
        self.job.model = model;
        let is_callers = self.asked.is_some();
        self.progress.is_callers.set(is_callers);
        self.progress.bytes_in.set(body.len() as u64);
        let with_calls = !matches!(self.shape(), Some(Shape::Events { .. }));
        *self.progress.gather.borrow_mut() = Gather::new(!is_callers, with_calls);
        question::ask(client, provider, &self.job.model, body).await
    }

    fn shape(&self) -> Option<Shape> {
        self.asked.as_ref().and_then(|asked| asked.shape)
    }

    fn pump(&self, kind: ProviderKind) -> Pump {
        let encoder = self
            .shape()
            .map(|shape| Encoder::new(shape, self.job.thought.0, self.around.wall(), &self.job.model));
        Pump::new(kind, self.shape(), encoder, Rc::clone(&self.progress))
    }

    /// Until the answer is whole, or cannot be. Until it has begun nobody has heard of it: another may answer as well.
    async fn pass_on(
        &mut self,
        mut response: ClientResponse,
        pump: &mut Pump,
        due: &mut Timer,
    ) -> Result<(), ThoughtFault> {
        loop {
            let next = async { response.next().await.map_err(retry) };
            let next = if self.has_begun { next.await } else { within(due, next).await };
            match next {
                Ok(Some(piece)) => {
                    for slice in piece.chunks(SLICE_BYTES) {
                        let result = pump.take(slice);
                        self.go_on(pump, result).await?;
                        if pump.is_done() {
                            return self.whole();
                        }
                    }
                }
                Ok(None) => {
                    let result = pump.end();
                    self.go_on(pump, result).await?;
                    return self.whole();
                }
                // What comes after the end of an answer is not missed.
                Err(_) if self.has_begun && pump.is_whole() => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Gives on what the pump made of the last bytes, if the answer has begun or begins with them.
    async fn go_on(&mut self, pump: &mut Pump, result: Result<(), Fault>) -> Result<(), ThoughtFault> {
        let failed = pump.failed().or_else(|| result.err().map(retry));
        if pump.has_content() && failed.is_none() && !self.has_begun {
            self.begin();
        }
        if self.has_begun {
            self.deliver(pump).await;
        }
        failed.map_or(Ok(()), Err)
    }

    /// An end without a beginning is no answer.
    fn whole(&self) -> Result<(), ThoughtFault> {
        if self.has_begun { Ok(()) } else { Err(retry(Fault::Garbage)) }
    }

    fn begin(&mut self) {
        self.has_begun = true;
        match (&self.asked, &self.job.prompt) {
            (Some(asked), _) => asked.open(),
            (None, Prompt::Session(prompt)) => {
                let Job { provider, model, .. } = &self.job;
                let heard = Heard::Began { provider: provider.clone(), model: model.clone() };
                self.thinker.listeners.tell(&prompt.session, &heard);
            }
            (None, Prompt::Caller(_)) => {}
        }
        let news = ThoughtNews::Began;
        self.around.feed(Input::Thought { thought: self.job.thought, news });
    }

    /// Gives on what there is.
    async fn deliver(&self, pump: &mut Pump) {
        if let Some(asked) = &self.asked {
            let out = pump.take_out();
            for piece in out.chunks(PIECE_BYTES_MAX) {
                asked.send(piece.to_vec()).await;
            }
        }
        let said = pump.take_said();
        if !said.is_empty() {
            self.tell(&Heard::Text(said));
        }
    }

    /// Gives on the end of a whole answer.
    async fn finish(&self, pump: &mut Pump, reply: &Reply) {
        pump.finish();
        self.deliver(pump).await;
        if let Some(asked) = &self.asked {
            asked.finish(Chunk::End);
        }
        for call in &reply.calls {
            self.tell(&Heard::Call(Box::new(call.clone())));
        }
        self.tell(&Heard::Ended { is_whole: true });
    }

    fn break_off(&self, fault: Fault, is_told: bool) {
        if let Some(asked) = &self.asked {
            let why = fault.to_string();
            asked.break_off(Some(&*why).filter(|_| !is_told));
        }
        self.tell(&Heard::Ended { is_whole: false });
    }

    fn tell(&self, heard: &Heard) {
        if let Prompt::Session(prompt) = &self.job.prompt {
            self.thinker.listeners.tell(&prompt.session, heard);
        }
    }
}

async fn within<T>(
    due: &mut Timer,
    work: impl Future<Output = Result<T, ThoughtFault>>,
) -> Result<T, ThoughtFault> {
    let late = async {
        due.await;
        Err(retry(Fault::Timeout))
    };
    future::or(work, late).await
}

/// What an end in the middle of an answer is called.
fn below(fault: &ThoughtFault) -> Fault {
    match fault {
        ThoughtFault::Retry { fault, .. } => *fault,
        ThoughtFault::Provider { status, .. } | ThoughtFault::Question { status, .. } => {
            Fault::Status(*status)
        }
    }
}
