import { describe, expect, test } from 'vitest';

import { settings } from '../../tests/mock/data';
import { choicesOf, fallbackOf, grouped, levels, lockedBy, parse, textOf, titleOfSetting } from './settings';

const all = settings().settings;

function named(key: string) {
  const setting = all.find((known) => known.key === key);
  if (!setting) throw new Error(`there is no ${key}`);
  return setting;
}

describe('groups', () => {
  test('hold every setting once', () => {
    const shown = grouped(all, '').flatMap((group) => group.settings);
    expect(shown).toHaveLength(all.length);
    expect(new Set(shown)).toEqual(new Set(all));
  });

  test.each([
    ['host', 'Network and access'],
    ['codex_model', 'Models'],
    ['timeout_ms', 'Limits and deadlines'],
    ['worker_count', 'Codex and workers'],
    ['fetch_images', 'Images'],
    ['usage_retention_days', 'Records and retention'],
    ['otel_exporter_url', 'Metrics and traces'],
    ['key_daily_tokens', 'Limits and deadlines'],
    ['request_log', 'Records and retention'],
  ])('%s is in %s', (key, name) => {
    const group = grouped(all, '').find(({ settings: list }) => list.includes(named(key)));
    expect(group?.name).toBe(name);
  });

  test('search in names, keys and words', () => {
    expect(grouped(all, 'OTLP').flatMap((group) => group.settings)).toEqual([named('otel_exporter_url')]);
    expect(grouped(all, 'no such thing')).toEqual([]);
  });
});

describe('typed text', () => {
  test.each([
    ['port', ' 8080 ', 8_080],
    ['port', '', null],
    ['strict_params', 'true', true],
    ['allowed_hosts', 'a.example, ,b.example', ['a.example', 'b.example']],
    ['codex_model', 'gpt-5.5', 'gpt-5.5'],
  ])('%s: %s', (key, text, value) => expect(parse(named(key), text)).toEqual({ value }));

  test.each(['70000', '-1', '1.5', 'x'])('%s is no port', (text) =>
    expect(parse(named('port'), text)).toEqual({ problem: 'It must be a whole number from 0 to 65535.' }),
  );
});

test('what cannot be changed here', () => {
  expect(lockedBy(named('host'))).toBeNull();
  expect(lockedBy(named('api_key'))).toContain('PROXY_API_KEY');
  expect(lockedBy(named('worker_count'))).toContain('command-line');
  expect(all.filter(({ key }) => key === null).map(lockedBy)).toEqual([
    'Can only be set when the proxy is started.',
  ]);
});

test('choices and texts', () => {
  expect(choicesOf(named('env'))).toEqual(['prod', 'dev']);
  expect(choicesOf(named('port'))).toBeNull();
  expect(textOf(['a', 'b'])).toBe('a, b');
  expect(textOf(false)).toBe('false');
  expect(textOf(null)).toBe('');
});

test('a dozen settings are enough for most, and no setting is lost', () => {
  const { basic, advanced } = levels(all);
  expect(basic.length).toBeLessThanOrEqual(12);
  expect(basic[0]?.key).toBe('codex_model');
  expect(new Set([...basic, ...advanced])).toEqual(new Set(all));
  expect(titleOfSetting(named('daily_tokens'))).toBe('Tokens per day');
  expect(titleOfSetting(named('timeout_ms'))).toBe('Timeout (ms)');
});

test('a default is shown as it takes effect', () => {
  const unset = (key: string) => ({ ...named(key), set: false, value: named(key).default });
  expect(fallbackOf(unset('timeout_ms'), null)).toEqual({ value: '300000 (5 min)', isDefault: true });
  expect(fallbackOf(unset('fetch_images'), null)).toEqual({ value: 'On', isDefault: true });
  expect(fallbackOf(unset('codex_model'), 'gpt-5.5')).toEqual({ value: 'gpt-5.5', isDefault: false });
  expect(fallbackOf({ ...unset('port'), value: 11_436 }, null)).toEqual({ value: '11436', isDefault: false });
  expect(fallbackOf(named('key_daily_tokens'), null)).toEqual({ value: '', isDefault: true });
});
