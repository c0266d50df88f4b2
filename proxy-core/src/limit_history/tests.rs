use super::*;

/// The window of five hours that ends at 18,000 seconds.
fn window(used_percent: u32) -> Window {
    Window { used_percent, window_minutes: Some(300), resets_at: Some(18_000) }
}

fn limits(at: u64, used_percent: u32) -> Limits {
    told(at, window(used_percent))
}

fn told(at: u64, window: Window) -> Limits {
    let mut limits = Limits::default();
    (limits.primary, limits.read_at) = (Some(window), at);
    limits
}

fn of(readings: &[Reading]) -> Vec<(u64, u32)> {
    readings.iter().map(|reading| (reading.at, reading.window.used_percent)).collect()
}

#[test]
fn each_percentage_has_its_first_and_its_last_reading() {
    let mut readings = Readings::default();
    let added: Vec<_> = [(10, 1), (20, 1), (30, 1), (40, 2), (40, 2), (50, 4)]
        .map(|(at, used)| readings.add(&limits(at, used)))
        .into();
    assert_eq!(added, [true, true, false, true, false, true]);
    assert_eq!(of(&readings.primary), [(10, 1), (30, 1), (40, 2), (50, 4)]);
    assert_eq!(readings.secondary, []);
    // Resets of one window are told a little differently.
    let nearly = Window { resets_at: Some(18_060), ..window(4) };
    readings.add(&told(60, nearly));
    readings.add(&limits(70, 4));
    assert_eq!(of(&readings.primary)[2..], [(40, 2), (50, 4), (70, 4)]);
}

#[test]
fn what_is_of_an_earlier_window_goes() {
    let mut readings = Readings::default();
    readings.add(&limits(10, 90));
    let next = Window { resets_at: Some(40_000), ..window(1) };
    readings.add(&told(30_000, next));
    assert_eq!(of(&readings.primary), [(30_000, 1)]);
    // The clock was set back.
    readings.add(&told(29_000, next));
    assert_eq!(of(&readings.primary), [(29_000, 1)]);
    for at in 0..2 * MOST as u64 {
        let window = Window { used_percent: (at % 7) as u32, window_minutes: None, resets_at: None };
        readings.add(&told(40_000 + at, window));
    }
    assert_eq!(readings.primary.len(), MOST);
}

#[tokio::test]
async fn the_readings_survive_a_restart_and_end_with_the_sign_in() {
    let data = tempfile::tempdir().unwrap();
    let ending = CancellationToken::new();
    let account = watch::Sender::new(State::default());
    let history = LimitHistory::read(data.path());
    let followed = tokio::spawn(history.clone().follow(account.subscribe(), ending.clone()));
    for (at, used) in [(10, 1), (20, 1), (30, 1)] {
        let mut seen = account.subscribe();
        account.send_modify(|state| state.limits = Some(limits(at, used)));
        seen.changed().await.unwrap();
    }
    ending.cancel();
    followed.await.unwrap();
    let again = LimitHistory::read(data.path());
    assert_eq!(again.readings(), history.readings());
    assert_eq!(again.readings().primary.last().map(|reading| reading.at), Some(30));

    let mut signed_out = State::default();
    signed_out.details = Some(protocol::codex::notice::Details { account: None, needed: true });
    let account = watch::Sender::new(signed_out);
    let ending = CancellationToken::new();
    ending.cancel();
    again.clone().follow(account.subscribe(), ending).await;
    assert_eq!(again.readings(), Readings::default());
    assert!(!data.path().join(FILE).exists());

    fs::write(data.path().join(FILE), "{").unwrap();
    assert_eq!(LimitHistory::read(data.path()).readings(), Readings::default());
}
