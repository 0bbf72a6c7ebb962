//! The link to ALEX OS's event bus: one WebSocket at a time, opened, driven and dropped as the agent says.
//!
//! Everything happens on the loop, but for the look-up of a name (`dial.rs`).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::stream::Stream;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};

use super::dial::{AnyStream, Dialer, fault_of};
use super::world::World;
use super::ws::driver::{End, Next, Role, Socket};
use super::ws::key::{accept_of, fresh_key};
use crate::agent::ids::LinkId;
use crate::agent::input::{BusIn, Fault, Input, LinkEnd};
use crate::agent::limits::{BUS_BATCH_EVENTS, BUS_OPEN_TIME_MAX_MS};
use crate::shell::reactor::Timer;
use crate::wire::AddressGuard;
use crate::wire::bus::{Frame, decode};
use crate::wire::bus_handshake::{Answer, HEAD_BYTES_MAX, answer, request, target};
use crate::wire::target::Target;

/// Frames that may wait for the socket: a batch, its ping, a report and an answer, with room.
const FRAMES_MAX: usize = 2 * BUS_BATCH_EVENTS;
/// Links that may wait for the one before to end.
const LINKS_MAX: usize = 2;
/// Time to say goodbye when a link is dropped.
const GOODBYE_TIME: Duration = Duration::from_millis(500);
/// Close code for "going away" (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// A link that shall be opened.
struct Asked {
    link: LinkId,
    url: String,
    host_header: String,
    frames: Receiver<Frame>,
}

/// The loop's end of the link.
pub struct Links {
    current: RefCell<Option<(LinkId, Sender<Frame>)>>,
    asked: (Sender<Asked>, Receiver<Asked>),
    dialer: Rc<Dialer>,
}

impl Links {
    /// No link is open.
    #[must_use]
    pub fn new(dialer: Rc<Dialer>) -> Self {
        Self { current: RefCell::default(), asked: async_channel::bounded(LINKS_MAX), dialer }
    }

    /// Asks for a link; it drops the one before. What comes of it at once is the answer.
    pub fn open(&self, link: LinkId, url: String, host_header: String) -> Option<Input> {
        let (sender, frames) = async_channel::bounded(FRAMES_MAX);
        *self.current.borrow_mut() = Some((link, sender));
        let is_asked = self.asked.0.try_send(Asked { link, url, host_header, frames }).is_ok();
        (!is_asked).then(|| self.fail(link))
    }

    /// Sends a frame over the link, if it is still the one in use. A link that does not take it is dropped.
    pub fn send(&self, link: LinkId, frame: Frame) -> Option<Input> {
        let is_sent = match &*self.current.borrow() {
            Some((current, sender)) if *current == link => sender.try_send(frame).is_ok(),
            _ => return None,
        };
        (!is_sent).then(|| self.fail(link))
    }

    /// Drops the link.
    pub fn close(&self, link: LinkId) {
        let mut current = self.current.borrow_mut();
        if matches!(&*current, Some((kept, _)) if *kept == link) {
            *current = None;
        }
    }

    fn fail(&self, link: LinkId) -> Input {
        self.close(link);
        Input::BusClosed { link, end: LinkEnd::Failed(Fault::Transport) }
    }
}

/// Why a link did not open.
enum OpenFault {
    Status(u16),
    Failed(Fault),
    /// The agent does not want it any longer.
    Dropped,
}

/// Opens, drives and drops links, for ever.
pub async fn keep_bus(world: &World) {
    while let Ok(asked) = world.links.asked.1.recv().await {
        keep_link(world, asked).await;
    }
}

async fn keep_link(world: &World, asked: Asked) {
    let Asked { link, url, host_header, frames } = asked;
    let mut frames = pin!(frames);
    let late = async {
        Timer::after(Duration::from_millis(BUS_OPEN_TIME_MAX_MS)).await;
        Err(OpenFault::Failed(Fault::Timeout))
    };
    let dropped = async {
        // Nothing is sent over a link that is not open, so this ends only when the agent's end is gone.
        let _ = frames.recv().await;
        Err(OpenFault::Dropped)
    };
    let opened = future::or(connect(&world.links, &url, &host_header), future::or(late, dropped)).await;
    let end = match opened {
        Ok((stream, ahead)) => {
            world.feed(Input::BusOpened { link });
            let mut socket = Socket::new(stream, &ahead, Role::Client);
            drop(ahead);
            drive(world, link, &mut socket, frames.as_mut()).await
        }
        Err(OpenFault::Status(status)) => {
            log::debug!("bus_refused url={} status={status}", shown(&url));
            world.links.close(link);
            return world.feed(Input::BusRefused { link, status });
        }
        Err(OpenFault::Failed(fault)) => {
            log::debug!("bus_unreachable url={} why=\"{fault}\"", shown(&url));
            Some(LinkEnd::Failed(fault))
        }
        Err(OpenFault::Dropped) => None,
    };
    if let Some(end) = end {
        world.links.close(link);
        world.feed(Input::BusClosed { link, end });
    }
}

