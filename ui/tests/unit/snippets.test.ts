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
