//! What goes wrong, and when.

use chainbot::agent::Input;

use crate::network::Peer;
use crate::trace::note;
use crate::world::{Happening, World};

impl World {
    /// Sets everything going.
    pub fn begin_chaos(&mut self) {
        note!("   {:?}", self.plan);
        self.after(500, Happening::Post(None));
        let peers: Vec<Peer> = self.links.keys().copied().collect();
        for peer in peers {
            if self.plan.has_weather {
                let wait = self.rng.gap(120_000);
                self.after(wait, Happening::Weather(peer));
            }
            if self.plan.has_moods {
                let wait = self.rng.gap(120_000);
                self.after(wait, Happening::Mood(peer));
            }
        }
        if self.plan.has_disk_trouble {
            let wait = self.rng.gap(60_000);
            self.after(wait, Happening::DiskMood);
        }
        if self.plan.has_clock_trouble {
            let wait = self.rng.gap(120_000);
            self.after(wait, Happening::ClockTrouble);
        }
        if let Some(gap) = self.plan.end_gap_ms {
            let wait = self.rng.gap(gap);
            self.after(wait, Happening::End);
        }
        let wait = self.rng.gap(60_000);
        self.after(wait, Happening::Nudge);
    }

    /// A peer changes.
    pub fn change_mood(&mut self, peer: Peer) {
        let rng = &mut self.rng;
        let lasts = match peer {
            Peer::Alexos => self.alexos.as_mut().map(|alexos| {
                let lasts = alexos.change(rng);
                note!("   ALEX OS: {:?} {:?} for {} s", alexos.kind, alexos.mood, lasts / 1_000);
                lasts
            }),
            Peer::Aiwm => self.aiwm.as_mut().map(|aiwm| {
                let lasts = aiwm.change(rng);
                note!("   AIWM: {:?} {:?} for {} s", aiwm.generation, aiwm.mood, lasts / 1_000);
                lasts
            }),
            Peer::Hook(index) => {
                let receiver = &mut self.receivers[index];
                let lasts = receiver.change(self.plan.may_hook_go && index == 0, rng);
                note!("   webhook {index}: {:?} for {} s", receiver.mood, lasts / 1_000);
                Some(lasts)
            }
        };
        if let Some(lasts) = lasts {
            self.after(lasts, Happening::Mood(peer));
        }
    }

    /// The disk becomes slow, full, broken or good.
    pub fn change_disk(&mut self) {
        let lasts = self.store.change(&mut self.rng);
        note!("   disk: {:?} for {} s", self.store.mood(), lasts / 1_000);
        self.after(lasts, Happening::DiskMood);
    }

    /// The calendar jumps, or a time source answers.
    pub fn change_clock(&mut self) {
        if self.rng.chance(500) {
            self.clock.sync();
            note!("   clock: synchronised");
        } else {
            self.clock.jump(self.now, &mut self.rng);
            note!("   clock: jumps to {}", self.clock.read(self.now).system.0);
        }
        let wait = self.rng.gap(600_000);
        self.after(wait, Happening::ClockTrouble);
    }

    /// The process ends: power cut, kill or stop.
    pub fn end_somehow(&mut self) {
        if self.plan.is_unplugged {
            return self.unplug();
        }
        let gap = self.plan.end_gap_ms.expect("it was planned");
        let wait = self.rng.gap(gap);
        self.after(wait, Happening::End);
        let Some(node) = self.node.as_ref() else { return };
        let is_stopping = node.is_stopping;
        let ways = if self.plan.failed_sync_forgets { 5 } else { 10 };
        match self.rng.below(ways) {
            0..5 => self.end_process(true),
            5..7 => self.end_process(false),
            _ if is_stopping => return,
            _ => return self.ask_to_stop(),
        }
        let wait =
            if self.rng.chance(800) { self.rng.within(200, 20_000) } else { self.rng.within(1, 20) * 60_000 };
        self.after(wait, Happening::Start);
    }

