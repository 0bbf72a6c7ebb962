use super::*;

const DOCUMENTED: &str = "ws://alex/ws/events";
const PUBLIC: &str = "ws://alex/ws";

struct Desk {
    bus: Bus,
    rng: Rng,
    now: u64,
    durable: u64,
}

impl Desk {
    fn new() -> Self {
        let mut bus = Bus::new(DOCUMENTED, "http://alex");
        bus.allow();
        Self { bus, rng: Rng::new(3), now: 0, durable: 10 }
    }

    fn poll(&mut self) -> Vec<Wish> {
        let (now, durable) = (Mono(self.now), Seq(self.durable));
        std::iter::from_fn(|| self.bus.poll(now, durable, &mut self.rng)).collect()
    }

    /// Goes to the next deadline.
    fn advance(&mut self) -> Vec<Wish> {
        let at = self.bus.deadline(Seq(self.durable)).expect("a deadline").0;
        assert!(at > self.now, "{at} is not after {}", self.now);
        self.now = at;
        self.poll()
    }

    fn connecting(&mut self, url: &str) -> LinkId {
        let wishes = self.poll();
        let [Wish::Open { link, url: asked }] = &wishes[..] else { panic!("{wishes:?}") };
        assert_eq!(asked, url);
        *link
    }

    fn open(&mut self) -> LinkId {
        let link = self.connecting(DOCUMENTED);
        assert!(self.bus.on_opened(Mono(self.now), link, Seq(self.durable)));
        link
    }

    fn open_public(&mut self) -> LinkId {
        let link = self.connecting(DOCUMENTED);
        assert!(self.bus.on_refused(Mono(self.now), link, 403, &mut self.rng));
        let link = self.connecting(PUBLIC);
        assert!(self.bus.on_opened(Mono(self.now), link, Seq(self.durable)));
        link
    }

