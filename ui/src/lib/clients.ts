/** The clients with a guide in the window: the values and where to enter them. */

export interface ClientGuide {
  id: string;
  name: string;
  /** A short description. */
  about: string;
  /** The name of the key that is created for the client. */
  keyName: string;
  /** Limitations, or facts that the person must know first. */
  warning: string | null;
  /** The place in the client's settings. */
  where: string;
  /** The fields to fill in, with the client's own labels. The key is never among the values. */
  fields: Field[];
  /** A file or commands, if the client is set up in this way. */
  snippet: Snippet | null;
  /** Further notes. */
  notes: string[];
}

export interface Field {
  label: string;
  /** The value of the field; null for the key, which has its own copy button. */
  value: string | null;
}

export interface Snippet {
  /** The name of the file, or a title of the text. */
  title: string;
  text: string;
}

export const MODEL = 'codex-5';

/** The environment variable from which snippets read the key. */
export const KEY_VARIABLE = 'CODEX_PROXY_KEY';

/** All clients, for the base URL `base` (which ends in `/v1`). */
export function clientGuides(base: string): ClientGuide[] {
  return [...editors(base), ...agents(base), ...programs(base)];
}

const keyField: Field = { label: 'API key', value: null };

function editors(base: string): ClientGuide[] {
  const copilot = [
    { label: 'Model name', value: MODEL },
    { label: 'Provider', value: 'OpenAI Format' },
    { label: 'Base URL', value: base },
    keyField,
  ];
  return [
    guide('obsidian-copilot', 'Obsidian Copilot 4.x', 'Chat with your notes', {
      where: 'Settings → Copilot → Model → Add custom model',
      fields: copilot,
      notes: [
        'Leave “Enable CORS” off: the proxy allows Obsidian by itself.',
        'Its test asks for the list of models, so it succeeds even before you have signed in.',
      ],
    }),
    guide('obsidian-copilot-3', 'Obsidian Copilot 3.x', 'Chat with your notes', {
      where: 'Settings → Copilot → Model → Add Custom Model',
      fields: copilot,
      notes: [
        'Leave “Enable CORS” off: the proxy allows Obsidian by itself.',
        'Its “Verify” asks the model for real and gives up after 8 seconds. If that is too short, add the model all the same, or try codex-5-low.',
      ],
    }),
    guide('cursor', 'Cursor', 'Editor', {
      warning:
        "Cursor's own servers send the requests, and they cannot reach 127.0.0.1. It works only if the proxy has a public HTTPS address, by a tunnel or a reverse proxy; add that host name to PROXY_ALLOWED_HOSTS first.",
      where: 'Cursor Settings → Models → API Keys',
      fields: [
        { label: 'OpenAI API Key', value: null },
        { label: 'Override OpenAI Base URL', value: 'https://your-public-host/v1' },
        { label: 'Add custom model', value: MODEL },
      ],
      notes: ['Its tab completion always uses Cursor’s own models.'],
    }),
    guide('zed', 'Zed', 'Editor', {
      where:
        'Open the settings file with the command “zed: open settings”, add this, then enter the key in the agent panel’s settings under Codex Proxy.',
      fields: [keyField],
      snippet: { title: 'settings.json', text: zedSettings(base) },
      notes: ['Zed keeps the key in the system keychain, not in the file.'],
    }),
    guide('continue', 'Continue', 'Extension for VS Code and JetBrains', {
      where: `Put the key into ~/.continue/.env as ${KEY_VARIABLE}=…, and this into the configuration:`,
      fields: [keyField],
      snippet: { title: '~/.continue/config.yaml', text: continueConfig(base) },
    }),
  ];
}