    /// The power goes or the process is killed, mostly in a commit; it is there again soon.
    fn unplug(&mut self) {
        let is_idle = self.node.as_ref().is_none_or(|node| node.commit.is_none());
        if is_idle && self.rng.chance(900) {
            // Somebody brings something, and the next look is while it is written, or before, or after.
            let index = self.clients.choose();
            self.post(Some(index));
            let wait = self.rng.within(1, 80);
            return self.after(wait, Happening::End);
        }
        let gap = self.plan.end_gap_ms.expect("it was planned");
        let wait = self.rng.gap(gap);
        self.after(wait, Happening::End);
        if self.node.is_some() {
            let is_power_cut = self.plan.failed_sync_forgets || self.rng.chance(700);
            self.end_process(is_power_cut);
            let wait = self.rng.within(1, 500);
            self.after(wait, Happening::Start);
        }
    }

    /// The process ends without a goodbye, by itself or with the power, perhaps in a commit.
    pub fn end_process(&mut self, is_power_cut: bool) {
        let Some(node) = self.node.take() else { return };
        let writes = node.commit.map(|(_, writes)| writes);
        self.cuts.in_commits += u64::from(writes.is_some());
        let within = if writes.is_some() { " in a commit" } else { "" };
        if is_power_cut {
            note!("== power cut{within}");
            self.cuts.power += 1;
            self.store.cut_power(writes.as_deref(), &mut self.rng);
        } else {
            note!("== kill{within}");
            self.cuts.kills += 1;
            self.store.kill(writes.as_deref(), &mut self.rng);
        }
        if writes.is_some() {
            self.brain.checks.on_doubt();
        }
        self.process_ended();
    }

    /// A peer changes until it changes again.
    pub fn scripted_mood(&mut self, peer: Peer) {
        let rng = &mut self.rng;
        match peer {
            Peer::Alexos => drop(self.alexos.as_mut().map(|alexos| alexos.change(rng))),
            Peer::Aiwm => drop(self.aiwm.as_mut().map(|aiwm| aiwm.change(rng))),
            Peer::Hook(index) => {
                self.receivers[index].change(self.plan.may_hook_go && index == 0, rng);
            }
        }
    }

    /// The board sleeps: the world goes on without it, and its monotonic clock stands still.
    pub fn suspend(&mut self, ms: u64) {
        if self.node.as_ref().is_some_and(|node| node.is_stopping) {
            return;
        }
        note!("   suspended for {} s", ms / 1_000);
        self.now += ms;
        self.clock.slept(ms);
        self.checks.on_slept(ms);
        if let Some(node) = self.node.as_mut() {
            node.wake_at = node.wake_at.map(|at| at + ms);
        }
    }

    /// A tick that nobody asked for, a config that is read again.
    pub fn nudge(&mut self) {
        let wait = self.rng.gap(60_000);
        self.after(wait, Happening::Nudge);
        if self.rng.chance(800) {
            self.feed(Input::Tick);
            self.feed(Input::Tick);
        } else if self.node.is_some() {
            let is_changed = self.rng.chance(300);
            self.reconfigure(is_changed);
        }
    }

    /// The config is read again: with or without the last webhook, with another interval, or as it was.
    pub fn reconfigure(&mut self, is_changed: bool) {
        // Who leaves the config is owed nothing, and who stays is called in any case.
        self.unbelieved.clear();
        let mut setup = self.plan.setup();
        if is_changed {
            let hook = setup.hooks.pop();
            note!("   config: without {:?}", hook.map(|hook| hook.key));
            match self.rng.below(3) {
                0 => setup.identity.version = "1.0.1".to_owned(),
                1 => setup.aiwm.iter_mut().for_each(|aiwm| aiwm.heartbeat_interval_ms = 20_000),
                _ => {}
            }
        }
        if is_changed {
            self.change_brain(&mut setup.brain);
        }
        self.setup = setup.clone();
        self.checks.on_reconfigured(&self.setup);
        self.feed(Input::Reconfigured(Box::new(setup)));
    }
}
