#![allow(clippy::disallowed_methods, reason = "time and threads are what is tested")]

use std::cell::Cell;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use async_executor::LocalExecutor;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

use super::*;

fn pair() -> (Async<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Async::new(ours).unwrap(), theirs)
}

/// Whether it is not ready, asked once.
fn waits<T>(work: &mut (impl Future<Output = T> + Unpin)) -> bool {
    block_on(future::poll_once(work)).is_none()
}

#[test]
fn what_comes_later_is_read_when_it_comes() {
    let (mut ours, mut theirs) = pair();
    let writer = thread::spawn(move || {
        for part in ["one", "two", "three"] {
            thread::sleep(Duration::from_millis(5));
            theirs.write_all(part.as_bytes()).unwrap();
        }
    });
    let mut text = String::new();
    block_on(ours.read_to_string(&mut text)).unwrap();
    writer.join().unwrap();
    assert_eq!(text, "onetwothree");
}

#[test]
fn nothing_is_missed_of_what_was_there_before_or_was_read_in_part() {
    let (ours, mut theirs) = pair();
    theirs.write_all(b"abcdef").unwrap();
    let mut two = [0; 2];
    for part in [b"ab", b"cd", b"ef"] {
        assert_eq!(block_on(ours.read_with(|mut io| io.read(&mut two))).unwrap(), 2);
        assert_eq!(&two, part);
    }
    assert!(waits(&mut Box::pin(ours.read_with(|mut io| io.read(&mut two)))));
    theirs.write_all(b"gh").unwrap();
    assert_eq!(block_on(ours.read_with(|mut io| io.read(&mut two))).unwrap(), 2);
    drop(theirs);
    assert_eq!(block_on(ours.read_with(|mut io| io.read(&mut two))).unwrap(), 0, "the end");
}

#[test]
fn a_source_that_has_nothing_is_asked_once_and_not_again_before_the_kernel_tells() {
    let (ours, mut theirs) = pair();
    let asked = Cell::new(0);
    let mut reading = Box::pin(ours.read_with(|mut io| {
        asked.set(asked.get() + 1);
        io.read(&mut [0; 8])
    }));
    for _ in 0..5 {
        assert!(waits(&mut reading));
    }
    assert_eq!(asked.get(), 1);
    theirs.write_all(b"x").unwrap();
    assert_eq!(block_on(reading).unwrap(), 1);
    assert_eq!(asked.get(), 2);
}

/// Counts how often it is read.
struct Counted(UnixStream, Cell<u32>);

impl AsFd for Counted {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for &Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.1.set(self.1.get() + 1);
        (&self.0).read(bytes)
    }
}

#[test]
fn a_read_that_found_less_than_it_could_take_is_not_followed_by_another_before_the_kernel_tells() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut ours = Async::new(Counted(ours, Cell::new(0))).unwrap();
    let mut eight = [0; 8];
    for round in 1..=3 {
        theirs.write_all(b"abc").unwrap();
        assert_eq!(block_on(ours.read(&mut eight)).unwrap(), 3);
        assert!(waits(&mut ours.read(&mut eight)));
        assert_eq!(ours.get_ref().1.get(), round);
    }
    theirs.write_all(b"abcdefgh").unwrap();
    assert_eq!(block_on(ours.read(&mut eight)).unwrap(), 8);
    theirs.write_all(b"i").unwrap();
    assert_eq!(block_on(ours.read(&mut eight)).unwrap(), 1, "full, so it was tried again");
}

