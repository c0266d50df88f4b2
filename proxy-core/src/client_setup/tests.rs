use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const BASE: &str = "http://127.0.0.1:11435/v1";
const OTHER: &str = "http://127.0.0.1:9999/v1";

struct Scene {
    root: TempDir,
    clients: Clients,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let clients = Clients::new(Config {
            home: Some(root.path().join("home")),
            config: Some(root.path().join("home").join(".config")),
            roaming: None,
            record: root.path().join("data").join("clients.json"),
        });
        Self { root, clients }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.clients.find(id).unwrap().1
    }

    fn write(&self, id: &str, text: &str) -> PathBuf {
        let file = self.file(id);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn text(&self, id: &str) -> String {
        fs::read_to_string(self.file(id)).unwrap()
    }

    fn standing(&self, id: &str) -> (bool, bool, bool) {
        let list = self.clients.list(BASE);
        let standing = list.into_iter().find(|standing| standing.id == id).unwrap();
        (standing.exists, standing.configured, standing.can_undo)
    }
}

/// For each client, a typical file, and the same file with the proxy added.
const CASES: [(&str, &str, &str); 4] = [
    (
        "codex-cli",
        "# mine\nmodel = \"gpt-5\" # the old one\n\n[tui]\ntheme = \"dark\"\n\n[model_providers.other]\nbase_url = \"x\"\n",
        "# mine\nmodel = \"codex-5\" # the old one\nmodel_provider = \"codex-proxy\"\n\n[tui]\ntheme = \"dark\"\n\n\
         [model_providers.other]\nbase_url = \"x\"\n\n[model_providers.codex-proxy]\nname = \"Codex Proxy\"\n\
         base_url = \"http://127.0.0.1:11435/v1\"\nenv_key = \"CODEX_PROXY_KEY\"\nwire_api = \"responses\"\n",
    ),
    (
        "continue",
        "name: Mine\nversion: 1.0.0\nschema: v1\n# what I use\nmodels:\n  - name: Other # keep\n    provider: ollama\n\n\
         # rules\nrules:\n  - be brief\n",
        "name: Mine\nversion: 1.0.0\nschema: v1\n# what I use\nmodels:\n  - name: Other # keep\n    provider: ollama\n  \
         - name: Codex 5\n    provider: openai\n    model: codex-5\n    apiBase: http://127.0.0.1:11435/v1\n    apiKey: \
         ${{ secrets.CODEX_PROXY_KEY }}\n    roles: [chat, edit, apply]\n\n# rules\nrules:\n  - be brief\n",
    ),
    (
        "zed",
        "// mine\n{\n  \"theme\": \"One\", // the theme\n  \"language_models\": {\n    \"ollama\": {},\n  },\n}\n",
        "// mine\n{\n  \"theme\": \"One\", // the theme\n  \"language_models\": {\n    \"ollama\": {},\n    \
         \"openai_compatible\": {\n      \"Codex Proxy\": {\n        \"api_url\": \"http://127.0.0.1:11435/v1\",\n        \
         \"available_models\": [\n          {\n            \"name\": \"codex-5\",\n            \"display_name\": \
         \"Codex 5\",\n            \"max_tokens\": 272000,\n            \"capabilities\": {\n              \"tools\": \
         true,\n              \"images\": true,\n              \"parallel_tool_calls\": true,\n              \
         \"prompt_cache_key\": true\n            }\n          }\n        ]\n      }\n    },\n  },\n}\n",
    ),
    (
        "opencode",
        "{\n  \"theme\": \"x\"\n}\n",
        "{\n  \"theme\": \"x\",\n  \"provider\": {\n    \"codex-proxy\": {\n      \"npm\": \
         \"@ai-sdk/openai-compatible\",\n      \"name\": \"Codex Proxy\",\n      \"options\": {\n        \"baseURL\": \
         \"http://127.0.0.1:11435/v1\",\n        \"apiKey\": \"{env:CODEX_PROXY_KEY}\"\n      },\n      \"models\": {\n        \
         \"codex-5\": {\n          \"name\": \"Codex 5\"\n        }\n      }\n    }\n  }\n}\n",
    ),
];

#[test]
fn the_entry_is_made_shown_and_taken_back_to_the_byte() {
    for (id, before, after) in CASES {
        let scene = Scene::new();
        let file = scene.write(id, before);
        assert_eq!(scene.standing(id), (true, false, false), "{id}");
        let diff = scene.clients.preview(id, BASE).unwrap();
        assert!(diff.contains("+++ ") && diff.contains("127.0.0.1:11435"), "{id}: {diff}");
        assert_eq!(scene.text(id), before, "{id}: a preview writes nothing");

        let backup = scene.clients.apply(id, BASE).unwrap().unwrap();
        assert_eq!(scene.text(id), after, "{id}");
        assert_eq!(fs::read_to_string(&backup).unwrap(), before, "{id}");
        assert_eq!(backup.parent(), file.canonicalize().unwrap().parent(), "{id}");
        assert_eq!(scene.standing(id), (true, true, true), "{id}");
        assert_eq!(scene.clients.preview(id, BASE).unwrap(), "", "{id}: there is nothing more to change");

        scene.clients.undo(id).unwrap();
        assert_eq!(scene.text(id), before, "{id}");
        assert!(!backup.exists(), "{id}: the copy is not needed any more");
        assert!(matches!(scene.clients.undo(id), Err(ClientsError::Unchanged(_))), "{id}");
    }
}

