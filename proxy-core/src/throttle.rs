//! The limits of each key: requests per second, and tokens per day. Both are off by default.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::secret::{AdmittedKey, KeyId, KeyName};

/// What the operator decides about the limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The rate of requests for each key; `None` for no limit.
    pub rate: Option<Rate>,
    /// The tokens that each key may use per day; 0 for no limit.
    pub daily_tokens: u64,
    /// The tokens per day for single keys, by name; 0 for no limit.
    pub key_daily_tokens: BTreeMap<String, u64>,
}

/// A rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The average number per second.
    pub average: NonZeroU32,
    /// The maximum number at once.
    pub burst: NonZeroU32,
}

type Limiter = RateLimiter<KeyId, DefaultKeyedStateStore<KeyId>, DefaultClock, StateInformationMiddleware>;

/// Counts the requests of each key by its id: a renamed key keeps its counts, and a new key with an old name
/// starts at zero. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Throttle {
    limiter: Option<Arc<Limiter>>,
    config: Arc<Config>,
}

/// The limits of an accepted request's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The maximum number of requests at once.
    pub limit: u32,
    /// The number of requests that are left.
    pub remaining: u32,
    /// The time until all of them are available again.
    pub reset: Duration,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    /// Too many requests in a short time.
    #[error(
        "The key '{key}' has made too many requests: {} a second are allowed, {} at once (RATE_LIMIT_AVG, \
         RATE_LIMIT_BURST). Try again in {} s.",
        .rate.average, .rate.burst, seconds(*.wait)
    )]
    Rate {
        /// The name of the key.
        key: KeyName,
        /// The allowed rate.
        rate: Rate,
        /// The time until the next request is accepted.
        wait: Duration,
    },
    /// The tokens of the day are used up.
    #[error(
        "The key '{key}' has used {used} of its {budget} tokens for today (PROXY_DAILY_TOKENS, \
         PROXY_KEY_DAILY_TOKENS). The next day begins in {}.",
        hours_and_minutes(*.wait)
    )]
    Budget {
        /// The name of the key.
        key: KeyName,
        /// The tokens that it may use per day.
        budget: u64,
        /// The tokens that it has used today.
        used: u64,
        /// The time until the next day.
        wait: Duration,
    },
}

impl Throttled {
    /// The time until the next request is accepted.
    pub fn wait(&self) -> Duration {
        match self {
            Self::Rate { wait, .. } | Self::Budget { wait, .. } => *wait,
        }
    }
}

impl Throttle {
    /// A throttle without any counted requests.
    pub fn new(config: Config) -> Self {
        let limiter = config.rate.map(|rate| {
            let quota = Quota::per_second(rate.average).allow_burst(rate.burst);
            Arc::new(RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>())
        });
        Self { limiter, config: Arc::new(config) }
    }

    /// The tokens that the key with this name may use per day; `None` for no limit.
    pub fn budget(&self, key: &KeyName) -> Option<u64> {
        let own = self.config.key_daily_tokens.get(key.as_str()).copied();
        Some(own.unwrap_or(self.config.daily_tokens)).filter(|budget| *budget > 0)
    }

    /// Accepts a request or refuses it. `today` returns the tokens that the key has used, and the rest of the
    /// day; it is called only if the key has a daily limit. Without a rate limit, the result is `None`.
    ///
    /// # Errors
    /// If the key has reached a limit.
    pub fn check(
        &self,
        key: &AdmittedKey,
        today: impl FnOnce() -> (u64, Duration),
    ) -> Result<Option<Allowed>, Throttled> {
        let name = || key.name.clone();
        if let Some(budget) = self.budget(&key.name) {
            let (used, wait) = today();
            if used >= budget {
                return Err(Throttled::Budget { key: name(), budget, used, wait });
            }
        }
        let (Some(limiter), Some(rate)) = (&self.limiter, self.config.rate) else { return Ok(None) };
        match limiter.check_key(&key.id) {
            Ok(state) => {
                let (limit, remaining) = (rate.burst.get(), state.remaining_burst_capacity());
                let missing = limit.saturating_sub(remaining);
                let reset = Duration::from_secs_f64(f64::from(missing) / f64::from(rate.average.get()));
                Ok(Some(Allowed { limit, remaining, reset }))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                Err(Throttled::Rate { key: name(), rate, wait })
            }
        }
    }
}

fn seconds(wait: Duration) -> u64 {
    (wait.as_secs_f64().ceil() as u64).max(1)
}

fn hours_and_minutes(wait: Duration) -> String {
    let minutes = wait.as_secs().div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn nobody_asks() -> (u64, Duration) {
        panic!("without a budget nobody asks for today's tokens")
    }

    fn key(id: &str, name: &str) -> AdmittedKey {
        AdmittedKey { id: KeyId::parse(&format!("key_{id}")).unwrap(), name: KeyName::new(name) }
    }

    #[test]
    fn nothing_is_limited_unasked() {
        let throttle = Throttle::new(Config::default());
        for _ in 0..10_000 {
            assert_eq!(throttle.check(&key("1", "a"), nobody_asks), Ok(None));
        }
    }

    #[test]
    fn each_key_has_its_own_burst() {
        let rate = Rate { average: number(1), burst: number(3) };
        let throttle = Throttle::new(Config { rate: Some(rate), ..Config::default() });
        let remaining: Vec<_> =
            (0..3).map(|_| throttle.check(&key("1", "a"), nobody_asks).unwrap().unwrap().remaining).collect();
        assert_eq!(remaining, [2, 1, 0]);
        let refused = throttle.check(&key("1", "a"), nobody_asks).unwrap_err();
        assert!(refused.wait() <= Duration::from_secs(1), "{refused:?}");
        assert!(
            refused.to_string().contains("'a'") && refused.to_string().contains("3 at once"),
            "{refused}"
        );
        assert!(throttle.check(&key("2", "b"), nobody_asks).is_ok());
    }

    #[test]
    fn another_name_gives_no_new_burst_and_a_new_key_of_the_old_name_has_its_own() {
        let rate = Rate { average: number(1), burst: number(2) };
        let throttle = Throttle::new(Config { rate: Some(rate), ..Config::default() });
        for _ in 0..2 {
            throttle.check(&key("1", "phone"), nobody_asks).unwrap();
        }
        let refused = throttle.check(&key("1", "tablet"), nobody_asks).unwrap_err();
        assert!(
            refused.to_string().contains("'tablet'"),
            "people see the name that the key has now: {refused}"
        );
        let allowed = throttle.check(&key("2", "phone"), nobody_asks).unwrap().unwrap();
        assert_eq!(allowed.remaining, 1);
    }

    #[test]
    fn a_budget_is_for_the_day_and_a_key_may_have_its_own() {
        let own = BTreeMap::from([("rich".to_owned(), 0), ("poor".to_owned(), 10)]);
        let config = Config { daily_tokens: 100, key_daily_tokens: own, ..Config::default() };
        let throttle = Throttle::new(config);
        let day = Duration::from_secs(3 * 3600 + 61);
        for (name, used, allowed) in [
            ("a", 99, true),
            ("a", 100, false),
            ("poor", 9, true),
            ("poor", 12, false),
            ("rich", 1_000_000, true),
        ] {
            let result = throttle.check(&key("1", name), || (used, day));
            assert_eq!(result.is_ok(), allowed, "{name} {used}");
            if let Err(refused) = result {
                assert_eq!(refused.wait(), day);
                assert!(refused.to_string().contains("3 h 2 min"), "{refused}");
            }
        }
    }
}