/// What is read to the end, which must come.
fn to_the_end(ours: &mut Async<TcpStream>) -> String {
    let mut text = String::new();
    let reading = async { ours.read_to_string(&mut text).await.map(drop) };
    let late = async {
        Timer::after(Duration::from_secs(10)).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    block_on(future::or(reading, late)).unwrap();
    text
}

#[test]
fn the_end_is_found_whenever_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_pair = || {
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, theirs)
    };
    let end = |mut theirs: TcpStream| {
        theirs.write_all(b"last").unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        // Until it has arrived on this side of loopback, too.
        thread::sleep(Duration::from_millis(5));
        theirs
    };

    let (ours, theirs) = tcp_pair();
    let _theirs = end(theirs);
    assert_eq!(to_the_end(&mut Async::new(ours).unwrap()), "last", "before it was watched");

    let (ours, theirs) = tcp_pair();
    let mut ours = Async::new(ours).unwrap();
    let _theirs = end(theirs);
    assert_eq!(to_the_end(&mut ours), "last", "before the first event");

    let (ours, theirs) = tcp_pair();
    let mut ours = Async::new(ours).unwrap();
    assert!(waits(&mut ours.read(&mut [0; 8])));
    let _theirs = end(theirs);
    assert_eq!(to_the_end(&mut ours), "last", "in one event");

    let (ours, mut theirs) = tcp_pair();
    let mut ours = Async::new(ours).unwrap();
    assert!(waits(&mut ours.read(&mut [0; 8])));
    theirs.write_all(b"first, ").unwrap();
    thread::sleep(Duration::from_millis(5));
    block_on(async {});
    assert!(ours.is_told_readable(), "told of the first bytes alone");
    let _theirs = end(theirs);
    assert_eq!(to_the_end(&mut ours), "first, last", "between the event and the read");

    let (ours, mut theirs) = tcp_pair();
    let mut ours = Async::new(ours).unwrap();
    theirs.write_all(b"x").unwrap();
    assert_eq!(block_on(ours.read(&mut [0; 8])).unwrap(), 1);
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(to_the_end(&mut ours), "", "behind the last read");
}

#[test]
fn a_writer_waits_for_room_and_a_reader_beside_it_is_not_disturbed() {
    let (mut ours, mut theirs) = pair();
    let megabyte = vec![7; 1 << 20];
    let reader = thread::spawn(move || {
        let mut all = vec![0; 1 << 20];
        theirs.read_exact(&mut all).unwrap();
        theirs.write_all(b"!").unwrap();
        all
    });
    block_on(ours.write_all(&megabyte)).unwrap();
    let mut word = [0];
    block_on(ours.read_exact(&mut word)).unwrap();
    assert_eq!((reader.join().unwrap() == megabyte, word), (true, *b"!"));
}

#[test]
fn an_event_for_a_source_that_is_gone_reaches_nobody() {
    let (first, mut theirs) = pair();
    let mut reading = Box::pin(first.read_with(|mut io| io.read(&mut [0; 8])));
    assert!(waits(&mut reading));
    theirs.write_all(b"x").unwrap();
    drop(reading);
    let stale = first.key();
    drop(first);
    let (second, _keep) = pair();
    assert_eq!(parts_of(second.key()).0, parts_of(stale).0, "the place is taken again");
    assert_ne!(second.key(), stale);
    let mut reading = Box::pin(second.read_with(|mut io| io.read(&mut [0; 8])));
    assert!(waits(&mut reading));
    Reactor::of_thread().unwrap().tell(stale, EventFlags::IN);
    assert!(!second.is_told_readable());
}

#[test]
fn timers_ring_in_order_and_those_that_left_do_not() {
    let rung = RefCell::new(Vec::new());
    let begun = now();
    let ring = |name: &'static str, ms| {
        let rung = &rung;
        async move {
            Timer::after(Duration::from_millis(ms)).await;
            rung.borrow_mut().push(name);
        }
    };
    block_on(async {
        drop(Timer::after(Duration::from_millis(1)));
        future::zip(ring("late", 30), future::zip(ring("early", 5), ring("middle", 15))).await;
    });
    assert_eq!(*rung.borrow(), ["early", "middle", "late"]);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(TIMERS.with_borrow(|timers| timers.patience()), None, "nobody waits any more");
}

#[test]
fn a_timer_that_is_moved_rings_once_at_its_new_moment() {
    let mut timer = Timer::never();
    assert!(waits(&mut timer));
    timer.set_after(Duration::from_secs(3_600));
    assert!(waits(&mut timer));
    timer.set_after(Duration::from_millis(2));
    block_on(&mut timer);
    assert!(waits(&mut timer), "it has rung");
    timer.set_at(now());
    assert!(!waits(&mut timer));
}

