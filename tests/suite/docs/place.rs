//! The place where examples run: a home directory, a signed-in proxy, and a model with the answers that the pages show.

use std::env;
use std::fs;
use std::path::Path;

use e2e::brought::{KEY_VARIABLE, Person};
use e2e::codex_bin::{NEWEST, profile_dir};
use e2e::fake_openai::{FakeOpenAi, Script, Upstream};
use e2e::harness::{Proxy, Setup, proxy_path};
use tokio::process::Command;

/// How often an example may ask for the same.
const TIMES: usize = 20;

/// The questions in the examples, and the model's answers.
const SAID: &[(&str, &str)] = &[
    ("What is in this picture?", "A red square."),
    ("Summarise this file.", "It says hello."),
    ("Name a city and its population.", r#"{"city":"Paris","population":2100000}"#),
];

/// The question that the model needs a tool for.
const WEATHER: &str = "What is the weather in Paris?";

/// A user's machine.
pub(super) struct Place {
    pub(super) proxy: Proxy,
    person: Person,
    key: String,
    // It answers as long as it is there.
    _upstream: FakeOpenAi,
}

impl Place {
    pub(super) async fn new() -> Self {
        let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
        upstream.fall_back_to(Script::text("Hello."));
        for (question, answer) in SAID {
            upstream.on_marker(question, std::iter::repeat_n(Script::text(answer), TIMES));
        }
        // The last input of the model is the tool's output. It contains none of the questions.
        let call = Script::new().function_call("call_1", "get_weather", r#"{"city":"Paris"}"#, 5);
        upstream.on_marker("Count to three.", [Script::new().compaction("cmp_1", "sealed")]);
        upstream.on_marker(WEATHER, std::iter::repeat_n(call, TIMES));
        upstream
            .on_marker("18 degrees", std::iter::repeat_n(Script::text("It is 18 degrees in Paris."), TIMES));
        let person = Person::default();
        // Without a key in the environment, the proxy creates the key that the texts mention.
        let setup = person.owns(Setup::real(NEWEST, &upstream)).env("PROXY_API_KEY", "");
        let proxy = setup.env("PROXY_ENABLE_METRICS", "true").start().await;
        proxy.wait_for_account("the sign-in", |account| account["state"] == "signed_in").await;
        let shown = proxy.beside(&proxy_path(), &["keys", "show", "default"]).output().await.unwrap();
        let key = String::from_utf8(shown.stdout).unwrap().trim().to_owned();
        assert!(!key.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
        let place = Self { proxy, person, key, _upstream: upstream };
        place.make_home();
        place
    }

    /// The usual data directory.
    fn make_home(&self) {
        let share = self.person.home().join(".local/share");
        fs::create_dir_all(&share).unwrap();
        std::os::unix::fs::symlink(self.proxy.data_dir(), share.join("codex-proxy")).unwrap();
    }

    /// Where examples run.
    pub(super) fn folder(&self) -> &Path {
        self.person.work()
    }

    /// An example as it runs here: the port is another.
    pub(super) fn adapted(&self, text: &str) -> String {
        text.replace("127.0.0.1:11435", &format!("127.0.0.1:{}", self.proxy.port()))
    }

    /// A program that finds `codex-proxy`, in a folder of the person's.
    pub(super) fn program(&self, program: &Path) -> Command {
        let mut command = self.proxy.beside(program, &[]);
        let rest = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(std::iter::once(profile_dir()).chain(env::split_paths(&rest))).unwrap();
        // The proxy's own requests go through a recorder. Those of clients do not.
        command.env_remove("HTTPS_PROXY").env("PATH", path).env("PYTHONUTF8", "1");
        command.current_dir(self.folder());
        command
    }

    /// The same with the key in both of the variables that the texts name.
    pub(super) fn program_with_key(&self, program: &Path) -> Command {
        let mut command = self.program(program);
        command.env(KEY_VARIABLE, &self.key).env("OPENAI_API_KEY", &self.key);
        command
    }
}
