//! What is asked of the brain over HTTP, carried to the agent and back.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::answers::answer_of;
use super::asking::Asker;
use super::http::{Answer, AnswerBody, Chunk, ChunkSource};
use super::think::{self, Heard, Listener, Opened};
use super::world::World;
use crate::agent::brain::speech::{AskAnswer, Question, Refusal, Saying};
use crate::agent::event::EventFilter;
use crate::agent::ids::Seq;
use crate::agent::input::Input;
use crate::agent::time::Mono;
use crate::api::brain::{self, Asked, QuestionForm, SayForm};
use crate::api::problem::{Kind, Problem};
use crate::wire::event_json::push_ledger_event;
use crate::wire::json::{Json, push_raw, push_text};
use crate::wire::openai::Shape;

/// The events that a streamed conversation shows between the texts.
const SHOWN: [&str; 4] = ["tool_started", "tool_ended", "approval_requested", "approval_decided"];
/// Events read at once for it, and about how many bytes of them.
const PAGE_EVENTS: usize = 8;
const PAGE_BYTES: usize = 8 * 1024;

/// Does what is asked.
pub(super) async fn answer(world: &Rc<World>, asked: Asked) -> Answer {
    match asked {
        Asked::Question { question, body, form, otherwise } => {
            match pass(world, question, body, form).await {
                Ok(answer) => answer,
                Err(Refusal::AllDown { why, retry_after_s }) => match otherwise {
                    Some(saying) => say(world, saying, SayForm::Chat).await,
                    None => {
                        answer_of(brain::question_refused(form, &Refusal::AllDown { why, retry_after_s }))
                    }
                },
                Err(refusal) => answer_of(brain::question_refused(form, &refusal)),
            }
        }
        Asked::Say { saying, form } => say(world, saying, form).await,
        Asked::Decide { approval, is_yes, by } => {
            let done = world.decide(approval, is_yes, by).await;
            answer_of(brain::decided(&format!("approval {approval}"), done))
        }
        Asked::Forget { session } => {
            let what = format!("conversation {session}");
            answer_of(brain::decided(&what, world.forget(session).await))
        }
        Asked::Stop { session } => {
            let what = format!("conversation {session}");
            world.feed(Input::StopTurn { session });
            answer_of(brain::decided(&what, crate::agent::effect::DecisionAnswer::Done))
        }
        Asked::Show { session } => answer_of(match world.messages(&session) {
            Ok(messages) => brain::conversation(&session, &messages),
            Err(_) => Problem::new(Kind::LedgerFault, "the ledger cannot be read now")
                .response()
                .with("retry-after", "5"),
        }),
    }
}

/// Passes a question on; its answer begins with the first piece of a provider's.
async fn pass(
    world: &Rc<World>,
    question: Question,
    body: Vec<u8>,
    form: QuestionForm,
) -> Result<Answer, Refusal> {
    let shape = match form {
        QuestionForm::OpenAi { is_streamed: true, wants_usage } => Shape::Events { with_usage: wants_usage },
        QuestionForm::OpenAi { is_streamed: false, .. } => Shape::Whole,
        QuestionForm::Chat { is_streamed: true } => Shape::Lines,
        QuestionForm::Chat { is_streamed: false } => Shape::Plain,
    };
    let place = world.asking.place()?;
    let request = world.next_request();
    let waiting = world.thinker.begin(request, Some(think::Question { body, shape }));
    world.feed(Input::Ask { request, question });
    let opened = waiting.opened().await;
    drop(place);
    match opened {
        Opened::Stream(source) => Ok(Answer {
            status: 200,
            headers: vec![("cache-control", "no-store".to_owned()), ("x-accel-buffering", "no".to_owned())],
            content_type: shape.content_type(),
            body: AnswerBody::Stream(source),
            close: false,
        }),
        Opened::Done(AskAnswer::Refused(refusal)) => Err(refusal),
        Opened::Done(_) => {
            let why = vec!["the provider broke off before it said anything".to_owned()];
            Err(Refusal::AllDown { why, retry_after_s: 1 })
        }
    }
}

async fn say(world: &Rc<World>, saying: Box<Saying>, form: SayForm) -> Answer {
    let session = saying.session.clone();
    let begun = world.clock.mono();
    let mut asker = match Asker::new(world) {
        Ok(asker) => asker,
        Err(refusal) => return answer_of(brain::said(form, &session, &AskAnswer::Refused(refusal), 0)),
    };
    let mut turn = Turn::new(world, session);
    world.feed(Input::Say { request: asker.request(), saying });
    if form == SayForm::Stream {
        // The status line waits until it is clear that something will come.
        let first = std::future::poll_fn(|cx| turn.poll_first(&mut asker, cx)).await;
        return match first {
            First::Refused(answer) => answer_of(brain::said(form, &turn.session, &answer, 0)),
            First::Comes => turn.into_answer(asker, begun),
        };
    }
    let answer = asker.answer().await;
    answer_of(brain::said(form, &turn.session, &answer, world.clock.mono().since(begun)))
}