/// A URL without what may be secret in it.
fn shown(url: &str) -> String {
    let path = |target: &Target<'_>| target.path.split('?').next().unwrap_or("").to_owned();
    target(url).map_or_else(String::new, |target| format!("{}{}", target.authority, path(&target)))
}

async fn connect(links: &Links, url: &str, host_header: &str) -> Result<(AnyStream, Vec<u8>), OpenFault> {
    let target = target(url).ok_or(OpenFault::Failed(Fault::Transport))?;
    let mut stream = links.dialer.open(&target, AddressGuard::Any).await.map_err(OpenFault::Failed)?;
    let ahead = shake_hands(&mut stream, &target, host_header).await?;
    Ok((stream, ahead))
}

/// The opening handshake; what was read beyond it is the answer.
async fn shake_hands(
    stream: &mut AnyStream,
    target: &Target<'_>,
    host_header: &str,
) -> Result<Vec<u8>, OpenFault> {
    let at_io = |error: io::Error| OpenFault::Failed(fault_of(&error));
    let key = fresh_key().map_err(|error| at_io(io::Error::other(error)))?;
    let accept = accept_of(&key);
    stream.write_all(request(target, host_header, &key).as_bytes()).await.map_err(at_io)?;
    stream.flush().await.map_err(at_io)?;
    let mut bytes = Vec::with_capacity(1_024);
    loop {
        let mut piece = [0; 1_024];
        let room = piece.len().min(HEAD_BYTES_MAX - bytes.len());
        let n = stream.read(&mut piece[..room]).await.map_err(at_io)?;
        if n == 0 {
            return Err(OpenFault::Failed(Fault::Reset));
        }
        bytes.extend_from_slice(&piece[..n]);
        match answer(&bytes, &accept) {
            Answer::Switched(end) => return Ok(bytes.split_off(end)),
            Answer::Refused(status) => return Err(OpenFault::Status(status)),
            Answer::Garbage => return Err(OpenFault::Failed(Fault::Garbage)),
            Answer::Incomplete => {}
        }
    }
}

/// What happens next on an open link.
enum Step {
    In(Next),
    Out(Frame),
    Dropped,
}

/// Until the link ends; `None` if the agent dropped it.
async fn drive(
    world: &World,
    link: LinkId,
    socket: &mut Socket<AnyStream>,
    mut frames: Pin<&mut Receiver<Frame>>,
) -> Option<LinkEnd> {
    loop {
        match next_step(socket, frames.as_mut()).await {
            Step::Out(Frame::Text(text)) => socket.send_text(text),
            Step::Out(Frame::Ping) => socket.ping(),
            Step::In(Next::Text(text)) => on_text(world, link, &text),
            Step::In(Next::Binary(bytes)) => on_text(world, link, std::str::from_utf8(&bytes).unwrap_or("")),
            Step::In(Next::Pong) => {
                world.feed(Input::BusMessage { link, message: BusIn::ProtocolPong, known: None });
            }
            Step::In(Next::Ping | Next::StrayPong) => {}
            Step::In(Next::Ended(end)) => return Some(end_of(end)),
            Step::Dropped => {
                say_goodbye(socket).await;
                return None;
            }
        }
        // A peer that never stops talking must not keep the others waiting.
        future::yield_now().await;
    }
}

async fn next_step(socket: &mut Socket<AnyStream>, mut frames: Pin<&mut Receiver<Frame>>) -> Step {
    poll_fn(|cx| {
        // Out goes first: it is bounded by the agent, what comes in is not.
        let is_flushed = socket.poll_flush(cx).is_ready();
        if is_flushed || frames.is_closed() {
            match frames.as_mut().poll_next(cx) {
                Poll::Ready(Some(frame)) if is_flushed => return Poll::Ready(Step::Out(frame)),
                Poll::Ready(_) => return Poll::Ready(Step::Dropped),
                Poll::Pending => {}
            }
        }
        socket.poll_next(cx).map(Step::In)
    })
    .await
}

fn on_text(world: &World, link: LinkId, text: &str) {
    let message = decode(text);
    let found = match &message {
        BusIn::Event { key: Some(key), .. } => world.ledger.inbox(*key).map_err(drop),
        _ => Ok(None),
    };
    let (message, known) = match found {
        Ok(known) => (message, known),
        Err(()) => (BusIn::Doubtful, None),
    };
    world.feed(Input::BusMessage { link, message, known });
}

fn end_of(end: End) -> LinkEnd {
    match end {
        End::Closed { code, .. } => LinkEnd::Closed(code.unwrap_or(1005)),
        End::Fault(code) => LinkEnd::Broken(code),
        End::Lost(kind) => LinkEnd::Failed(fault_of(&kind.into())),
    }
}

async fn say_goodbye(socket: &mut Socket<AnyStream>) {
    socket.close(GOING_AWAY, "");
    let ended = async { while !matches!(poll_fn(|cx| socket.poll_next(cx)).await, Next::Ended(_)) {} };
    let late = async {
        Timer::after(GOODBYE_TIME).await;
    };
    future::or(ended, late).await;
}
