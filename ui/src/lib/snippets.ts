/** What is pasted into the files of clients, and programs to begin with. None of it is translated. */

import type { TryInput } from '../api.generated';

export const MODEL = 'codex-5';

/** The environment variable that snippets read the key from. */
export const KEY_VARIABLE = 'CODEX_PROXY_KEY';

export function zedSettings(base: string): string {
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

export function opencodeConfig(base: string): string {
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

export function continueConfig(base: string): string {
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

export function codexConfig(base: string): string {
  return `model = "${MODEL}"
model_provider = "codex-proxy"

[model_providers.codex-proxy]
name = "Codex Proxy"
base_url = "${base}"
env_key = "${KEY_VARIABLE}"
wire_api = "responses"`;
}

export function pythonExample(base: string): string {
  return `import os
from openai import OpenAI

client = OpenAI(base_url="${base}", api_key=os.environ["${KEY_VARIABLE}"])
print(client.responses.create(model="${MODEL}", input="Say hello.").output_text)`;
}

export function nodeExample(base: string): string {
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: process.env.${KEY_VARIABLE} });
const answer = await client.responses.create({ model: "${MODEL}", input: "Say hello." });
console.log(answer.output_text);`;
}

export function curlExample(base: string): string {
  return `curl -N ${base}/responses \\
  -H "Authorization: Bearer $${KEY_VARIABLE}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${MODEL}", "input": "Say hello.", "stream": true}'`;
}

export const LANGUAGES = ['curl', 'python', 'javascript'] as const;

/** Linux passes no argument of more than 128 KiB to a program, and an image is often larger. */
const MOST_ARGUMENT = 100_000;

/** The same request as a program. The key is left to a variable. */
export function asCode(
  language: (typeof LANGUAGES)[number],
  base: string,
  model: string,
  input: TryInput,
): string {
  const body = { model, input };
  switch (language) {
    case 'curl': {
      const text = JSON.stringify(body);
      const lines = [
        `curl ${base}/responses`,
        `-H "Authorization: Bearer $${KEY_VARIABLE}"`,
        '-H "Content-Type: application/json"',
      ];
      const sent =
        text.length < MOST_ARGUMENT
          ? `-d '${text.replaceAll("'", "'\\''")}'`
          : `--data-binary @- <<'JSON'\n${text}\nJSON`;
      return [...lines, sent].join(' \\\n  ');
    }
    case 'python':
      return [
        'import os',
        'from openai import OpenAI',
        '',
        `client = OpenAI(base_url=${JSON.stringify(base)}, api_key=os.environ["${KEY_VARIABLE}"])`,
        // Texts, lists and objects of texts look the same in Python.
        `answer = client.responses.create(model=${JSON.stringify(model)}, input=${JSON.stringify(input, null, 2)})`,
        'print(answer.output_text)',
      ].join('\n');
    case 'javascript':
      return [
        'import OpenAI from "openai";',
        '',
        `const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: process.env.${KEY_VARIABLE} });`,
        `const answer = await client.responses.create(${JSON.stringify(body, null, 2)});`,
        'console.log(answer.output_text);',
      ].join('\n');
  }
}