    /// Answers reads until the bus has no wish but a ping; the places that were sent.
    fn drain(&mut self) -> (Vec<u64>, usize) {
        let (mut sent, mut pings) = (Vec::new(), 0);
        loop {
            let wishes = self.poll();
            if wishes.is_empty() {
                return (sent, pings);
            }
            for wish in wishes {
                match wish {
                    Wish::Fetch { after } => {
                        assert!(self.bus.on_fetched(after.next(), 100).is_some());
                        sent.push(after.0 + 1);
                    }
                    Wish::Send { message: BusOut::Ping, .. } => pings += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn wait(&self) -> u64 {
        self.bus.deadline(Seq(self.durable)).expect("a wait").0 - self.now
    }

    fn lose(&mut self) {
        let link = self.bus.link().expect("a link");
        let end = LinkEnd::Closed(1011);
        assert!(self.bus.on_closed(Mono(self.now), link, end, &mut self.rng));
    }
}

#[test]
fn without_a_url_or_before_the_first_registration_nothing_is_opened() {
    let mut desk = Desk::new();
    desk.bus = Bus::new("", "http://alex");
    desk.bus.allow();
    assert_eq!(desk.poll(), []);
    assert_eq!(desk.bus.deadline(Seq(0)), None);
    desk.bus = Bus::new(DOCUMENTED, "http://alex");
    assert_eq!(desk.poll(), []);
    assert_eq!(desk.bus.deadline(Seq(0)), None);
    desk.bus.allow();
    desk.connecting(DOCUMENTED);
}

#[test]
fn web_urls_name_the_same_server() {
    assert_eq!(as_socket_url("HTTP://a/x"), "ws://a/x");
    assert_eq!(as_socket_url("https://a"), "wss://a");
    assert_eq!(as_socket_url("wss://a"), "wss://a");
}

#[test]
fn each_refusal_that_means_not_offered_leads_to_the_public_dialect() {
    for status in [403, 404, 405, 501] {
        let mut desk = Desk::new();
        let link = desk.connecting(DOCUMENTED);
        assert!(desk.bus.on_refused(Mono(0), link, status, &mut desk.rng));
        let link = desk.connecting(PUBLIC);
        assert!(desk.bus.on_opened(Mono(0), link, Seq(10)));
        assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::Subscribe }]);
    }
}

#[test]
fn a_bus_that_is_not_offered_at_all_is_asked_for_every_quarter_of_an_hour() {
    let mut desk = Desk::new();
    let link = desk.connecting(DOCUMENTED);
    desk.bus.on_refused(Mono(0), link, 404, &mut desk.rng);
    let link = desk.connecting(PUBLIC);
    desk.bus.on_refused(Mono(0), link, 404, &mut desk.rng);
    assert_eq!(desk.bus.status(Mono(0), Seq(0)).state, "not_offered");
    assert!(desk.wait().abs_diff(900_000) <= 90_000);
    let wishes = desk.advance();
    assert!(matches!(&wishes[..], [Wish::Open { url, .. }] if url == DOCUMENTED), "{wishes:?}");
}

#[test]
fn other_failures_are_tried_again_for_ever_at_most_a_minute_apart() {
    let mut desk = Desk::new();
    let mut wishes = desk.poll();
    for n in 0..40u32 {
        let [Wish::Open { link, url }] = &wishes[..] else { panic!("{wishes:?}") };
        assert_eq!(url, DOCUMENTED);
        if n % 2 == 0 {
            assert!(desk.bus.on_refused(Mono(desk.now), *link, 500, &mut desk.rng));
        } else {
            desk.lose();
        }
        let plain = (1_000u64 << n.min(20)).min(60_000);
        assert!(desk.wait().abs_diff(plain) <= plain / 10, "{n}: {}", desk.wait());
        wishes = desk.advance();
    }
}

#[test]
fn a_link_that_lived_starts_the_backoff_over() {
    let mut desk = Desk::new();
    for _ in 0..5 {
        desk.open();
        desk.lose();
        desk.now += desk.wait();
    }
    assert!(desk.wait_after_loss() > 20_000);
    desk.now += desk.wait();
    desk.open();
    desk.now += SETTLED_AFTER_MS;
    desk.lose();
    assert!(desk.wait() <= 1_100);
}

impl Desk {
    fn wait_after_loss(&mut self) -> u64 {
        self.open();
        self.lose();
        self.wait()
    }
}

#[test]
fn events_go_out_from_the_newest_on_in_batches_of_ten_each_with_a_ping() {
    let mut desk = Desk::new();
    desk.open();
    assert_eq!(desk.drain(), (vec![], 0), "what was before the first link is old");
    desk.durable = 35;
    assert_eq!(desk.drain(), ((11..=20).collect(), 1));
    desk.now += 5_000;
    assert_eq!(desk.drain(), (vec![], 0), "no pong, no more");
    desk.bus.on_pong(Dialect::Documented);
    assert_eq!(desk.drain(), ((21..=30).collect(), 1));
    desk.bus.on_pong(Dialect::Documented);
    assert_eq!(desk.drain(), (vec![], 0), "100 ms from batch to batch");
    assert_eq!(desk.wait(), BUS_BATCH_INTERVAL_MS);
    desk.now += desk.wait();
    assert_eq!(desk.drain(), ((31..=35).collect(), 1));
}

#[test]
fn a_large_event_ends_a_batch() {
    let mut desk = Desk::new();
    desk.open();
    desk.durable = 20;
    assert_eq!(desk.poll(), [Wish::Fetch { after: Seq(10) }]);
    desk.bus.on_fetched(Seq(11), BUS_BATCH_BYTES);
    assert!(matches!(&desk.poll()[..], [Wish::Send { message: BusOut::Ping, .. }]));
}

#[test]
fn what_a_dead_link_swallowed_goes_out_again_over_the_next() {
    let mut desk = Desk::new();
    let link = desk.open();
    desk.durable = 13;
    assert_eq!(desk.drain(), (vec![11, 12, 13], 1));
    desk.bus.on_pong(Dialect::Documented);
    desk.durable = 15;
    desk.now += BUS_BATCH_INTERVAL_MS;
    assert_eq!(desk.drain(), (vec![14, 15], 1));
    assert_eq!(desk.advance(), [Wish::Close { link }], "no pong in time");
    assert_eq!(desk.bus.status(Mono(desk.now), Seq(15)).last_fault, Some("no pong in time"));
    desk.now += desk.wait();
    desk.open();
    desk.durable = 16;
    assert_eq!(desk.drain(), (vec![14, 15, 16], 1));
    assert!(!desk.bus.on_closed(Mono(desk.now), link, LinkEnd::Closed(1006), &mut desk.rng), "outdated");
}

#[test]
fn a_read_that_was_for_another_link_is_not_sent_and_not_lost() {
    let mut desk = Desk::new();
    desk.open();
    desk.durable = 12;
    assert_eq!(desk.poll(), [Wish::Fetch { after: Seq(10) }]);
    desk.lose();
    desk.now += desk.wait();
    desk.open();
    assert_eq!(desk.poll(), [], "one read at a time");
    assert_eq!(desk.bus.on_fetched(Seq(11), 1), None);
    assert_eq!(desk.drain(), (vec![11, 12], 1));
}

#[test]
fn an_unreadable_ledger_is_asked_again_a_second_later() {
    let mut desk = Desk::new();
    desk.open();
    desk.durable = 12;
    assert_eq!(desk.poll(), [Wish::Fetch { after: Seq(10) }]);
    desk.bus.on_nothing(Mono(0), Seq(10), Seq(10), true);
    assert_eq!(desk.poll(), []);
    assert_eq!(desk.wait(), 1_000);
    assert_eq!(desk.advance(), [Wish::Fetch { after: Seq(10) }]);
}

#[test]
fn an_idle_documented_link_is_pinged_every_half_minute() {
    let mut desk = Desk::new();
    let link = desk.open();
    for _ in 0..3 {
        assert_eq!(desk.wait(), BUS_PING_INTERVAL_MS);
        assert_eq!(desk.advance(), [Wish::Send { link, message: BusOut::Ping }]);
        assert_eq!(desk.wait(), BUS_PONG_TIME_MAX_MS);
        desk.bus.on_pong(Dialect::Documented);
    }
}

#[test]
fn the_public_dialect_gets_a_subscription_and_pings_and_nothing_else() {
    let mut desk = Desk::new();
    let link = desk.open_public();
    desk.durable = 50;
    desk.bus.on_report_due();
    assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::Subscribe }]);
    assert_eq!(desk.advance(), [Wish::Send { link, message: BusOut::ActionPing }]);
    desk.bus.on_pong(Dialect::Documented);
    assert_eq!(desk.wait(), BUS_PONG_TIME_MAX_MS, "a protocol pong does not prove that the session lives");
    assert_eq!(desk.advance(), [Wish::Close { link }]);
    assert!(desk.wait().abs_diff(1_000) <= 100);
}