/// A turn of a conversation as one caller follows it.
struct Turn {
    world: Rc<World>,
    session: String,
    /// `None`: as many listen as may; then the text comes at the end only.
    heard: Option<Listener>,
    after: Seq,
    ready: String,
    end: Option<AskAnswer>,
}

enum First {
    Refused(AskAnswer),
    Comes,
}

impl Turn {
    fn new(world: &Rc<World>, session: String) -> Self {
        let heard = world.thinker.listen(&session);
        let after = world.durable();
        Self { world: Rc::clone(world), session, heard, after, ready: String::new(), end: None }
    }

    fn poll_first(&mut self, asker: &mut Asker, cx: &mut Context<'_>) -> Poll<First> {
        self.gather(cx);
        if let Poll::Ready(answer) = asker.poll_answer(cx) {
            if !matches!(answer, AskAnswer::Turn(_)) {
                return Poll::Ready(First::Refused(answer));
            }
            self.end = Some(answer);
            return Poll::Ready(First::Comes);
        }
        if self.ready.is_empty() { Poll::Pending } else { Poll::Ready(First::Comes) }
    }

    /// Takes in what has come: texts, then events.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while let Some(Poll::Ready(heard)) = self.heard.as_mut().map(|heard| heard.poll_next(cx)) {
            let Heard::Text(text) = heard else { continue };
            self.ready.push('{');
            self.ready.push_str("\"message\":{\"role\":\"assistant\"");
            push_text(&mut self.ready, "content", &text);
            self.ready.push('}');
            push_raw(&mut self.ready, "done", "false");
            self.ready.push_str("}\n");
            if self.ready.len() > PAGE_BYTES {
                cx.waker().wake_by_ref();
                return;
            }
        }
        self.world.bell.listen(cx);
        self.gather_events();
    }

    fn gather_events(&mut self) {
        let durable = self.world.agent.borrow().durable();
        if self.after >= durable.seq {
            return;
        }
        let kinds = SHOWN.iter().map(|kind| (*kind).to_owned()).collect();
        let filter = EventFilter { kinds, ..EventFilter::default() };
        let Ok(page) = self.world.page(self.after, &filter, PAGE_EVENTS, PAGE_BYTES) else { return };
        for event in page.events.iter().filter(|event| event.seq <= durable.seq) {
            let metadata = Json::parse(event.metadata.0.as_bytes()).ok();
            let session = metadata.and_then(|metadata| metadata.some("session")).and_then(Json::text);
            if session.as_deref() == Some(&self.session) {
                self.ready.push_str("{\"event\":");
                push_ledger_event(&mut self.ready, event, durable.ledger);
                self.ready.push_str(",\"done\":false}\n");
            }
        }
        self.after = if page.end { durable.seq } else { page.next.min(durable.seq) };
    }

    fn into_answer(self, asker: Asker, begun: Mono) -> Answer {
        Answer {
            status: 200,
            headers: vec![("cache-control", "no-store".to_owned()), ("x-accel-buffering", "no".to_owned())],
            content_type: "application/x-ndjson",
            body: AnswerBody::Stream(Box::new(TurnStream { turn: self, asker, begun, is_over: false })),
            close: false,
        }
    }
}

/// The turn as lines of JSON.
struct TurnStream {
    turn: Turn,
    asker: Asker,
    begun: Mono,
    is_over: bool,
}

impl ChunkSource for TurnStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        if self.is_over {
            return Poll::Ready(Chunk::End);
        }
        self.turn.gather(cx);
        if !self.turn.ready.is_empty() {
            return Poll::Ready(Chunk::Bytes(std::mem::take(&mut self.turn.ready).into_bytes()));
        }
        if self.turn.end.is_none()
            && let Poll::Ready(answer) = self.asker.poll_answer(cx)
        {
            self.turn.end = Some(answer);
            // What came meanwhile goes before it.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(answer) = self.turn.end.take() else { return Poll::Pending };
        self.is_over = true;
        let elapsed = self.turn.world.clock.mono().since(self.begun);
        let mut line = last_line(&self.turn.session, &answer, elapsed);
        line.push(b'\n');
        Poll::Ready(Chunk::Bytes(line))
    }

    fn is_endless(&self) -> bool {
        true
    }
}

/// The last line: the whole answer, or why there is none.
fn last_line(session: &str, answer: &AskAnswer, elapsed_ms: u64) -> Vec<u8> {
    if let AskAnswer::Refused(refusal) = answer {
        let (kind, text, _) = brain::words_of(refusal);
        let mut line = String::from("{");
        push_text(&mut line, "error", &text);
        push_raw(&mut line, "status", &kind.status().to_string());
        push_raw(&mut line, "done", "true");
        line.push('}');
        return line.into_bytes();
    }
    brain::said(SayForm::Stream, session, answer, elapsed_ms).body.into_owned()
}
