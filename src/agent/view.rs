//! The agent as others see it: `/status` and the health report.

use super::Agent;
use super::effect::HealthReport;
use super::ids::CorrelationId;
use super::status::{AlexosStatus, LedgerStatus, Status};
use super::time::{Now, Wall};

impl Agent {
    /// How things stand.
    #[must_use]
    pub fn status(&self, now: Now) -> Status<'_> {
        let (at, trust) = self.calendar.read(now);
        let durable = self.journal.durable();
        Status {
            at,
            trust,
            passed: self.calendar.passed(now),
            uptime_ms: now.mono.since(self.started.mono),
            health: self.health.health(),
            attention: self.attention.reason(),
            is_stopping: self.stopping.is_some(),
            ledger: LedgerStatus {
                id: self.journal.ledger(),
                oldest: self.oldest,
                durable,
                pending: self.journal.pending(),
                fault: self.journal.fault(),
            },
            alexos: self.alexos_status(now),
            aiwm: self.session.as_ref().map(|session| session.status(now.mono)),
            destinations: self.deliveries.iter().map(|delivery| delivery.status(now.mono, durable)).collect(),
            sample: self.health.sample(),
            brain: self.brain_status(now),
            counters: &self.counters,
        }
    }

    fn alexos_status(&self, now: Now) -> Option<AlexosStatus<'_>> {
        let alexos = self.alexos.as_ref()?;
        let (attempts, last_registration, last_fault, agent_id, canon) = alexos.registration.facts();
        Some(AlexosStatus {
            registration: alexos.registration.state(),
            attempts,
            last_registration,
            last_report: alexos.last_report,
            agent_id,
            events_path: alexos.path.known(),
            last_fault,
            next_try_in_ms: alexos.registration.deadline().map(|at| at.since(now.mono)),
            canon,
            bus: alexos.bus.status(now.mono, self.journal.durable()),
        })
    }

    pub(super) fn health_report(&mut self, at: Wall) -> HealthReport {
        HealthReport {
            at,
            id: CorrelationId(self.rng.next_u128()),
            health: self.health.health(),
            active_workflows: 0,
            workflow_blockers: Vec::new(),
            attention: self.attention.reason().map(str::to_owned),
            gpt_status: self.brain_status(self.now).word(),
            active_agents: 1,
            sample: self.health.sample().cloned().unwrap_or_default(),
        }
    }
}
