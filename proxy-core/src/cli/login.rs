//! The commands `codex-proxy login` and `logout`.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use http::Method;
use secrecy::zeroize::Zeroizing;

use super::client::{Answer, Client, cannot};
use super::failure::Failure;
use super::output::{Output, clean};
use super::status::account_words;
use super::tree::{Json, LoginArgs};
use super::units::Now;
use super::{Context, Interruption};
use crate::config::{ProcessEnvironment, Strings};
use crate::control::api::{Account, AccountState, ImportLogin, Imported, LogIn, Login, Private, SignInWith};

pub(super) async fn login(args: &LoginArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    let json = args.json.json;
    if args.cancel {
        let account = client.call(Method::DELETE, "/account/login").await?;
        return tell(account, json, output);
    }
    if let Some(path) = &args.import {
        return import(&client, path.as_deref(), json, output).await;
    }
    if args.api_key {
        let key = api_key(output).await?;
        let body = LogIn { method: SignInWith::ApiKey, api_key: Some(Private(key.as_str().to_owned())) };
        let account = client.send(Method::POST, "/account/login", &body).await?;
        return tell(account, json, output);
    }
    let method = if args.device_code { SignInWith::DeviceCode } else { SignInWith::Browser };
    let mut interruption = Interruption::listen();
    let before: Account = client.read("/account").await?;
    let answer: Answer<Login> =
        client.send(Method::POST, "/account/login", &LogIn { method, api_key: None }).await?;
    if json {
        output.json_line(answer.sent())?;
    }
    let login = answer.read()?;
    if !json {
        explain(&login, args.no_browser, output)?;
    }
    let renewed = |login: &Login, output: &mut Output| match json {
        true => Ok(()),
        false => explain(login, args.no_browser, output),
    };
    let Outcome { account, problem } = tokio::select! {
        outcome = settled(&client, login, before.problem, output, renewed) => outcome?,
        () = interruption.comes() => return cancel(&client, output).await,
    };
    if json {
        output.json_line(&account)?;
    }
    if account.state != AccountState::SignedIn || problem.is_some() {
        let why = problem.map_or_else(|| "it was cancelled".to_owned(), |problem| clean(&problem));
        return Err(Failure::with_next(
            format!("the sign-in has not worked: {why}"),
            "Try again with `codex-proxy login`, or `codex-proxy login --device-code`.",
        ));
    }
    if !json {
        output.line(&format!("Signed in: {}", account_words(&account, output.paint())))?;
    }
    Ok(())
}

pub(super) async fn logout(args: Json, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    let account: Answer<Account> = client.call(Method::POST, "/account/logout").await?;
    if args.json {
        return Ok(output.json(account.sent())?);
    }
    let account = account.read()?;
    if account.state == AccountState::SignedOut {
        return Ok(output.line("Signed out.")?);
    }
    Ok(output.line(&format!("Account: {}", account_words(&account, output.paint())))?)
}

/// Reports which account is signed in.
fn tell(account: Answer<Account>, json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        return Ok(output.json(account.sent())?);
    }
    let account = account.read()?;
    Ok(output.line(&format!("Account: {}", account_words(&account, output.paint())))?)
}

async fn import(
    client: &Client,
    path: Option<&Path>,
    json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    // The proxy has another working directory.
    let path = path.map(std::path::absolute).transpose().map_err(|error| cannot("find that path", &error))?;
    if let Some(path) = path.as_ref().filter(|path| path.to_str().is_none()) {
        return Err(Failure::Usage(format!(
            "the path {} is not UTF-8, so it cannot be sent",
            path.display()
        )));
    }
    let answer: Answer<Imported> =
        client.send(Method::POST, "/account/import", &ImportLogin { path }).await?;
    if json {
        return Ok(output.json(answer.sent())?);
    }
    let Imported { account, note } = answer.read()?;
    output.line(&format!("Imported: {}", account_words(&account, output.paint())))?;
    if note.is_empty() { Ok(()) } else { Ok(output.note(&clean(&note))?) }
}

/// Explains the next step to the person, and opens the browser if there is one.
fn explain(login: &Login, no_browser: bool, output: &mut Output) -> Result<(), Failure> {
    let ends = Some(login.expires_at).filter(|at| *at > 0).and_then(|at| Now::here().until(at));
    let ends = ends.map(|left| format!(" It waits for {left}; Ctrl-C ends it.")).unwrap_or_default();
    if let (Some(url), Some(code)) = (&login.verification_url, &login.user_code) {
        output.line(&format!("Open {} on any device and enter the code {}.", clean(url), clean(&code.0)))?;
        return Ok(output.note(&format!("Waiting for the sign-in.{ends}"))?);
    }
    let Some(Private(url)) = &login.auth_url else {
        return Err(Failure::new("the proxy names no address to sign in at"));
    };
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let opened =
        !no_browser && is_web && has_display(&ProcessEnvironment) && open::that_detached(url).is_ok();
    if opened {
        output.note("The browser opens to sign in. If it does not, open this address:")?;
    } else {
        output.note(
            "Open this address in a browser on this machine, or use `codex-proxy login --device-code`:",
        )?;
    }
    output.line(&clean(url))?;
    Ok(output.note(&format!("Waiting for the sign-in.{ends}"))?)
}