#[test]
fn a_file_that_was_not_there_is_made_and_goes_again() {
    for (id, ..) in CASES {
        let scene = Scene::new();
        assert_eq!(scene.clients.apply(id, BASE).unwrap(), None, "{id}");
        assert_eq!(scene.standing(id), (true, true, true), "{id}: {}", scene.text(id));
        scene.clients.undo(id).unwrap();
        assert_eq!(scene.standing(id), (false, false, false), "{id}");
    }
}

#[test]
fn another_address_takes_the_place_of_the_first_and_undo_goes_back_before_both() {
    for (id, before, after) in CASES {
        let scene = Scene::new();
        scene.write(id, before);
        let backup = scene.clients.apply(id, OTHER).unwrap();
        assert_eq!(scene.standing(id), (true, false, true), "{id}");
        assert_eq!(scene.clients.apply(id, BASE).unwrap(), backup, "{id}");
        assert_eq!(scene.text(id), after, "{id}");
        scene.clients.undo(id).unwrap();
        assert_eq!(scene.text(id), before, "{id}");
    }
}

#[test]
fn what_others_have_written_since_outlives_the_undo() {
    for (id, before, _) in CASES {
        let scene = Scene::new();
        scene.write(id, before);
        let backup = scene.clients.apply(id, BASE).unwrap().unwrap();
        let comment = if matches!(id, "zed" | "opencode") { "// since\n" } else { "# since\n" };
        let since = format!("{}{comment}", scene.text(id));
        scene.write(id, &since);
        // A second change does not affect this.
        scene.clients.apply(id, BASE).unwrap();
        scene.clients.undo(id).unwrap();
        let (left, expected) = (scene.text(id), format!("{before}{comment}"));
        let bare = |text: &str| text.replace([',', ' ', '\n'], "");
        assert_eq!(bare(&left), bare(&expected), "{id}");
        assert!(backup.exists(), "{id}: the copy stays");
    }
}

#[test]
fn what_is_not_understood_is_left_alone_and_not_quoted() {
    for (id, text) in [
        ("codex-cli", "model = = canary"),
        ("codex-cli", "model_providers = \"canary\""),
        ("continue", "models: [canary"),
        ("continue", "- canary"),
        ("continue", "models: [{name: canary}]\n"),
        ("continue", "models: []\n"),
        ("zed", "{ \"canary"),
        ("zed", "[\"canary\"]"),
        ("opencode", "{\"provider\": \"canary\"}"),
    ] {
        let scene = Scene::new();
        scene.write(id, text);
        for error in
            [scene.clients.preview(id, BASE).unwrap_err(), scene.clients.apply(id, BASE).unwrap_err()]
        {
            let words = error.to_string();
            assert!(matches!(error, ClientsError::Unfit { .. }), "{id} {text}: {error:?}");
            assert!(words.contains("by hand") && !words.contains("canary"), "{id}: {words}");
        }
        assert_eq!(scene.text(id), text);
        assert_eq!(scene.standing(id), (true, false, false), "{id}");
    }
}

#[test]
fn continue_keeps_its_old_file_and_opencode_the_one_with_comments() {
    let scene = Scene::new();
    let old = scene.file("continue").with_file_name("config.json");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::write(&old, "{}").unwrap();
    let error = scene.clients.apply("continue", BASE).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    let commented = scene.file("opencode").with_file_name("opencode.jsonc");
    fs::create_dir_all(commented.parent().unwrap()).unwrap();
    fs::write(&commented, "{}").unwrap();
    assert_eq!(scene.file("opencode"), commented);
    assert!(matches!(scene.clients.preview("emacs", BASE), Err(ClientsError::Unknown(_))));
}

