//! The command `codex-proxy workers`: shows and restarts the Codex processes.

use http::Method;

use super::Context;
use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Output, Painter, Table, Tone, clean, wrap};
use super::status::state_words;
use super::tree::{WorkersArgs, WorkersVerb};
use super::units::{bytes, duration};
use crate::control::api::{Status, Worker, WorkerState};

pub(super) async fn run(args: &WorkersArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    match args.verb.as_ref().unwrap_or(&WorkersVerb::List) {
        WorkersVerb::List => {
            let status: Status = client.read("/status").await?;
            if args.json.json {
                return Ok(output.json(&status.workers)?);
            }
            Ok(output.text(&render(&status.workers, output.paint()))?)
        }
        WorkersVerb::Restart(worker) => {
            let status: Status = client.read("/status").await?;
            let (path, what) = match worker.id {
                None => ("/workers/restart".to_owned(), "Every worker is".to_owned()),
                Some(id) if status.workers.iter().any(|worker| worker.id == id) => {
                    (format!("/workers/{id}/restart"), format!("Worker {id} is"))
                }
                Some(id) => {
                    return Err(Failure::with_next(
                        format!("there is no worker {id}"),
                        "`codex-proxy workers` lists them.",
                    ));
                }
            };
            let answer: Answer<()> = client.call(Method::POST, &path).await?;
            if args.json.json {
                return Ok(output.json(answer.sent())?);
            }
            Ok(output.line(&format!("{what} being replaced; turns that run finish on the old process."))?)
        }
    }
}

fn render(workers: &[Worker], paint: Painter) -> String {
    let mut table = Table::new(&["ID", "STATE", "PID", "CODEX", "UP", "TURNS", "DONE", "RESTARTS", "MEMORY"]);
    table = table.right([0, 2, 5, 6, 7, 8]);
    for worker in workers {
        let state = state_words(worker.state);
        table.row([
            worker.id.to_string(),
            state,
            worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            worker.codex_version.clone().unwrap_or_else(|| "-".to_owned()),
            worker.uptime_seconds.map_or_else(|| "-".to_owned(), duration),
            worker.turns_running.to_string(),
            worker.turns_done.to_string(),
            worker.restarts.to_string(),
            worker.resident_bytes.map_or_else(|| "-".to_owned(), bytes),
        ]);
        table.tone(1, if worker.state == WorkerState::Ready { Tone::Good } else { Tone::Warning });
    }
    let mut text = table.render(paint);
    for worker in workers.iter().filter(|worker| worker.state != WorkerState::Ready) {
        if let Some(reason) = &worker.last_exit {
            let next = worker.retry_in_seconds.map(|seconds| format!(" Next try in {}.", duration(seconds)));
            let sentence = format!("{}{}", clean(reason), next.unwrap_or_default());
            text.push_str(&format!("Worker {}: {}\n", worker.id, wrap(&sentence, 80, 10)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_list_of_workers() {
        let workers: Vec<Worker> = from_value(json!([
            {"id": 0, "state": "ready", "pid": 4242, "codex_version": "0.169.0", "uptime_seconds": 7980, "restarts": 0,
             "turns_running": 2, "turns_done": 1130, "resident_bytes": 224_395_264},
            {"id": 1, "state": "backing_off", "pid": null, "codex_version": null, "uptime_seconds": null, "restarts": 4,
             "last_exit": "Codex ended with exit status 3.", "retry_in_seconds": 8, "turns_running": 0, "turns_done": 7},
        ]))
        .unwrap();
        let expected = "\
ID  STATE         PID  CODEX    UP          TURNS  DONE  RESTARTS   MEMORY
 0  ready        4242  0.169.0  2 h 13 min      2  1130         0  214 MiB
 1  backing off     -  -        -               0     7         4        -
Worker 1: Codex ended with exit status 3. Next try in 8 s.
";
        assert_eq!(render(&workers, Painter::PLAIN), expected);
    }
}
