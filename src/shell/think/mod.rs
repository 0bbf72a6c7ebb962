//! Questions to models, carried out on the loop: one task for each, no thread.
//!
//! ```text
//!   caller --begin--> Asked (body, pipe) <---- pieces, at most two ---- task of the question <-- Client <-- provider
//!                        |                                                   |
//!   its answer <---------+                        listeners of a conversation <--- text as it comes
//! ```
//!
//! What is begun, tried again, stopped and counted is the agent's to say. A slow caller slows its provider through the pipe;
//! one that leaves is told to the agent, which stops the question.

mod ask;
mod listen;
mod pump;
mod question;
mod run;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_executor::{LocalExecutor, Task};

use super::client::Client;
use crate::agent::brain::setup::{BrainSetup, ProviderSetup};
use crate::agent::brain::speech::{
    AskAnswer, Message, Prompt, Reply, ThoughtEnd, ThoughtFault, ThoughtId, ThoughtNews,
};
use crate::agent::ids::RequestId;
use crate::agent::input::{Fault, Input};
use crate::agent::time::Wall;
use ask::Asked;
pub use ask::{Opened, Question, Waiting};
use listen::Listeners;
pub use listen::{Heard, Listener};
use run::Progress;

/// What questions need of the world.
pub trait Around {
    /// The brain's part of the setup in use.
    fn brain(&self) -> BrainSetup;
    /// Messages of a conversation, as `Ledger::messages`; `None` if they cannot be read just now.
    fn messages(&self, session: &str, from: u32, upto: u32, bytes_max: usize) -> Option<Vec<(u32, Message)>>;
    /// The schemas of these tools as a JSON array.
    fn tools(&self, names: &[String]) -> String;
    /// The calendar.
    fn wall(&self) -> Wall;
    /// Tells the agent.
    fn feed(&self, input: Input);
}

/// A question that shall be asked.
struct Job {
    thought: ThoughtId,
    prompt: Prompt,
    provider: String,
    model: String,
}

/// What the task that starts others has to do.
enum Order {
    Think(Job),
    /// A caller went away.
    Left(RequestId),
}

/// A question under way.
struct Running {
    progress: Rc<Progress>,
    asked: Option<Rc<Asked>>,
    task: Option<Task<()>>,
}

/// The loop's end of the questions.
pub struct Thinker {
    client: Client,
    orders: RefCell<VecDeque<Order>>,
    waker: Cell<Option<Waker>>,
    running: RefCell<BTreeMap<ThoughtId, Running>>,
    asks: RefCell<BTreeMap<RequestId, Rc<Asked>>>,
    listeners: Rc<Listeners>,
}

impl Thinker {
    /// Nothing is asked. Bounded by what the agent lets through and by the connections of the open port.
    #[must_use]
    pub fn new(client: Client) -> Rc<Self> {
        Rc::new(Self {
            client,
            orders: RefCell::default(),
            waker: Cell::new(None),
            running: RefCell::default(),
            asks: RefCell::default(),
            listeners: Rc::default(),
        })
    }

    /// Begins to wait for the answer to an `Input::Ask` or `Input::Say`, which is to be fed next. To drop what is given is
    /// to leave.
    #[must_use]
    pub fn begin(self: &Rc<Self>, request: RequestId, question: Option<Question>) -> Waiting {
        let asked = Asked::new(request, question);
        self.asks.borrow_mut().insert(request, Rc::clone(&asked));
        Waiting::new(Rc::clone(self), asked)
    }

    /// Carries out `Effect::Think`; what comes of it at once is the answer.
    pub fn think(
        &self,
        thought: ThoughtId,
        prompt: Prompt,
        provider: String,
        model: String,
    ) -> Option<Input> {
        let asked = match &prompt {
            Prompt::Session(_) => None,
            Prompt::Caller(request) => match self.asks.borrow().get(request) {
                Some(asked) => Some(Rc::clone(asked)),
                None => return Some(ended(thought, ThoughtEnd::Left(Reply::default()))),
            },
        };
        let running = Running { progress: Rc::default(), asked, task: None };
        self.running.borrow_mut().insert(thought, running);
        self.order(Order::Think(Job { thought, prompt, provider, model }));
        None
    }

    /// Carries out `Effect::ThinkStop`; its answer, unless the question has ended.
    pub fn stop(&self, thought: ThoughtId) -> Option<Input> {
        let running = self.running.borrow_mut().remove(&thought)?;
        let reply = running.progress.reply(false);
        if let Some(asked) = &running.asked {
            asked.break_off(Some("stopped"));
        }
        Some(ended(thought, ThoughtEnd::Left(reply)))
    }

    /// Carries out `Effect::AskDone`; gives it back if nobody waits here under this name.
    pub fn ask_done(&self, request: RequestId, answer: AskAnswer) -> Option<AskAnswer> {
        let asked = self.asks.borrow_mut().remove(&request);
        match asked {
            Some(asked) => {
                asked.answer(answer);
                None
            }
            None => Some(answer),
        }
    }

    /// Listens to what is said in a conversation from here on; `None` if too many listen already.
    #[must_use]
    pub fn listen(&self, session: &str) -> Option<Listener> {
        Listeners::listen(&self.listeners, session)
    }

    /// Questions under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.running.borrow().len()
    }

    fn left(&self, request: RequestId) {
        if self.asks.borrow_mut().remove(&request).is_some() {
            self.order(Order::Left(request));
        }
    }

    fn order(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn next_order(&self) -> Order {
        std::future::poll_fn(|cx| match self.orders.borrow_mut().pop_front() {
            Some(order) => Poll::Ready(order),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// Asks, for ever.
pub async fn keep(thinker: Rc<Thinker>, around: Rc<dyn Around>) {
    let executor = LocalExecutor::new();
    let orders = async {
        loop {
            match thinker.next_order().await {
                Order::Left(request) => around.feed(Input::CallerLeft { request }),
                Order::Think(job) => start(&executor, &thinker, &around, job),
            }
        }
    };
    executor.run(orders).await
}

fn start(executor: &LocalExecutor<'static>, thinker: &Rc<Thinker>, around: &Rc<dyn Around>, job: Job) {
    let thought = job.thought;
    let known = thinker.running.borrow().get(&thought).map(|running| {
        let asked = running.asked.as_ref().map(Rc::clone);
        (Rc::clone(&running.progress), asked)
    });
    // Stopped before it was begun.
    let Some((progress, asked)) = known else { return };
    let work = run::think(Rc::clone(thinker), Rc::clone(around), job, asked, progress);
    let task = executor.spawn(crate::shell::work(work));
    match thinker.running.borrow_mut().get_mut(&thought) {
        Some(running) => running.task = Some(task),
        None => task.detach(),
    }
}

fn ended(thought: ThoughtId, end: ThoughtEnd) -> Input {
    Input::Thought { thought, news: ThoughtNews::Ended(end) }
}

/// A fault below the answer is worth another try, whatever it is.
fn retry(fault: Fault) -> ThoughtFault {
    ThoughtFault::Retry { fault, after_ms: None }
}

fn provider_of(brain: &BrainSetup, name: &str) -> Option<ProviderSetup> {
    brain.providers.iter().find(|provider| provider.name == name).cloned()
}

#[cfg(test)]
mod tests;
