//! The thread that waits for the disk: commits in the order asked, several that queue up in one transaction.
//!
//! An fsync on an SD card may take seconds; the loop must not wait for it. The thread ends when its sender is dropped.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender};

use crate::agent::ids::{Seq, Ticket};
use crate::agent::input::CommitFault;
use crate::agent::memory::Write;

/// Commits that may wait at once. The agent has one in flight; the rest is room for a stop.
const QUEUE_MAX: usize = 4;
/// Stack of the thread in bytes. Fifty commits touched 20 KiB of it (x86-64, test build); the rest is for larger trees.
const STACK_BYTES: usize = 192 * 1024;

/// Something that makes writes durable: the ledger, or a test's own.
pub trait Commits: Send + 'static {
    /// Makes all of these batches durable together, in order, and answers the oldest event that is still kept.
    ///
    /// # Errors
    /// Whether anything became durable is unknown.
    fn commit(&self, batches: &[Arc<[Write]>]) -> Result<Seq, CommitFault>;
}

/// What came of a commit: its ticket, and the oldest event kept.
pub type Committed = (Ticket, Result<Seq, CommitFault>);

#[derive(Debug)]
enum Job {
    Commit(Ticket, Arc<[Write]>),
    /// Answered when everything asked before is done.
    Pulse(Sender<()>),
}