#[test]
fn a_waker_of_another_thread_ends_the_sleep() {
    let (sender, receiver) = async_channel::bounded(1);
    let thread = thread::spawn(move || {
        for n in 0..200 {
            if n % 10 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            sender.send_blocking(n).unwrap();
        }
    });
    let sum: i32 = block_on(async {
        let mut sum = 0;
        while let Ok(n) = receiver.recv().await {
            sum += n;
        }
        sum
    });
    thread.join().unwrap();
    assert_eq!(sum, 199 * 200 / 2);
}

#[test]
fn a_task_that_never_rests_keeps_neither_sources_nor_timers_waiting() {
    let (mut ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let executor = LocalExecutor::new();
    executor
        .spawn(async {
            loop {
                future::yield_now().await;
            }
        })
        .detach();
    let both = async {
        Timer::after(Duration::from_millis(3)).await;
        ours.read_exact(&mut [0]).await.unwrap();
    };
    block_on(executor.run(both));
}

#[test]
fn who_always_finds_something_to_read_does_not_keep_news_from_the_others() {
    let ((quiet, mut caller), (busy, mut feeder)) = (pair(), pair());
    assert!(waits(&mut Box::pin(quiet.read_with(|mut io| io.read(&mut [0; 8])))));
    block_on(async {
        caller.write_all(b"x").unwrap();
        let mut rounds = 0;
        while !quiet.is_told_readable() {
            feeder.write_all(b"y").unwrap();
            busy.read_with(|mut io| io.read(&mut [0; 1])).await.unwrap();
            rounds += 1;
            assert!(rounds < 10_000_000, "nobody looks");
        }
    });
}

#[test]
fn who_is_never_kept_waiting_rests_so_that_others_are_run() {
    let (busy, _feeder) = pair();
    let (mut quiet, mut caller) = pair();
    let reads = Cell::new(0_u64);
    let endless = async {
        loop {
            busy.read_with(|_| Ok(())).await.unwrap();
            reads.set(reads.get() + 1);
        }
    };
    let other = async {
        caller.write_all(b"x").unwrap();
        quiet.read_exact(&mut [0]).await.unwrap();
        let begun = reads.get();
        Timer::after(Duration::from_millis(5)).await;
        reads.get() - begun
    };
    let executor = LocalExecutor::new();
    let meanwhile = block_on(executor.run(future::or(endless, other)));
    assert!(meanwhile > 0, "it goes on, too");
}

#[test]
fn connections_are_made_taken_and_refused() {
    let listener = Async::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    block_on(async {
        let (client, server) = future::zip(Async::<TcpStream>::connect(address), listener.accept()).await;
        let (mut client, (mut server, peer)) = (client.unwrap(), server.unwrap());
        assert_eq!(client.get_ref().local_addr().unwrap(), peer);
        client.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        assert_eq!(server.peek(&mut word).await.unwrap(), 5);
        server.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
    });
    drop(listener);
    let refused = block_on(Async::<TcpStream>::connect(address)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_that_is_reset_is_an_error_and_not_a_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = block_on(Async::<TcpStream>::connect(listener.local_addr().unwrap())).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.get_ref().set_nodelay(true).unwrap();
    block_on(client.write_all(b"unread")).unwrap();
    // Closed with bytes that nobody read: a reset.
    drop(server);
    let read = block_on(future::or(async { Some(client.read(&mut [0; 8]).await) }, async {
        Timer::after(Duration::from_secs(10)).await;
        None
    }));
    assert!(read.expect("an answer").is_err());
}

#[test]
fn what_a_waker_drops_may_hold_timers_and_sources() {
    // A task that nobody but its waker holds: replacing the waker drops it, with its timer.
    let mut timer = Timer::after(Duration::from_secs(60));
    struct Holder;
    impl Wake for Holder {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Holder {
        fn drop(&mut self) {
            drop(Timer::after(Duration::ZERO));
            let mut again = Timer::after(Duration::from_secs(1));
            let _ = std::pin::Pin::new(&mut again).poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    let holder = Waker::from(Arc::new(Holder));
    let polled = std::pin::Pin::new(&mut timer).poll(&mut Context::from_waker(&holder));
    assert!(polled.is_pending());
    drop(holder);
    assert!(waits(&mut timer), "the holder is dropped here");
}