#[test]
fn a_peers_ping_is_answered_in_its_dialect() {
    let mut desk = Desk::new();
    let link = desk.open();
    desk.bus.on_ping(Mono(0));
    desk.bus.on_ping(Mono(0));
    assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::Pong }], "a flood is answered once");
    let mut desk = Desk::new();
    let link = desk.open_public();
    desk.poll();
    desk.bus.on_ping(Mono(0));
    assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::ActionPing }]);
    desk.bus.on_ping(Mono(0));
    assert_eq!(desk.poll(), [], "one ping at a time");
}

#[test]
fn after_missing_action_no_envelope_is_sent_again() {
    let mut desk = Desk::new();
    let link = desk.open();
    desk.durable = 12;
    assert_eq!(desk.drain(), (vec![11, 12], 1));
    desk.bus.on_missing_action(Mono(0));
    assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::Subscribe }]);
    desk.durable = 20;
    desk.now += 1_000;
    assert_eq!(desk.poll(), []);
    desk.lose();
    desk.now += desk.wait();
    let link = desk.open();
    assert_eq!(desk.poll(), [Wish::Send { link, message: BusOut::Subscribe }], "over the next link too");
}

#[test]
fn a_report_goes_out_over_an_open_documented_link_only() {
    let mut desk = Desk::new();
    desk.bus.on_report_due();
    let link = desk.open();
    assert_eq!(desk.poll(), [], "it was due when nobody listened");
    desk.bus.on_report_due();
    assert_eq!(desk.poll(), [Wish::Report { link }]);
}

#[test]
fn a_registration_wakes_a_bus_that_was_not_offered() {
    let mut desk = Desk::new();
    let link = desk.connecting(DOCUMENTED);
    desk.bus.on_refused(Mono(0), link, 403, &mut desk.rng);
    let link = desk.connecting(PUBLIC);
    desk.bus.on_refused(Mono(0), link, 403, &mut desk.rng);
    assert_eq!(desk.poll(), []);
    desk.bus.ask_anew(Mono(0));
    desk.connecting(DOCUMENTED);
}

#[test]
fn fifty_events_come_in_a_second_and_no_more() {
    let mut bus = Bus::new(DOCUMENTED, "http://alex");
    let taken = |bus: &mut Bus, at| (0..200).filter(|_| bus.may_take(Mono(at))).count();
    assert_eq!(taken(&mut bus, 5_000), 50);
    assert_eq!(taken(&mut bus, 5_999), 0);
    assert_eq!(taken(&mut bus, 6_000), 50);
}

#[test]
fn what_the_ledger_dropped_is_counted_as_lost_to_the_bus() {
    let mut desk = Desk::new();
    assert_eq!(desk.bus.on_oldest(Seq(500)), 0, "it has never been open");
    desk.open();
    desk.lose();
    assert_eq!(desk.bus.on_oldest(Seq(21)), 10);
    assert_eq!(desk.bus.on_oldest(Seq(21)), 0);
    desk.durable = 22;
    desk.now += desk.wait();
    desk.open();
    assert_eq!(desk.drain(), (vec![21, 22], 1));
}

#[test]
fn stopping_closes_the_link_and_opens_no_other() {
    let mut desk = Desk::new();
    let link = desk.open();
    assert_eq!(desk.bus.stop(), Some(link));
    assert_eq!(desk.poll(), []);
    assert_eq!(desk.bus.deadline(Seq(99)), None);
    assert!(!desk.bus.on_closed(Mono(0), link, LinkEnd::Closed(1001), &mut desk.rng));
}
