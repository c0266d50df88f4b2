//! How far a turn has come, and whether its owner still waits for it.

/// Where a turn stands. It is over for its owner in every stage but `Starting` and `Running`: nothing more is
/// emitted, either because the last event was emitted, or because the owner has given up the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stage {
    /// The requests that start the turn are under way.
    Starting(Asked),
    /// Over for its owner while it was starting: it ends once Codex has answered.
    Abandoned(Asked),
    /// Codex works on it.
    Running,
    /// Over for its owner while Codex works on it; Codex has to be sent an interrupt.
    Over,
    /// Over for its owner; the interrupt is sent, and `turn/completed` is awaited.
    Interrupted,
    /// Over for its owner; Codex waits for the outputs of its calls, which a later request may bring.
    Parked,
}

/// The request on the way to a turn that Codex has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Asked {
    /// `thread/start`, or `thread/resume`.
    Thread,
    /// `thread/inject_items`.
    Injection,
    /// `turn/start`.
    Turn,
}

impl Stage {
    /// The next request was sent to Codex.
    pub(in super::super) fn go_on(&mut self, next: Asked) {
        match self {
            Self::Starting(asked) | Self::Abandoned(asked) => *asked = next,
            Self::Running | Self::Over | Self::Interrupted | Self::Parked => {}
        }
    }

    /// Whether the turn is over for its owner.
    pub(super) fn is_over(self) -> bool {
        match self {
            Self::Starting(_) | Self::Running => false,
            Self::Abandoned(_) | Self::Over | Self::Interrupted | Self::Parked => true,
        }
    }

    /// The stage once the turn is over for its owner.
    pub(super) fn given_up(self) -> Self {
        match self {
            Self::Starting(asked) | Self::Abandoned(asked) => Self::Abandoned(asked),
            Self::Running | Self::Over | Self::Parked => Self::Over,
            Self::Interrupted => Self::Interrupted,
        }
    }

    /// The stage once Codex works on the turn; `None` where no turn was requested, or Codex has reported it
    /// already.
    pub(super) fn begun(self) -> Option<Self> {
        match self {
            Self::Starting(Asked::Turn) => Some(Self::Running),
            Self::Abandoned(Asked::Turn) => Some(Self::Over),
            Self::Starting(Asked::Thread | Asked::Injection)
            | Self::Abandoned(Asked::Thread | Asked::Injection)
            | Self::Running
            | Self::Over
            | Self::Interrupted
            | Self::Parked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_was_given_up_on_its_way_is_over_at_once_and_ended_when_it_runs() {
        let mut stage = Stage::Starting(Asked::Thread);
        assert_eq!((stage.is_over(), stage.begun()), (false, None), "it was not asked for");
        stage = stage.given_up();
        stage.go_on(Asked::Turn);
        assert_eq!((stage, stage.is_over()), (Stage::Abandoned(Asked::Turn), true));
        assert_eq!(stage.begun(), Some(Stage::Over));
    }

    #[test]
    fn what_is_over_stays_over() {
        for stage in [Stage::Over, Stage::Interrupted] {
            let mut later = stage;
            later.go_on(Asked::Turn);
            assert_eq!((later, later.given_up(), later.begun(), later.is_over()), (stage, stage, None, true));
        }
        assert_eq!(Stage::Running.given_up(), Stage::Over);
    }
}