/// The loop's end of the thread `ledger`.
#[derive(Debug)]
pub struct Committer {
    jobs: Sender<Job>,
    done: Receiver<Committed>,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub fn start<L: Commits>(ledger: L) -> io::Result<Self> {
        let (jobs, asked) = async_channel::bounded(QUEUE_MAX);
        let (answer, done) = async_channel::bounded(QUEUE_MAX);
        let work = move || serve(&ledger, &asked, &answer);
        let thread = thread::Builder::new().name("ledger".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(Self { jobs, done, thread })
    }

    /// Asks for a commit; it is answered by [`Committer::next`].
    ///
    /// # Errors
    /// `QUEUE_MAX` commits wait already, or the thread is gone: these writes go nowhere.
    pub fn submit(&self, ticket: Ticket, writes: Arc<[Write]>) -> Result<(), CommitFault> {
        self.jobs.try_send(Job::Commit(ticket, writes)).map_err(|_| CommitFault::Io)
    }

    /// The next commit that came back, in the order asked. Waits for ever if none was asked.
    pub async fn next(&self) -> Committed {
        match self.done.recv().await {
            Ok(committed) => committed,
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns when the thread has done all that it was asked, or never if it hangs; whether it lives. Writes nothing.
    pub async fn pulse(&self) -> bool {
        let (answer, answered) = async_channel::bounded(1);
        self.jobs.send(Job::Pulse(answer)).await.is_ok() && answered.recv().await.is_ok()
    }

    /// Lets the thread do what it was asked and end; what was not yet taken by [`Committer::next`] comes back here.
    pub fn finish(self) -> Vec<Committed> {
        let Self { jobs, done, thread } = self;
        drop(jobs);
        let mut rest = Vec::new();
        while let Ok(committed) = done.recv_blocking() {
            rest.push(committed);
        }
        // A panic of the thread was reported by its hook; there is nothing to add to it here.
        let _ = thread.join();
        rest
    }
}

/// Jobs that wait together.
#[derive(Default)]
struct Batch {
    tickets: Vec<Ticket>,
    writes: Vec<Arc<[Write]>>,
    pulses: Vec<Sender<()>>,
}

impl Batch {
    fn add(&mut self, job: Job) {
        match job {
            Job::Commit(ticket, writes) => {
                self.tickets.push(ticket);
                self.writes.push(writes);
            }
            Job::Pulse(answer) => self.pulses.push(answer),
        }
    }
}

fn serve<L: Commits>(ledger: &L, asked: &Receiver<Job>, answer: &Sender<Committed>) {
    while let Ok(job) = asked.recv_blocking() {
        let mut batch = Batch::default();
        batch.add(job);
        while let Ok(job) = asked.try_recv() {
            batch.add(job);
        }
        if !commit(ledger, &batch, answer) {
            return;
        }
        for pulse in batch.pulses {
            // Who asked may have gone away.
            let _ = pulse.try_send(());
        }
    }
}

/// Whether anybody listens.
fn commit<L: Commits>(ledger: &L, batch: &Batch, answer: &Sender<Committed>) -> bool {
    if batch.tickets.is_empty() {
        return true;
    }
    let result = ledger.commit(&batch.writes);
    batch.tickets.iter().all(|ticket| answer.send_blocking((*ticket, result)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::reactor::block_on;
    use std::sync::mpsc;

    use crate::agent::memory::FactKey;
    use crate::ledger::{Ledger, Limits, SIZE_MIN_BYTES};
    use crate::shell::world::Durable;

    /// Tells how many writes each commit had, and waits for a word before each.
    struct Slow {
        commits: mpsc::Sender<usize>,
        go: mpsc::Receiver<Result<Seq, CommitFault>>,
    }

    impl Commits for Slow {
        fn commit(&self, batches: &[Arc<[Write]>]) -> Result<Seq, CommitFault> {
            self.commits.send(batches.iter().map(|batch| batch.len()).sum()).expect("the test listens");
            self.go.recv().expect("the test speaks")
        }
    }

    fn slow() -> (Committer, mpsc::Receiver<usize>, mpsc::Sender<Result<Seq, CommitFault>>) {
        let (commits, seen) = mpsc::channel();
        let (say, go) = mpsc::channel();
        (Committer::start(Slow { commits, go }).expect("a thread"), seen, say)
    }

    fn writes(count: usize) -> Arc<[Write]> {
        vec![Write::Fact(FactKey::Controller, "running".to_owned()); count].into()
    }

    #[test]
    fn what_queues_up_goes_in_one_transaction_and_answers_in_order() {
        let (committer, seen, say) = slow();
        committer.submit(Ticket(1), writes(1)).expect("room");
        assert_eq!(seen.recv(), Ok(1), "the first goes alone");
        committer.submit(Ticket(2), writes(2)).expect("room");
        committer.submit(Ticket(3), writes(3)).expect("room");
        say.send(Ok(Seq(7))).expect("it waits");
        assert_eq!(seen.recv(), Ok(5), "the others go together");
        say.send(Err(CommitFault::Full)).expect("it waits");
        let next = || block_on(committer.next());
        assert_eq!(next(), (Ticket(1), Ok(Seq(7))));
        assert_eq!(next(), (Ticket(2), Err(CommitFault::Full)));
        assert_eq!(next(), (Ticket(3), Err(CommitFault::Full)));
        assert_eq!(committer.finish(), []);
    }

    #[test]
    fn finishing_does_what_was_asked_and_hands_back_the_answers() {
        let (committer, _seen, say) = slow();
        committer.submit(Ticket(1), writes(1)).expect("room");
        say.send(Ok(Seq(1))).expect("it listens");
        say.send(Ok(Seq(2))).expect("it listens");
        assert_eq!(committer.finish(), [(Ticket(1), Ok(Seq(1)))]);
    }

    #[test]
    fn a_pulse_comes_back_after_the_commits_before_it_and_commits_nothing() {
        let (committer, seen, say) = slow();
        committer.submit(Ticket(1), writes(1)).expect("room");
        let mut pulse = Box::pin(committer.pulse());
        let not_yet = block_on(futures_lite::future::poll_once(&mut pulse));
        assert_eq!(not_yet, None, "the ledger hangs");
        say.send(Ok(Seq(1))).expect("it listens");
        assert!(block_on(pulse));
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [1]);
        assert!(block_on(committer.pulse()), "also with nothing to do");
        assert_eq!(seen.try_recv(), Err(mpsc::TryRecvError::Empty));
    }

    #[test]
    fn a_full_queue_is_refused_instead_of_waited_for() {
        let (committer, seen, say) = slow();
        committer.submit(Ticket(0), writes(1)).expect("room");
        assert_eq!(seen.recv(), Ok(1));
        for ticket in 1..=QUEUE_MAX as u64 {
            committer.submit(Ticket(ticket), writes(1)).expect("room");
        }
        assert_eq!(committer.submit(Ticket(9), writes(1)), Err(CommitFault::Io));
        say.send(Ok(Seq(1))).expect("it waits");
        say.send(Ok(Seq(1))).expect("it listens");
        assert_eq!(committer.finish().len(), QUEUE_MAX + 1);
    }

    #[test]
    fn the_ledger_commits_on_this_stack_and_keeps_what_it_was_given() {
        let dir = std::env::temp_dir().join(format!("chainbot-committer-{}", std::process::id()));
        let path = dir.join("ledger.redb");
        let limits = || Limits { events_max: 1_000, size_max_bytes: SIZE_MIN_BYTES };
        let (ledger, _) = Ledger::open_file(&path, limits(), 7).expect("a new ledger");
        let committer = Committer::start(Durable(Arc::new(ledger))).expect("a thread");
        for ticket in 1..=50 {
            committer.submit(Ticket(ticket), writes(16)).expect("room");
            assert_eq!(block_on(committer.next()), (Ticket(ticket), Ok(Seq(1))));
        }
        assert_eq!(committer.finish(), []);
        let (_, memory) = Ledger::open_file(&path, limits(), 8).expect("nobody else has it");
        assert_eq!(memory.facts, [(FactKey::Controller, "running".to_owned())]);
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }
}
