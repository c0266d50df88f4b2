//! Finds the program that a `User-Agent` belongs to.

/// For each family, a part of its `User-Agent` in lower case, from the beginning of a word; the first match
/// counts. Applications come before the libraries and browsers that they use.
const FAMILIES: &[(&str, &str)] = &[
    ("obsidian", "obsidian"),
    ("roo-code", "roo"),
    ("roocode", "roo"),
    ("roo/", "roo"),
    ("kilo-code", "kilo"),
    ("kilocode", "kilo"),
    ("cline", "cline"),
    ("cursor", "cursor"),
    ("continue", "continue"),
    ("windsurf", "windsurf"),
    ("opencode", "opencode"),
    ("githubcopilot", "copilot-chat"),
    ("zed/", "zed"),
    ("codex", "codex"),
    ("aider", "aider"),
    ("litellm", "litellm"),
    ("langchain", "langchain"),
    ("llamaindex", "llamaindex"),
    ("llama_index", "llamaindex"),
    ("open webui", "open-webui"),
    ("openwebui", "open-webui"),
    ("librechat", "librechat"),
    ("lobechat", "lobechat"),
    ("sillytavern", "sillytavern"),
    ("cherrystudio", "cherry-studio"),
    ("raycast", "raycast"),
    ("jetbrains", "jetbrains"),
    ("openai/js", "openai-node"),
    ("asyncopenai/js", "openai-node"),
    ("azureopenai/js", "openai-node"),
    ("openai/python", "openai-python"),
    ("asyncopenai/python", "openai-python"),
    ("azureopenai/python", "openai-python"),
    ("asyncazureopenai/python", "openai-python"),
    ("openai/go", "openai-go"),
    ("openai/java", "openai-java"),
    ("openai-dotnet", "openai-dotnet"),
    ("openai/net", "openai-dotnet"),
    ("ai-sdk", "ai-sdk"),
    ("ai/", "ai-sdk"),
    ("postmanruntime", "postman"),
    ("insomnia", "insomnia"),
    ("windowspowershell", "powershell"),
    ("powershell", "powershell"),
    ("curl", "curl"),
    ("wget", "wget"),
    ("httpie", "httpie"),
    ("python-httpx", "python"),
    ("python-requests", "python"),
    ("python-urllib", "python"),
    ("python", "python"),
    ("go-http-client", "go"),
    ("reqwest", "rust"),
    ("okhttp", "java"),
    ("java-http-client", "java"),
    ("node", "node"),
    ("undici", "node"),
    ("axios", "node"),
    ("deno", "deno"),
    ("bun/", "bun"),
    ("electron", "electron"),
    ("mozilla", "browser"),
];

/// The family of a client: one of a few dozen names, `other`, or `unknown` without a `User-Agent`.
pub fn of(user_agent: &str) -> &'static str {
    let text = user_agent.trim().to_ascii_lowercase();
    if text.is_empty() {
        return "unknown";
    }
    let found = FAMILIES.iter().find(|(needle, _)| begins_a_word(&text, needle));
    found.map_or("other", |(_, family)| family)
}

fn begins_a_word(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_clients_are_known() {
        let cases = [
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) \
                 obsidian/1.8.9 Chrome/132.0.6834.210 Electron/34.3.0 Safari/537.36",
                "obsidian",
            ),
            ("OpenAI/JS 4.104.0", "openai-node"),
            ("OpenAI/Python 1.97.0", "openai-python"),
            ("AsyncOpenAI/Python 2.3.0", "openai-python"),
            ("langchainjs-openai/1.0.0 ((node/v20.11.1; linux; x64))", "langchain"),
            ("Cursor/1.7.33", "cursor"),
            ("RooCode/3.28.2", "roo"),
            ("Kilo-Code/4.91.0", "kilo"),
            ("Cline/3.30.1", "cline"),
            ("Continue/1.2.4 (VS Code)", "continue"),
            ("Zed/0.205.4 (linux; x86_64)", "zed"),
            ("codex_cli_rs/0.77.0 (Debian 12.0.0; x86_64) xterm-256color", "codex"),
            ("codex_vscode/0.46.0 (Mac OS 15.6; arm64) vscode/1.104.2", "codex"),
            ("opencode/0.15.3 ai-sdk/provider-utils/3.0.12 runtime/bun/1.3.0", "opencode"),
            ("ai-sdk/openai-compatible/1.0.22 ai-sdk/provider-utils/3.0.12 runtime/node.js/22", "ai-sdk"),
            ("GitHubCopilotChat/0.31.0", "copilot-chat"),
            ("curl/8.5.0", "curl"),
            ("Wget/1.21.4", "wget"),
            ("python-requests/2.32.3", "python"),
            ("python-httpx/0.28.1", "python"),
            ("Python/3.12 aiohttp/3.10.5", "python"),
            ("Go-http-client/1.1", "go"),
            ("node", "node"),
            ("axios/1.7.7", "node"),
            ("okhttp/4.12.0", "java"),
            ("PostmanRuntime/7.43.0", "postman"),
            (
                "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.22621.963",
                "powershell",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.104.2 \
                 Chrome/138.0.7204.235 Electron/37.3.1 Safari/537.36",
                "electron",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "browser"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Mobile/15E148",
                "browser",
            ),
            ("MyOwnScript/1", "other"),
            ("", "unknown"),
            ("   ", "unknown"),
        ];
        for (user_agent, expected) in cases {
            assert_eq!(of(user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn a_name_inside_another_word_does_not_count() {
        assert_eq!(of("Recliner/1.0"), "other");
        assert_eq!(of("Discontinued/2"), "other");
    }
}
