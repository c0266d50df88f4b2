import { expect, test } from 'vitest';

import { pieces } from './rich';

test('code and links in sentences', () => {
  expect(pieces('Behind `codex-5`, in [Settings](#/settings).')).toEqual([
    { kind: 'text', text: 'Behind ' },
    { kind: 'code', text: 'codex-5' },
    { kind: 'text', text: ', in ' },
    { kind: 'link', text: 'Settings', href: '#/settings' },
    { kind: 'text', text: '.' },
  ]);
});

test('only a view of this window is a link, and a lone backtick is itself', () => {
  expect(pieces('[there](https://example.com) ` here')).toEqual([
    { kind: 'text', text: '[there](https://example.com) ` here' },
  ]);
});
