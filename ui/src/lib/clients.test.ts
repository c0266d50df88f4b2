import { expect, test } from 'vitest';

import { clientGuides, initialsOf, KEY_VARIABLE, KINDS, MODEL } from './clients';

const BASE = 'http://127.0.0.1:11435/v1';
const guides = clientGuides(BASE);

test('ids, and so the names of keys, are unique and fit a key', () => {
  const ids = guides.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { keyName } of guides) expect(keyName).toMatch(/^[a-z0-9-]{2,64}$/);
});

test.each(guides)('$name tells the model, where, and a place for the key', (guide) => {
  const all = JSON.stringify(guide);
  expect(all).toContain(MODEL);
  expect(guide.where).not.toBe('');
  expect(guide.fields.some(({ value }) => value === null)).toBe(true);
  if (guide.id !== 'cursor') expect(all).toContain(BASE);
});

test('Cursor is not told an address that its servers cannot reach', () => {
  const cursor = guides.find(({ id }) => id === 'cursor');
  expect(cursor?.warning).toContain('127.0.0.1');
  expect(JSON.stringify(cursor?.fields)).not.toContain('127.0.0.1');
});

test('the JSON that is pasted is JSON, and the key comes from the environment or a keychain', () => {
  for (const id of ['zed', 'opencode']) {
    const text = guides.find((guide) => guide.id === id)?.snippet?.text ?? '';
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  }
  const withVariable = guides.filter(({ snippet, id }) => snippet && id !== 'zed');
  for (const { snippet } of withVariable) expect(snippet?.text).toContain(KEY_VARIABLE);
});

test('every kind has a client', () => {
  expect(new Set(guides.map(({ kind }) => kind))).toEqual(new Set(KINDS));
});

test.each([
  ['Codex CLI', 'CC'],
  ['Obsidian Copilot 4.x', 'OC'],
  ['Zed', 'ZE'],
  ['curl', 'CU'],
])('the mark of %s', (name, mark) => expect(initialsOf(name)).toBe(mark));
