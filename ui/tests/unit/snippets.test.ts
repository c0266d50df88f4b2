import { execFileSync } from 'node:child_process';

import { expect, test } from 'vitest';

import { asCode, LANGUAGES } from '../../src/lib/snippets';

test.each(LANGUAGES)('%s asks the same and leaves the key to a variable', (language) => {
  const code = asCode(language, 'http://127.0.0.1:11435/v1', 'codex-5', 'It\'s "so"\nand\\or $HOME');
  expect(code).toContain('http://127.0.0.1:11435/v1');
  expect(code).toContain('codex-5');
  expect(code).toContain('CODEX_PROXY_KEY');
  expect(code).not.toMatch(/sk-/);
});

test('the shell passes every character on', () => {
  const question = 'It\'s "so"\nand\\or $HOME `x`';
  const code = asCode('curl', 'http://127.0.0.1:1/v1', 'codex-5', question);
  const shown = execFileSync('sh', ['-c', `curl() { printf '%s' "$7"; }; ${code}`], { encoding: 'utf8' });
  expect(JSON.parse(shown)).toEqual({ model: 'codex-5', input: question });
});

test.each([10, 200_000])('a conversation with an image of %i characters arrives whole', (length) => {
  const input = [
    { role: 'assistant', content: "It's." },
    {
      role: 'user',
      content: [{ type: 'input_image', image_url: `data:image/png;base64,${'A'.repeat(length)}` }],
    },
  ];
  const code = asCode('curl', 'http://127.0.0.1:1/v1', 'codex-5', input);
  const show = `curl() { if [ "$6" = -d ]; then printf '%s' "$7"; else cat; fi; }; ${code}`;
  expect(JSON.parse(execFileSync('sh', { input: show, encoding: 'utf8' }))).toEqual({
    model: 'codex-5',
    input,
  });
});

test('a conversation in Python is what was sent', () => {
  const input = [{ role: 'user', content: [{ type: 'input_text', text: 'It\'s "so"\nand\\or \u2028' }] }];
  const code = asCode('python', 'http://127.0.0.1:1/v1', 'codex-5', input);
  const call = /input=(.*)\)\nprint/s.exec(code)?.[1] ?? '';
  const show = `import json; print(json.dumps(${call}))`;
  expect(JSON.parse(execFileSync('python3', ['-'], { input: show, encoding: 'utf8' }))).toEqual(input);
});