/// Whether the person would see a browser that is started here.
pub(super) fn has_display(environment: &dyn Strings) -> bool {
    let set = |name| environment.get(name).is_some_and(|value| !value.is_empty());
    if set("SSH_CONNECTION") || set("SSH_TTY") {
        return false;
    }
    // Windows, its Linux subsystem and macOS always have a display.
    !cfg!(all(unix, not(target_os = "macos")))
        || ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"].into_iter().any(set)
}

/// The result of a sign-in.
struct Outcome {
    /// The account after the sign-in.
    account: Account,
    /// The error of this sign-in.
    problem: Option<String>,
}

/// Waits for the end of this sign-in, and returns the account. `known` is a problem from before, such as a port
/// that another program uses; it is not a failure of this sign-in.
///
/// If a sign-in is ended from outside, for example by a web page, the proxy starts a new one. Then the person
/// gets its address, and this function waits for the new one.
async fn settled(
    client: &Client,
    mut login: Login,
    mut known: Option<String>,
    output: &mut Output,
    renewed: impl Fn(&Login, &mut Output) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let mut events = client.events().await?;
    loop {
        let now = events.next().await?.read()?.account;
        match now.login.clone() {
            Some(pending) if pending.id == login.id => known = now.problem,
            Some(next) if next.method == login.method => {
                output.note(
                    "The sign-in was ended from outside and begun again; the old address is of no use now.",
                )?;
                renewed(&next, output)?;
                (login, known) = (next, now.problem);
            }
            Some(_) => {
                return Err(Failure::new("another sign-in has been started, which ends this one"));
            }
            None if now.state == AccountState::SigningIn => {}
            None => {
                let problem = now.problem.clone().filter(|now| known.as_ref() != Some(now));
                return Ok(Outcome { account: now, problem });
            }
        }
    }
}

async fn cancel(client: &Client, output: &mut Output) -> Result<(), Failure> {
    output.note("")?;
    client.call::<Account>(Method::DELETE, "/account/login").await?;
    Err(Failure::Interrupted("the sign-in was cancelled".to_owned()))
}

/// Reads the key from a hidden prompt, or from the first line of standard input. It is never an argument, which
/// other users could see.
async fn api_key(output: &mut Output) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return piped_key();
    }
    output.note("The key is not shown while you type or paste it.")?;
    let asked = tokio::task::spawn_blocking(|| rpassword::prompt_password("OpenAI API key: ")).await;
    let asked = asked.map_err(|error| Failure::new(format!("the prompt failed: {error}")))?;
    match asked {
        Ok(key) => fit(&Zeroizing::new(key)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            Err(Failure::Interrupted("the sign-in was cancelled".to_owned()))
        }
        Err(error) => Err(cannot("ask for the key", &error)),
    }
}

fn piped_key() -> Result<Zeroizing<String>, Failure> {
    const LONGEST: u64 = 4096;
    let mut text = Zeroizing::new(String::new());
    io::stdin()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| cannot("read the key from standard input", &error))?;
    fit(&text)
}

fn fit(text: &str) -> Result<Zeroizing<String>, Failure> {
    let key = text.lines().next().unwrap_or_default().trim();
    if key.is_empty() {
        return Err(Failure::with_next(
            "no API key was given",
            "Type it when asked, or pipe it in: `codex-proxy login --api-key < file`.",
        ));
    }
    Ok(Zeroizing::new(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_from_the_first_line() {
        assert_eq!(fit(" sk-1 \nsecond").unwrap().as_str(), "sk-1");
        assert!(fit("").is_err());
        assert!(fit("\n\nsk-1").is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn no_browser_is_opened_where_nobody_would_see_it() {
        use std::collections::BTreeMap;
        use std::ffi::OsString;

        let case = |names: &[&str]| {
            let environment: BTreeMap<String, OsString> =
                names.iter().map(|name| ((*name).to_owned(), OsString::from("x"))).collect();
            has_display(&environment)
        };
        assert!(!case(&[]));
        assert!(case(&["DISPLAY"]));
        assert!(case(&["WAYLAND_DISPLAY"]));
        assert!(!case(&["DISPLAY", "SSH_CONNECTION"]));
    }
}