function agents(base: string): ClientGuide[] {
  return [
    guide('roo-code', 'Roo Code', 'Agent for VS Code', {
      where: 'Roo Code → Settings → Providers',
      fields: [
        { label: 'API Provider', value: 'OpenAI Compatible' },
        { label: 'Base URL', value: base },
        keyField,
        { label: 'Model', value: MODEL },
      ],
      notes: ['Under “Model Configuration”, switch image support on.'],
    }),
    guide('cline', 'Cline', 'Agent for VS Code', {
      where: 'Cline → Settings → API Configuration',
      fields: [
        { label: 'API Provider', value: 'OpenAI Compatible' },
        { label: 'Base URL', value: base },
        keyField,
        { label: 'Model ID', value: MODEL },
      ],
    }),
    guide('codex-cli', 'Codex CLI', 'Agent in the terminal', {
      where: `Set ${KEY_VARIABLE} to the key in your shell, and add this to the configuration:`,
      fields: [keyField],
      snippet: { title: '~/.codex/config.toml', text: codexConfig(base) },
      notes: ['Only needed to count its use here: Codex can also sign in by itself.'],
    }),
    guide('opencode', 'opencode', 'Agent in the terminal', {
      where: `Set ${KEY_VARIABLE} to the key in your shell, and add this to the configuration:`,
      fields: [keyField],
      snippet: { title: '~/.config/opencode/opencode.json', text: opencodeConfig(base) },
      notes: [`Then choose the model codex-proxy/${MODEL} with /models.`],
    }),
  ];
}

function programs(base: string): ClientGuide[] {
  const where = `Set ${KEY_VARIABLE} to the key in your shell.`;
  return [
    guide('openai-python', 'OpenAI SDK for Python', 'pip install openai', {
      where,
      fields: [keyField],
      snippet: { title: 'Python', text: pythonExample(base) },
    }),
    guide('openai-node', 'OpenAI SDK for Node.js', 'npm install openai', {
      where,
      fields: [keyField],
      snippet: { title: 'JavaScript', text: nodeExample(base) },
    }),
    guide('curl', 'curl', 'Terminal', {
      where,
      fields: [keyField],
      snippet: { title: 'Shell', text: curlExample(base) },
    }),
  ];
}

type Rest = Pick<ClientGuide, 'where' | 'fields'> &
  Partial<Pick<ClientGuide, 'warning' | 'snippet' | 'notes'>>;

function guide(id: string, name: string, about: string, rest: Rest): ClientGuide {
  return { id, name, about, keyName: id, warning: null, snippet: null, notes: [], ...rest };
}

function zedSettings(base: string): string {
  return json({
    language_models: {
      openai_compatible: {
        'Codex Proxy': {
          api_url: base,
          available_models: [
            {
              name: MODEL,
              display_name: 'Codex 5',
              max_tokens: 272_000,
              capabilities: { tools: true, images: true, parallel_tool_calls: true, prompt_cache_key: true },
            },
          ],
        },
      },
    },
  });
}

function opencodeConfig(base: string): string {
  return json({
    $schema: 'https://opencode.ai/config.json',
    provider: {
      'codex-proxy': {
        npm: '@ai-sdk/openai-compatible',
        name: 'Codex Proxy',
        options: { baseURL: base, apiKey: `{env:${KEY_VARIABLE}}` },
        models: { [MODEL]: { name: 'Codex 5' } },
      },
    },
  });
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

function continueConfig(base: string): string {
  return `name: Codex Proxy
version: 1.0.0
schema: v1
models:
  - name: Codex 5
    provider: openai
    model: ${MODEL}
    apiBase: ${base}
    apiKey: \${{ secrets.${KEY_VARIABLE} }}
    roles: [chat, edit, apply]`;
}

function codexConfig(base: string): string {
  return `model = "${MODEL}"
model_provider = "codex-proxy"

[model_providers.codex-proxy]
name = "Codex Proxy"
base_url = "${base}"
env_key = "${KEY_VARIABLE}"
wire_api = "responses"`;
}

function pythonExample(base: string): string {
  return `import os
from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=os.environ["${KEY_VARIABLE}"])
print(client.responses.create(model="${MODEL}", input="Say hello.").output_text)`;
}

function nodeExample(base: string): string {
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: process.env.${KEY_VARIABLE} });
const answer = await client.responses.create({ model: "${MODEL}", input: "Say hello." });
console.log(answer.output_text);`;
}

function curlExample(base: string): string {
  return `curl -N ${base}/responses \\
  -H "Authorization: Bearer $${KEY_VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${MODEL}", "input": "Say hello.", "stream": true}'`;
}