#[test]
fn lists_of_every_shape_take_the_entry_and_lose_it_again() {
    for text in [
        "name: a\nversion: 1\nschema: v1\n",
        "models:\n- name: flat\n  provider: x\nrules:\n- y\n",
        "models: # mine\n\n    # the first\n    - name: deep\n      provider: x\n",
        "models:\r\n  - name: dos\r\n    provider: x\r\nrules: []\r\n",
        "# nothing but this\n",
    ] {
        let with = continue_dev::enter(text, BASE).unwrap();
        assert!(continue_dev::leads_to(&with, BASE), "{with}");
        assert_eq!(with.contains('\r'), text.contains('\r'), "{with:?}");
        assert_eq!(continue_dev::enter(&with, BASE).unwrap(), with.as_str());
        assert_eq!(continue_dev::remove(&with).unwrap(), text, "{with:?}");
    }
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let scene = Scene::new();
    let real = scene.root.path().join("dotfiles.toml");
    fs::write(&real, "model = \"x\"\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let file = scene.file("codex-cli");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    symlink(&real, &file).unwrap();
    scene.clients.apply("codex-cli", BASE).unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    scene.clients.undo("codex-cli").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "model = \"x\"\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn models_in_yaml_take_the_entry_and_lose_it_to_the_byte(
        before in prop::collection::vec(yaml_line(), 0..4),
        models in prop::option::of((prop::collection::vec("[a-z]{1,6}", 1..4), "( {0,4})")),
        after in prop::collection::vec(yaml_line(), 0..3),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let mut lines = vec!["name: mine".to_owned()];
        lines.extend(before.into_iter().enumerate().map(|(at, line)| line.replace('@', &format!("b{at}"))));
        if let Some((names, indent)) = models {
            lines.push("models:".to_owned());
            for name in names {
                lines.push(format!("{indent}- name: {name}"));
                lines.push(format!("{indent}  provider: x # theirs"));
            }
            lines.extend(after.into_iter().enumerate().map(|(at, line)| line.replace('@', &format!("a{at}"))));
        }
        let text: String = lines.iter().flat_map(|line| [line.as_str(), end]).collect();
        let with = continue_dev::enter(&text, BASE).unwrap();
        prop_assert!(continue_dev::leads_to(&with, BASE), "{}", with);
        prop_assert_eq!(continue_dev::enter(&with, BASE).unwrap(), with.as_str());
        prop_assert_eq!(continue_dev::remove(&with).unwrap(), text);
    }

    #[test]
    fn settings_in_toml_keep_all_that_is_theirs(
        model in prop::option::of("[a-z0-9-]{1,8}"),
        keys in prop::collection::btree_map("x_[a-z]{1,6}", "[ -!#-\\[\\]-~]{0,12}", 0..4),
        provider in prop::option::of("[a-z]{1,6}"),
        comment in "[ -~]{0,20}",
    ) {
        let mut text = format!("# {comment}\n");
        if let Some(model) = model {
            text.push_str(&format!("model = \"{model}\" # {comment}\n"));
        }
        keys.iter().for_each(|(key, value)| text.push_str(&format!("{key} = \"{value}\"\n")));
        if let Some(provider) = provider {
            text.push_str(&format!("\n[model_providers.{provider}] # {comment}\nname = \"n\"\n"));
        }
        let with = codex_cli::enter(&text, BASE).unwrap();
        prop_assert!(codex_cli::leads_to(&with, BASE), "{}", with);
        prop_assert_eq!(codex_cli::enter(&with, BASE).unwrap(), with.as_str());
        prop_assert_eq!(codex_cli::remove(&with, &text).unwrap(), text);
    }

    #[test]
    fn settings_in_json_keep_all_that_is_theirs(
        keys in prop::collection::btree_map("x[a-z]{1,6}", "[ -!#-\\[\\]-~]{0,12}", 0..4),
        comment in "[ -.0-~]{0,20}",
        which in any::<bool>(),
    ) {
        let format = if which { json::ZED } else { json::OPENCODE };
        let members: Vec<String> = keys.iter().map(|(key, value)| format!("  // {comment}\n  \"{key}\": \"{value}\"")).collect();
        let text = format!("{{\n{}\n}}\n", members.join(",\n"));
        let with = format.enter(&text, BASE).unwrap();
        prop_assert!(format.leads_to(&with, BASE), "{}", with);
        prop_assert!(members.iter().all(|member| with.contains(member.as_str())), "{}", with);
        prop_assert_eq!(format.enter(&with, BASE).unwrap(), with.as_str());
        let bare = |text: &str| text.replace([',', ' ', '\n'], "");
        prop_assert_eq!(bare(&format.remove(&with).unwrap()), bare(&text));
    }

    #[test]
    fn no_settings_are_too_strange(text in prop_oneof![
        any::<String>(),
        "(models:|model_providers|provider|[{\\[\\]}:,=\"# -]|[a-z]{1,3}|\n){0,12}",
    ]) {
        for client in Client::ALL {
            let file = Path::new("/nowhere/settings");
            if let Ok(with) = client.entered(file, Some(&text), BASE) {
                prop_assert!(client.leads_to(&with, BASE), "{}: {}", client.id(), with);
            }
            client.leads_to(&text, BASE);
            drop(client.removed(file, &text, Some(&text)));
        }
    }
}

/// A line of YAML settings that is not part of a model; `@` is replaced by a unique name.
fn yaml_line() -> impl Strategy<Value = String> {
    prop_oneof!["@: [a-z0-9]{1,8}", "# [ -~]{0,20}", Just(String::new()),]
}
